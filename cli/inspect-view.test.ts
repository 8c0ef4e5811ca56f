import { describe, expect, it } from 'vitest';
import type { DropRecord, NetworkState, TunnelHealthState, TunnelState } from '../model/messages.js';
import { networkState } from '../test/fixtures/network-state.js';
import { renderNetworks } from './ls.js';
import { renderDropRecords, renderEvents, renderFdb, renderNetwork } from './inspect-view.js';

const lab = networkState('lab');

describe('inspect', () => {
  it('shows nodes, ports, links, LANs, processes and drops', () => {
    expect(renderNetwork(lab)).toMatchInlineSnapshot(`
      "lab  running, since 2026-11-21T09:00:00.000Z, 1 machine, lab.yaml

      NODE  KIND    MACHINE  PORT  ADDRESSES     MAC                LINK             SENT  RECEIVED  COMMAND
      s1    switch  local
      h1    host    local    eth0  10.0.1.2/24   02:00:00:00:00:01  h1--s1             12         0  sleep 9 [exited 0]
                                   fd00:1::2/64
      r1    router  local    eth0  10.0.1.1/24   02:00:00:00:00:02  r1--s1  7 (2 dropped)         0
                             eth1  10.0.2.1/24   02:00:00:00:00:03  r1--s2              0         0

      LINK    FROM     TO  STATE  THERE            BACK
      h1--s1  h1:eth0  s1  up        12  1.46 KiB     7  700 B

      LAN  SUBNET       SUBNET6      SWITCHES
      s1   10.0.1.0/24  fd00:1::/64  s1

      SWITCH PROCESS   PID  MEMORY     UP  FRAME SLOTS FREE
      local           4713  64 MiB  1 min    32000 of 32768

      DROP REASON  FRAMES
      hairpin           3"
    `);
  });

  it('shows what links do, a line where both directions do the same, and what is to come', () => {
    const [link] = lab.linkStates;
    const linkStates = [
      { ...link!, forward: { rate: '10mbit', delay: '20ms' }, reverse: { delay: '20ms' } },
      { ...link!, name: 'r1--s1', ends: ['r1:eth0', 's1'] as const, forward: { loss: '1%' }, reverse: { loss: '1%' } },
    ];
    const next = { atNs: 30e9, link: 'h1--s1', from: 'h1', set: { delay: '40ms' } };
    const schedule = { events: 3, done: 2, next };
    const text = renderNetwork({ ...lab, linkStates, schedule, zero: '2026-11-21T09:00:01.000Z' });
    expect(text).toContain('  2 of 3 events happened since 2026-11-21T09:00:01.000Z, next 30s: h1--s1 delay=40ms\n');
    expect(text).toContain(
      [
        'LINK    FROM     TO            DOES',
        'h1--s1  h1:eth0  s1            rate=10mbit delay=20ms',
        '        s1       h1:eth0       delay=20ms',
        'r1--s1  r1:eth0  s1, and back  loss=1%',
      ].join('\n'),
    );
  });

  it('shows when events were due, and when they happened', () => {
    const events = [
      { atNs: 500e6, link: 'h1--s1', set: { delay: '1ms', loss: 'none' }, doneNs: 500_012_000 },
      { atNs: 1e9, link: 'h1--s1', from: 's1', set: { state: 'down' as const }, doneNs: 2e9 },
      { atNs: 90e9, link: 'r1--s1', set: { state: 'up' as const } },
    ];
    expect(renderEvents(events)).toMatchInlineSnapshot(`
      "EVENT AT  LINK    FROM  SETS                 HAPPENED      LATE BY
         500ms  h1--s1        delay=1ms loss=none   0.500 s     0.012 ms
            1s  h1--s1  s1    state=down            2.000 s  1000.000 ms
           90s  r1--s1        state=up"
    `);
    expect(renderEvents([])).toBe('the scenario has no events');
  });

  it('shows how both ends of a tunnel see it', () => {
    const [one] = lab.switchProcesses;
    const since = '2026-11-21T09:14:04.123Z';
    const alive: TunnelHealthState = {
      liveness: 'alive',
      since,
      rttNs: 123_456,
      leastRttNs: 100_000,
      lossRatio: 0.05,
      pathMtuBytes: 1400,
      address: '192.0.2.1:7000',
      searching: false,
      moves: 0,
    };
    const dead: TunnelHealthState = {
      liveness: 'dead',
      since,
      pathMtuBytes: 1280,
      address: '192.0.2.2:7000',
      searching: true,
      moves: 3,
    };
    const sealed = {
      state: 'sealed',
      algorithm: 'aes-256-gcm',
      epochAgeSeconds: 12.3,
      rekeys: 2,
      health: alive,
    } as const;
    const failed = { state: 'failed', reason: 'a does not answer', health: dead } as const;
    const processOf = (machine: string, tunnel: TunnelState): typeof one => ({
      ...one!,
      machine,
      state: { ...one!.state!, tunnels: [tunnel] },
    });
    const network: NetworkState = {
      ...lab,
      switchProcesses: [
        processOf('a', { name: 'udp:b', peer: 'b', ...sealed })!,
        processOf('b', { name: 'udp:a', peer: 'a', ...failed })!,
      ],
    };
    expect(/^TUNNEL[^]*?(?=\n\n)/m.exec(renderNetwork(network))![0]).toMatchInlineSnapshot(`
      "TUNNEL  TO  STATE                KEYS SINCE  REKEYS  PEER                                 AT                   RTT   LOSS  PATH MTU  REASON
      a       b   sealed, aes-256-gcm        12 s       2  alive                                192.0.2.1:7000  0.123 ms  5.0 %      1400
      b       a   failed                                   dead since 2026-11-21T09:14:04.123Z  192.0.2.2:7000                       1280  a does not answer"
    `);
  });

  it('shows what parity a tunnel has, and what it brought back, where there is any', () => {
    const [one] = lab.switchProcesses;
    const fec = { parityRatio: 5 / 44, sentParity: 1234, repaired: 56, unrepaired: 1 };
    const health: TunnelHealthState = {
      ...{ liveness: 'alive', since: '2026-11-21T09:14:04.123Z', pathMtuBytes: 1500, address: '192.0.2.1:7000' },
      ...{ searching: false, moves: 0, fec },
    };
    const tunnel = { name: 'udp:b', peer: 'b', state: 'sealed' as const, health };
    const network: NetworkState = {
      ...lab,
      switchProcesses: [{ ...one!, machine: 'a', state: { ...one!.state!, tunnels: [tunnel] } }],
    };
    expect(/^FEC[^]*?(?=\n\n)/m.exec(renderNetwork(network))![0]).toMatchInlineSnapshot(`
      "FEC  FROM  PARITY  SENT  REPAIRED  LOST
      a    b       11 %  1234        56     1"
    `);
    expect(renderNetwork(lab)).not.toContain('REPAIRED');
  });

  it('says, as ls does, that a network is not sealed, where that matters', () => {
    const why = 'lab is not sealed: what passes between its machines can be read, changed and forged';
    const open: NetworkState = { ...lab, seal: 'none', machines: 2 };
    expect(renderNetwork(open)).toContain(why);
    expect(renderNetworks([open])).toContain(why);
    expect(renderNetworks([{ ...open, machines: 1 }])).not.toContain(why);
    expect(renderNetworks([{ ...open, seal: 'auto' }])).not.toContain(why);
  });

  it('says so where nothing was dropped', () => {
    expect(renderNetwork({ ...lab, drops: {} })).toMatch(/no frame was dropped$/);
  });

  it('says at its head, as ls does, why a network is broken', () => {
    const [one] = lab.switchProcesses;
    const { machine, pid } = one!;
    const broken: NetworkState = {
      ...lab,
      status: 'broken',
      broken: ['the keeper has ended'],
      switchProcesses: [{ machine, pid }],
    };
    const why =
      'lab is broken: the keeper has ended\n' +
      '  make what is missing again: luthier up [^;]+; or remove it: luthier down lab';
    expect(renderNetwork(broken)).toMatch(new RegExp(`^lab  broken, .*\\n${why}\\n\\nNODE`));
    expect(renderNetwork(broken)).toMatch(/^local +4713 +does not answer$/m);
    expect(renderNetworks([broken])).toMatch(new RegExp(`\\n${why}$`));
  });

  it('shows what switches have learnt', () => {
    expect(renderFdb(lab)).toMatchInlineSnapshot(`
      "SWITCH  MACHINE  ADDRESS            LINK     AGE
      s1      local    02:00:00:00:00:01  h1--s1  12 s"
    `);
    expect(renderFdb({ ...lab, switchProcesses: [] })).toBe('no switch has learnt an address yet');
  });

  it('shows the last dropped frames, and names the older ones', () => {
    const record: DropRecord = {
      unixNs: '1795252444123456789',
      reason: 'hairpin',
      where: 'h1--s1',
      lengthBytes: 60,
      header: '0200000000020200000000010800450000',
    };
    expect(renderDropRecords([record])).toMatchInlineSnapshot(`
      "TIME                      REASON   CAME BY  BYTES  FRAME
      2026-11-21T09:14:04.123Z  hairpin  h1--s1      60  02:00:00:00:00:01 → 02:00:00:00:00:02, type 0x0800"
    `);
    expect(renderDropRecords(Array.from({ length: 60 }, () => record))).toMatch(/\n10 older ones are in --json$/);
    expect(renderDropRecords([])).toBe('no frame was dropped');
  });
});
