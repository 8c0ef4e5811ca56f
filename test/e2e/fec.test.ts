/**
 * Forward error correction over a path that loses one datagram in a hundred: what TCP and ping make of it, beside a network
 * without on the same path, and what `inspect` says. nftables loses them.
 *
 *   h1 ── s1 ═════════ eth0 ── m0 [ lan ] m1 ── eth0 ═════════ s1 ── h2
 *        machine a              drops 1 %              machine b
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles, readJournal } from '../../control/journal.js';
import type { TunnelHealthState } from '../../model/messages.js';
import { processesOnRecord } from '../chaos/victims.js';
import { Bench, isRoot, LUTHIER, run, speaks } from './machine.js';

const scenario = (fec: string): string => `
name: lossy-${fec}
machines: [a, b]
fec: ${fec}
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1], delay: 5ms }
  - { endpoints: [h2, s1] }
`;
const NFT = '/usr/sbin/nft';
const ETHTOOL = ['/usr/sbin/ethtool', '/sbin/ethtool'].find((file) => existsSync(file));
const canLose = existsSync(NFT) && ETHTOOL !== undefined;
const whyNot = canLose ? '' : ' (skipped: needs nftables and ethtool)';
const PATIENCE = { timeout: 30_000, interval: 200 };
/** Takes a loss for a full queue. The machine's own may not, as BBR, and has little to gain. */
const CONGESTION = 'reno';
const SECONDS = 3;
const PINGS = 800;

// Only root may enter the namespaces of machines that are played.
describe.runIf(isRoot && canLose)(`a path that loses datagrams${whyNot}`, () => {
  let bench: Bench;
  let agent: AgentClient;

  beforeAll(async () => {
    bench = new Bench();
    for (const fec of ['none', 'auto']) await bench.ok('up', bench.scenario(fec, scenario(fec)));
    agent = await AgentClient.connect(bench.paths);
    for (const fec of ['none', 'auto']) await cutAtTheSender(fec);
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  const within = async (fec: string, role: string, ...argv: string[]): Promise<string> => {
    const file = journalFiles(bench.paths).find((path) => readJournal(path)?.header.name === `lossy-${fec}`)!;
    const { pid } = processesOnRecord(file).find((process) => process.role === role)!.id;
    const result = await run('nsenter', [`--net=/proc/${pid}/ns/net`, ...argv], {});
    expect(result, argv.join(' ')).toMatchObject({ code: 0 });
    return result.stdout;
  };

  /** A segmented send is cut by the sender's kernel, as where there is a wire: else all of it is lost at once. */
  const cutAtTheSender = async (fec: string): Promise<void> => {
    const off = ['tx-udp-segmentation', 'off', 'gso', 'off'];
    for (const machine of ['a', 'b']) await within(fec, `machine:${machine}`, ETHTOOL!, '-K', 'eth0', ...off);
  };

  const lose = async (fec: string, percent: number): Promise<void> => {
    const rules = ['add table bridge loss', 'delete table bridge loss'];
    if (percent > 0)
      rules.push(
        'add table bridge loss',
        'add chain bridge loss forward { type filter hook forward priority 0; }',
        `add rule bridge loss forward ip protocol udp numgen random mod 1000 < ${percent * 10} drop`,
      );
    await within(fec, 'underlay', NFT, rules.join('; '));
  };

  const healthOf = async (fec: string): Promise<TunnelHealthState[]> => {
    const { switchProcesses } = await agent.network(`lossy-${fec}`);
    return switchProcesses.flatMap(({ state }) => state?.tunnels.map(({ health }) => health!) ?? []);
  };

  const exec = (fec: string, host: string, ...argv: string[]): string[] => [
    ...['exec', `lossy-${fec}/${host}`, '--'],
    ...argv,
  ];

  /** Bits per second that came. */
  const transfer = async (fec: string): Promise<number> => {
    const server = spawn(LUTHIER, exec(fec, 'h2', 'iperf3', '-s', '-1', '--forceflush'), { env: bench.env });
    const served = once(server, 'close');
    await speaks(server);
    const load = ['-t', String(SECONDS), '-O1', '-C', CONGESTION];
    const text = await bench.ok(...exec(fec, 'h1', 'iperf3', '-J', ...load, '-c', '10.0.1.2'));
    await served;
    const { end } = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
    return end.sum_received.bits_per_second;
  };

  it('has no parity while nothing is lost', async () => {
    await transfer('auto');
    const [a, b] = await healthOf('auto');
    expect([a!.fec, b!.fec]).toMatchObject([
      { parityRatio: 0, sentParity: 0, repaired: 0 },
      { parityRatio: 0, sentParity: 0, repaired: 0 },
    ]);
    expect((await healthOf('none')).map(({ fec }) => fec)).toEqual([undefined, undefined]);
  });

  it('gives TCP several times what it has without, and loses hardly a ping', async () => {
    for (const fec of ['none', 'auto']) await lose(fec, 1);
    // What measures the loss are datagrams: there must be some.
    await expect
      .poll(async () => {
        await transfer('auto');
        return (await healthOf('auto'))[0]!.fec!.parityRatio;
      }, PATIENCE)
      .toBeGreaterThan(0);
    // At the same time: on the same machine, however busy it is.
    const [without, withIt] = await Promise.all([transfer('none'), transfer('auto')]);
    expect(withIt / without).toBeGreaterThan(3);

    const [a, b] = await healthOf('auto');
    expect(a!.fec!.sentParity).toBeGreaterThan(0);
    expect(b!.fec!.repaired).toBeGreaterThan(100);
    expect(b!.fec!.unrepaired).toBeLessThan(b!.fec!.repaired / 50);
    expect(await bench.ok('inspect', 'lossy-auto')).toMatch(/FEC +FROM +PARITY +SENT +REPAIRED +LOST/);
  });

  it('of a fixed ratio repairs pings, too', async () => {
    await bench.ok('up', bench.scenario('auto', scenario('auto').replace('fec: auto', 'fec: 20%')));
    await expect
      .poll(async () => (await healthOf('auto')).map(({ liveness }) => liveness), PATIENCE)
      .toEqual(['alive', 'alive']);
    const lost = async (fec: string): Promise<number> => {
      const { stdout } = await bench.luthier(
        ...exec(fec, 'h1', 'ping', '-nqi', '0.01', '-c', String(PINGS), '-W1', '10.0.1.2'),
      );
      return PINGS - Number(/(\d+) received/.exec(stdout)![1]);
    };
    for (const fec of ['none', 'auto']) await lose(fec, 5);
    const [without, withIt] = await Promise.all([lost('none'), lost('auto')]);
    // Nearly one in ten; both ways, one in 400 each: the ping and its parity.
    expect(without).toBeGreaterThan(PINGS / 25);
    expect(withIt).toBeLessThan(PINGS / 40);
  });

  it('is refused out of its bounds, where it stands', async () => {
    const { code, stderr } = await bench.luthier(
      'validate',
      bench.scenario('much', scenario('auto').replace('fec: auto', 'fec: 80%')),
    );
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/much\.yaml:4:6/);
    expect(stderr).toContain('more than 50%');
  });
});
