/** A switch process as the agent has it: real hosts, real TAPs, HTTP on a Unix socket. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DoneChange, DropRecord, SwitchConfig, SwitchState } from '../model/messages.js';
import type { LabSwitch, SwitchLab } from '../test/lab/switch-lab.js';

const labModule = await import('../test/lab/switch-lab.js').catch((error: unknown) => error as Error);
const unavailable = labModule instanceof Error ? labModule.message : labModule.switchUnavailable();

const skipped = unavailable ? ` (skipped: ${unavailable})` : '';

describe.skipIf(unavailable !== undefined).each([1, 2])(`a switch process, engines: %i${skipped}`, (engines) => {
  let lab: SwitchLab;
  let running: LabSwitch;

  beforeEach(async () => {
    if (labModule instanceof Error) throw labModule;
    lab = await labModule.SwitchLab.start();
    await lab.host('h1', { address: '10.0.0.1/24', vnetHdr: true });
    await lab.host('h2', { address: '10.0.0.2/24', vnetHdr: true });
    // Who is slow to answer is not asked again, so that frames can be counted.
    for (const host of ['h1', 'h2']) await lab.exec(host, 'sysctl', '-qw', 'net.ipv4.neigh.eth0.retrans_time_ms=20000');
    running = start();
  });

  afterEach(async () => {
    await lab.close();
  });

  const words = ['--memory', String(16 * 2 ** 20), '--engines', String(engines)];
  /** Without measuring: that takes a quarter of its start. */
  const start = (log: 'pipe' | number = 'pipe'): LabSwitch => lab.startSwitch([...words, '--no-compensation'], log);
  const ping = (from: string, to: string): Promise<string> => lab.exec(from, 'ping', '-c1', '-W20', '-q', to);
  const state = async (): Promise<SwitchState> => (await running.call('GET', '/state')).body as SwitchState;
  const configure = (config: SwitchConfig): Promise<{ status: number; body: unknown }> =>
    running.call('PUT', '/config', config);

  it('forwards, and says what it did', async () => {
    expect(await configure(lab.oneSwitch(true))).toEqual({ status: 200, body: {} });
    expect(await ping('h1', '10.0.0.2')).toContain(' 0% packet loss');
    // A frame is counted after it has been written.
    await expect.poll(state).toMatchObject({
      devices: [
        { name: 'tap:h1:eth0', rxPackets: 2, txPackets: 2, rxDropped: 0, txDropped: 0 },
        { name: 'tap:h2:eth0', rxPackets: 2, txPackets: 2 },
      ],
      links: [
        { name: 'h1--s1', state: 'up', forwardPackets: 2, reversePackets: 2 },
        { name: 'h2--s1', state: 'up', forwardPackets: 2, reversePackets: 2 },
      ],
    });
    const { arena, bridges, drops, pid, rssBytes } = await state();
    expect(pid).toBe(running.process.pid);
    expect(rssBytes).toBeGreaterThan(0);
    // Of several, the trunks have a quarter.
    expect(arena.slots).toBe(engines === 1 ? 8192 : 6144);
    const fdb = bridges[0]!.fdb.map(({ mac, link }) => `${mac} ${link}`).sort();
    expect(fdb).toEqual(['02:00:00:00:00:01 h1--s1', '02:00:00:00:00:02 h2--s1']);
    expect(bridges[0]!.fdbRefused).toBe(0);
    expect(drops).toEqual({});
  });

  it('has measured what it takes itself, and leaves it out of delays unless it is told not to', async () => {
    await configure(lab.oneSwitch(true));
    expect((await state()).compensationNs).toBe(0);
    running = lab.startSwitch(words);
    await configure(lab.oneSwitch(true));
    expect((await state()).compensationNs).toBeGreaterThan(0);
  });

  it('goes on where its log cannot be written', async () => {
    const full = openSync('/dev/full', 'w');
    running = start(full);
    closeSync(full);
    const config = lab.oneSwitch(true);
    expect((await configure(config)).status).toBe(200);
    // The first is written, or not, while the second is applied.
    expect((await configure({ ...config, links: [] })).status).toBe(200);
    expect((await configure(config)).status).toBe(200);
    expect(await ping('h1', '10.0.0.2')).toContain(' 0% packet loss');
    expect(running.process.exitCode).toBe(null);
  });

  it('shows how often a full FDB refused an address', async () => {
    const config = lab.oneSwitch(true);
    await configure({ ...config, bridges: [{ ...config.bridges[0]!, fdbLimit: 1 }] });
    expect(await ping('h1', '10.0.0.2')).toContain(' 0% packet loss');
    const { fdb, fdbRefused } = (await state()).bridges[0]!;
    expect(fdb.map(({ mac }) => mac)).toEqual(['02:00:00:00:00:01']);
    expect(fdbRefused).toBeGreaterThanOrEqual(2);
  });

  it('applies a change to what runs: a port more, a link down, a port less', async () => {
    await configure(lab.oneSwitch(true));
    await ping('h1', '10.0.0.2');
    await lab.host('h3', { address: '10.0.0.3/24', vnetHdr: true });
    const three = lab.oneSwitch(true);
    await configure(three);
    expect(await ping('h3', '10.0.0.1')).toContain(' 0% packet loss');

    // With h1 alone, what it asks of everybody has nowhere to go.
    const down = { state: 'down' as const };
    const links = three.links.map((link) =>
      link.name === 'h1--s1' ? link : { ...link, forward: down, reverse: down },
    );
    await configure({ ...three, links });
    await expect(lab.exec('h3', 'ping', '-c1', '-W1', '10.0.0.1')).rejects.toThrow();
    await expect(lab.exec('h1', 'ping', '-c1', '-W1', '10.0.0.77')).rejects.toThrow();
    const dropped = async (): Promise<DropRecord | undefined> => {
      const records = (await running.call('GET', '/drops')).body as DropRecord[];
      return records.find(({ header }) => header.startsWith('ffffffffffff020000000001'));
    };
    await expect.poll(dropped).toMatchObject({ reason: 'noPort', where: 'h1--s1' });
    const { unixNs } = (await dropped())!;
    expect(Math.abs(Number(BigInt(unixNs) / 1_000_000n) - Date.now())).toBeLessThan(60_000);
    expect((await state()).drops['noPort']).toBeGreaterThan(0);

    await configure({ ...three, devices: three.devices.slice(0, 2), links: three.links.slice(0, 2) });
    expect((await state()).devices.map(({ name }) => name)).toEqual(['tap:h1:eth0', 'tap:h2:eth0']);
    expect((await state()).links[0]!.forwardPackets).toBeGreaterThan(3);
    expect(await ping('h1', '10.0.0.2')).toContain(' 0% packet loss');
  });

  it('changes a link now and at its times, and says when; what is due already is done at once', async () => {
    await configure(lab.oneSwitch(true));
    const up = { forward: { state: 'up' }, reverse: { state: 'up' } } as const;
    const down = { forward: { state: 'down' }, reverse: { state: 'down' } } as const;
    const stateOf = async (name: string): Promise<string> =>
      (await state()).links.find((link) => link.name === name)!.state;
    const nowNs = (): number => Number(process.hrtime.bigint());
    const done = async (query = ''): Promise<DoneChange[]> =>
      (await running.call('GET', `/changes${query}`)).body as DoneChange[];
    const past = [
      { atNs: nowNs() - 2e9, ...up },
      { atNs: nowNs() - 1e9, ...down },
    ];
    const begunNs = nowNs();
    const answer = await running.call('PUT', '/links', [{ name: 'h1--s1', ...up, later: past }]);
    expect(answer).toEqual({ status: 200, body: { doneNs: expect.any(Number) as number } });
    const { doneNs } = answer.body as { doneNs: number };
    expect([doneNs > begunNs, doneNs < nowNs()]).toEqual([true, true]);
    await expect.poll(done, { timeout: 20_000 }).toMatchObject(past.map(({ atNs }) => ({ link: 'h1--s1', atNs })));
    expect([await stateOf('h1--s1'), await stateOf('h2--s1')]).toEqual(['down', 'up']);
    const later = { atNs: nowNs() + 300e6, ...up };
    await running.call('PUT', '/links', [{ name: 'h1--s1', ...down, later: [later] }]);
    await expect.poll(() => stateOf('h1--s1'), { timeout: 20_000 }).toBe('up');
    const [last, ...more] = await done('?after=2');
    expect([last!.atNs, more]).toEqual([later.atNs, []]);
    expect(last!.doneNs).toBeGreaterThanOrEqual(last!.atNs);
    expect(last!.doneNs).toBeLessThan(nowNs());
    expect(await ping('h1', '10.0.0.2')).toContain(' 0% packet loss');

    // A change now takes the place of what was to come.
    const soon = nowNs() + 1e9;
    await running.call('PUT', '/links', [
      { name: 'h1--s1', ...up, later: [{ atNs: soon, ...down }] },
      { name: 'h2--s1', ...up, later: [{ atNs: soon, ...down }] },
    ]);
    await running.call('PUT', '/links', [{ name: 'h1--s1', ...up }]);
    await expect.poll(() => stateOf('h2--s1'), { timeout: 20_000 }).toBe('down');
    expect(await stateOf('h1--s1')).toBe('up');
    for (const [wrong, status, what] of [
      [[{ name: 'h9--s1', ...up }], 500, 'no link h9--s1'],
      [[{ name: 'h1--s1', ...up, later: [{ atNs: -1, ...up }] }], 400, 'atNs'],
      [[{ name: 'h1--s1', ...up, later: [{ atNs: 1, ...up, forward: { state: 'asleep' } }] }], 400, 'state'],
    ] as const)
      expect(await running.call('PUT', '/links', wrong)).toMatchObject({
        status,
        body: { message: expect.stringContaining(what) as unknown },
      });
  });

  it('captures as pcapng that tshark reads, with whole super-frames and right checksums', async () => {
    await configure(lab.oneSwitch(true));
    await ping('h1', '10.0.0.2');
    const query = 'device=tap%3Ah1%3Aeth0&link=h1--s1';
    const received = request({ socketPath: running.path, path: `/capture?${query}`, agent: false });
    received.end();
    const [response] = (await once(received, 'response')) as [NodeJS.ReadableStream];
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', () => undefined);

    const server = lab.spawnIn('h2', [process.execPath, '-e', SINK]);
    const ended = once(server, 'exit');
    await once(server.stdout!, 'data');
    await lab.exec('h1', process.execPath, '-e', SOURCE);
    await ended;

    const file = join(lab.directory, 'capture.pcapng');
    const fields = ['frame.len', 'ip.src', 'tcp.checksum.status', 'tcp.flags.fin', 'frame.packet_flags_direction'];
    let rows: string[][] = [];
    await expect
      .poll(
        async () => {
          writeFileSync(file, Buffer.concat(chunks));
          rows = await tshark(file, fields);
          return rows.filter(([, , , fin]) => fin === 'True' || fin === '1').length;
        },
        { timeout: 20_000 },
      )
      // One each; a FIN may be sent again.
      .toBeGreaterThanOrEqual(2);
    received.destroy();
    const tcp = rows.filter(([, , status]) => status !== '');
    expect(tcp.filter(([, , status]) => status !== '1')).toEqual([]);
    expect(Math.max(...tcp.map(([length]) => Number(length)))).toBeGreaterThan(1514);
    expect(new Set(tcp.map(([, source, , , direction]) => `${source} ${direction}`)).size).toBe(2);

    expect(await running.call('GET', '/capture?device=nobody')).toMatchObject({ status: 404 });
    expect(await running.call('GET', '/capture?device=tap%3Ah1%3Aeth0&link=h2--s1')).toMatchObject({ status: 404 });
    expect(await running.call('GET', '/capture')).toMatchObject({ status: 400 });
  });

  it('refuses a wrong configuration and stays as it was', async () => {
    const config = lab.oneSwitch(true);
    await configure(config);
    for (const [wrong, what] of [
      [{ ...config, colour: 'red' }, 'colour'],
      [{ ...config, bridges: [] }, 'no bridge s1'],
      [{ ...config, devices: [] }, 'no tap device tap:h1:eth0'],
      [{ ...config, links: [...config.links, config.links[0]] }, 'two links h1--s1'],
      [{ ...config, links: [config.links[0], { ...config.links[0], name: 'x' }] }, 'both end at tap:h1:eth0'],
    ] as const) {
      const { status, body } = await running.call('PUT', '/config', wrong);
      expect([status, (body as { code: string }).code]).toEqual([400, 'E_USAGE']);
      expect((body as { message: string }).message).toContain(what);
    }
    const missing = { kind: 'tap', name: 'tap:h9:eth0', mtuBytes: 1500, vnetHdr: true } as const;
    const refused = await configure({ ...config, devices: [...config.devices, missing] });
    expect(refused).toMatchObject({ status: 500, body: { code: 'E_REMOTE' } });
    expect(await running.call('GET', '/nothing')).toMatchObject({ status: 404 });
    expect(await ping('h1', '10.0.0.2')).toContain(' 0% packet loss');
  });

  it('ends with status 0 when it is told to, by HTTP or by a signal, and another takes over the same TAPs', async () => {
    await configure(lab.oneSwitch(true));
    await running.call('POST', '/quit');
    expect(await exitOf(running)).toEqual([0, null]);
    running = start();
    await configure(lab.oneSwitch(true));
    expect(await ping('h1', '10.0.0.2')).toContain(' 0% packet loss');
    running.process.kill('SIGTERM');
    expect(await exitOf(running)).toEqual([0, null]);
    expect(running.log).not.toContain('"level":60');
  });

  it.each([
    ['1000', '2', '--memory is 1000'],
    ['16777215', '2', '--memory is 16777215'],
    ['16777216', '0', '--engines is 0'],
    ['16777216', '9', '--engines is 9'],
    ['16777216', 'two', '--engines is two'],
  ])('refuses --memory %s --engines %s', async (memory, engines, message) => {
    const refused = lab.startSwitch(['--memory', memory, '--engines', engines]);
    expect(await exitOf(refused)).toEqual([1, null]);
    expect(refused.log).toContain(message);
  });

  it('lets go of a TAP whose interface was deleted, without using the processor', async () => {
    await configure(lab.oneSwitch(true));
    await lab.exec('h2', 'ip', 'link', 'del', 'eth0');
    const directory = `/proc/${running.process.pid}/task`;
    const statesOf = (): string[] =>
      readdirSync(directory).map((task) => readFileSync(join(directory, task, 'stat'), 'latin1').split(') ')[1]![0]!);
    // A thread that asks a dead descriptor again and again never sleeps.
    await expect.poll(() => new Set(statesOf())).toEqual(new Set(['S']));
  });
});

const SINK = `
const server = require('node:net').createServer((socket) => socket.resume().on('end', () => server.close()));
server.listen(5001, '10.0.0.2', () => console.log('ready'));`;
const SOURCE = `require('node:net').connect(5001, '10.0.0.2').end(Buffer.alloc(2_000_000));`;

async function exitOf({ process: child }: LabSwitch): Promise<unknown[]> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  return [child.exitCode, child.signalCode];
}

/** Rows of fields, TCP checksums verified. What is cut off at the end, as a capture that goes on is, is left out. */
async function tshark(file: string, fields: readonly string[]): Promise<string[][]> {
  const args = [
    '-r',
    file,
    '-o',
    'tcp.check_checksum:TRUE',
    '-T',
    'fields',
    ...fields.flatMap((field) => ['-e', field]),
  ];
  const child = spawn('tshark', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await once(child, 'close');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}
