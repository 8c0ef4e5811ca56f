/**
 * VIOLIN's figure 2, real: two LANs, a router, two machines.
 *
 *   machine a                                machine b
 *     h1 ── s1 ── r1 ══════════ tunnel ══════════ s2 ── h3
 *     h4 ══════════════════════ tunnel ══════════ s2
 *            s1 ═══════════════ tunnel ══════════════── h2
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkState, TraceReport } from '../../model/messages.js';
import { Bench, isRoot, LUTHIER, ROOT, run, speaks } from './machine.js';

describe('two-lans', () => {
  let bench: Bench;
  let state: NetworkState;

  const exec = (node: string, ...argv: string[]): ReturnType<Bench['luthier']> =>
    bench.luthier('exec', node, '--', ...argv);
  const ok = (node: string, ...argv: string[]): Promise<string> => bench.ok('exec', node, '--', ...argv);
  const address = (node: string, family: 4 | 6 = 4): string => {
    const addresses = state.nodes.find(({ name }) => name === node)!.ports.flatMap((port) => port.addresses);
    return addresses.find((candidate) => candidate.includes(':') === (family === 6))!.split('/')[0]!;
  };

  beforeAll(async () => {
    bench = new Bench();
    await bench.ok('up', join(ROOT, 'scenarios/two-lans/scenario.yaml'));
    state = (JSON.parse(await bench.ok('inspect', '--json', 'two-lans')) as { network: NetworkState }).network;
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  it('is listed', async () => {
    const { networks } = JSON.parse(await bench.ok('ls', '--json')) as {
      luthier: number;
      networks: { name: string }[];
    };
    expect(networks).toEqual([expect.objectContaining({ name: 'two-lans', status: 'running', machines: 2 })]);
  });

  it('carries pings between any two hosts, by name', async () => {
    const all = ['h1', 'h2', 'h3', 'r1'];
    const script = 'for to; do ping -q -c1 -i0.2 -w20 $to || exit; done';
    const reach = async (from: string): Promise<number | null> =>
      (await exec(from, 'sh', '-c', script, 'sh', ...all)).code;
    for (const from of all)
      await expect.poll(() => reach(from), { timeout: 60_000, message: `${from} reaches all` }).toBe(0);
  });

  it('has no gateway where the scenario says none', async () => {
    await bench.reach('h4', address('h3'));
    expect((await exec('h4', 'ping', '-c1', '-W1', address('h1'))).code).not.toBe(0);
  });

  it('carries IPv6', async () => {
    await bench.reach('h1', address('h2', 6));
  });

  it('shows two hops from h1 to h3, however many machines are between', async () => {
    const out = await ok('h1', 'traceroute', '-n', '-q1', '-w20', 'h3');
    const hops = out.trim().split('\n').slice(1);
    expect(hops).toHaveLength(2);
    expect(hops[1]).toContain(address('h3'));
  });

  it('lets a guest use its full MTU through a tunnel over an underlay of the same MTU', async () => {
    expect(await ok('h1', 'ping', '-c2', '-w20', '-M', 'do', '-s', '1472', 'h3')).toContain('2 received');
    const tooLong = await exec('h1', 'ping', '-c1', '-W1', '-M', 'do', '-s', '1473', 'h3');
    expect(tooLong.code).not.toBe(0);
  });

  it('carries TCP both ways, whole', async () => {
    const server = spawn(LUTHIER, ['exec', 'h3', '--', 'iperf3', '-s', '-1', '--forceflush'], { env: bench.env });
    const served = once(server, 'close');
    await speaks(server);
    const report = JSON.parse(await ok('h1', 'iperf3', '-J', '-n', '10M', '-c', 'h3')) as {
      end: { sum_received: { bytes: number } };
    };
    expect(report.end.sum_received.bytes).toBeGreaterThan(1_000_000);
    await served;
  });

  it('runs hosts as hosts: own name, own processes, own mounts', async () => {
    expect((await ok('h1', 'hostname')).trim()).toBe('h1');
    expect(await ok('h1', 'cat', '/etc/hosts')).toMatch(/\bh3\b/);
    const pids = (await ok('h1', 'sh', '-c', 'ls /proc | grep -c "^[0-9]"')).trim();
    expect(Number(pids)).toBeLessThan(10);
    expect((await ok('h1', 'sh', '-c', 'ls /sys/class/net')).trim().split(/\s+/).sort()).toEqual(['eth0', 'lo']);
  });

  it("returns a command's status, and what a shell returns when there is none to return", async () => {
    expect((await exec('h1', 'sh', '-c', 'exit 7')).code).toBe(7);
    expect((await exec('h1', 'sh', '-c', 'kill -TERM $$')).code).toBe(128 + 15);
    expect((await exec('h1', 'no-such-command')).code).toBe(127);
    expect((await exec('h1', '/etc/hosts')).code).toBe(126);
    expect((await bench.luthier('exec', 'no-such-host', '--', 'true')).code).toBe(125);
  });

  it('keeps the switch processes without any privilege', () => {
    const pids = state.switchProcesses.map(({ pid }) => pid);
    expect(pids).toHaveLength(2);
    for (const pid of pids) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)![1]!;
      for (const ids of [field('Uid'), field('Gid')]) {
        // Root has users to give away; an ordinary user is the only one in its user namespace.
        if (isRoot) for (const id of ids.split(/\s+/)) expect(Number(id)).toBeGreaterThanOrEqual(0x6000_0000);
        else expect(readlinkSync(`/proc/${pid}/ns/user`)).not.toBe(readlinkSync('/proc/self/ns/user'));
      }
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(field(set)).toMatch(/^0+$/);
      expect(field('NoNewPrivs')).toBe('1');
      // Where its user is not its own, its system calls are filtered.
      expect(field('Seccomp')).toBe(isRoot ? '0' : '2');
      expect(field('Groups').trim()).toBe('');
    }
  });

  it('moves small frames by io_uring where doctor says that it may be had', async () => {
    const { checks } = JSON.parse(await bench.ok('doctor', '--json')) as { checks: { name: string; status: string }[] };
    const mayBeHad = checks.find(({ name }) => name === 'io_uring')!.status === 'ok';
    for (const { state: its } of state.switchProcesses) expect(its!.ioUringError === undefined).toBe(mayBeHad);
    if (!isRoot) expect(state.switchProcesses[0]!.state!.ioUringError).toBe('ENOSYS');
  });

  it('captures with nanoseconds and complete checksums, as tshark reads it', async () => {
    const file = bench.path('h1.pcapng');
    const capture = spawn(LUTHIER, ['capture', 'h1:eth0', '-w', file], {
      env: bench.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const captured = once(capture, 'close');
    await speaks(capture, 'stderr');
    const server = spawn(LUTHIER, ['exec', 'h3', '--', 'iperf3', '-s', '-1', '--forceflush'], { env: bench.env });
    const served = once(server, 'close');
    await speaks(server);
    const { end } = JSON.parse(await ok('h1', 'iperf3', '-J', '-c', 'h3', '-n', '200K')) as {
      end: { sum_received: { bytes: number } };
    };
    await served;
    capture.kill('SIGINT');
    await captured;
    const wanted = ['frame.time_epoch', 'tcp.len', 'tcp.checksum.status', 'ip.checksum.status'];
    const fields = ['-T', 'fields', ...wanted.flatMap((field) => ['-e', field])];
    const checks = ['-o', 'tcp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE'];
    const shark = await run('tshark', ['-r', file, ...checks, '-Y', 'tcp', ...fields]);
    expect(shark).toMatchObject({ code: 0 });
    const rows = shark.stdout
      .trim()
      .split('\n')
      .map((row) => row.split('\t'));
    expect(rows.reduce((sum, [, length]) => sum + Number(length), 0)).toBeGreaterThanOrEqual(end.sum_received.bytes);
    for (const [time, , tcp, ip] of rows) {
      expect(time).toMatch(/\.\d{9}$/);
      expect([tcp, ip]).toEqual(['1', '1']);
    }
    expect(new Set(rows.map(([time]) => time!.slice(-3))).size).toBeGreaterThan(1);
  });

  it('tells the way of a frame', async () => {
    await bench.reach('h1', 'h3');
    const report = (JSON.parse(await bench.ok('trace', '--json', 'h1', 'h3')) as { trace: TraceReport }).trace;
    expect(report.reached).toBe(true);
    const text = report.steps.map(({ where, what }) => `${where}: ${what}`).join('\n');
    expect(text).toContain('switch s1');
    expect(text).toContain('has learned');
    expect(text).toContain('tunnel from machine a to b');
    const unreached = await bench.luthier('trace', '--json', 'h4', 'h1');
    expect(unreached.code).toBe(1);
    const lost = (JSON.parse(unreached.stdout) as { trace: TraceReport }).trace;
    expect(lost.reached).toBe(false);
    expect(lost.steps.at(-1)).toMatchObject({ where: 'h4', dropped: true });
  });

  it('counts what it carries', async () => {
    const now = (JSON.parse(await bench.ok('inspect', '--json', 'two-lans')) as { network: NetworkState }).network;
    const h1 = now.nodes.find(({ name }) => name === 'h1')!.ports[0]!;
    expect(h1.rxPackets).toBeGreaterThan(0);
    expect(h1.txPackets).toBeGreaterThan(0);
    expect(await bench.ok('inspect', 'two-lans')).toContain('h1');
  });
});
