/**
 * A path between two machines that marks instead of dropping: hosts whose TCP understands that hear of it, and those whose
 * traffic does not have it dropped, as RFC 6040 has it. The marks are nftables' own; what hosts hear is what their kernels
 * count.
 *
 *   h1 ── s1 ═════════ eth0 ── m0 [ lan ] m1 ── eth0 ═════════ s1 ── h2
 *        machine a           marks as it forwards          machine b
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles } from '../../control/journal.js';
import type { NetworkState, TunnelState } from '../../model/messages.js';
import { processesOnRecord } from '../chaos/victims.js';
import { Bench, isRoot, LUTHIER, run, speaks } from './machine.js';

const SCENARIO = `
name: marks
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24, subnet6: "fd00:1::/64" }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`;
const NFT = '/usr/sbin/nft';
const canMark = existsSync(NFT);
const whyNot = canMark ? '' : ' (skipped: needs nftables)';
const PATIENCE = { timeout: 30_000, interval: 200 };

// Only root may enter the namespaces of machines that are played.
describe.runIf(isRoot && canMark)(`a path that marks${whyNot}`, () => {
  let bench: Bench;
  let agent: AgentClient;

  beforeAll(async () => {
    bench = new Bench();
    await bench.ok('up', bench.scenario('marks', SCENARIO));
    agent = await AgentClient.connect(bench.paths);
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  const inspect = (): Promise<NetworkState> => agent.network('marks');

  /** In the underlay: from now on, what matches is marked CE; without, nothing is. */
  const mark = async (what?: string): Promise<void> => {
    const record = journalFiles(bench.paths).flatMap(processesOnRecord);
    const { pid } = record.find(({ role }) => role === 'underlay')!.id;
    const rules = ['add table bridge marks', 'delete table bridge marks'];
    if (what !== undefined) {
      rules.push('add table bridge marks');
      rules.push('add chain bridge marks forward { type filter hook forward priority 0; }');
      rules.push(`add rule bridge marks forward ${what} ip ecn set ce`);
    }
    expect(await run('nsenter', [`--net=/proc/${pid}/ns/net`, NFT, rules.join(';')], {})).toMatchObject({ code: 0 });
  };

  /** A counter of a host's kernel: `IpExt InCEPkts` of /proc/net/netstat. */
  const counted = async (host: string, group: string, name: string): Promise<number> => {
    const text = await bench.ok('exec', host, '--', 'cat', '/proc/net/netstat');
    const [names, values] = text.split('\n').flatMap((line) => (line.startsWith(`${group}:`) ? [line.split(' ')] : []));
    return Number(values![names!.indexOf(name)]);
  };
  const counted6 = async (host: string, name: string): Promise<number> => {
    const text = await bench.ok('exec', host, '--', 'cat', '/proc/net/snmp6');
    return Number(new RegExp(`^${name}\\s+(\\d+)$`, 'm').exec(text)![1]);
  };

  const ping = (): ReturnType<Bench['luthier']> => bench.luthier('exec', 'h1', '--', 'ping', '-c1', '-W2', '10.0.1.2');

  it('is heard of by TCP that understands it, over IPv4 and IPv6, and nothing is dropped for it', async () => {
    for (const host of ['h1', 'h2']) await bench.ok('exec', host, '--', 'sysctl', '-qw', 'net.ipv4.tcp_ecn=1');
    // Packets marked CE that h2 took, those of a family.
    const marked = {
      '10.0.1.2': () => counted('h2', 'IpExt', 'InCEPkts'),
      'fd00:1::2': () => counted6('h2', 'Ip6InCEPkts'),
    };
    const deliver = async (address: string): Promise<void> => {
      const server = spawn(LUTHIER, ['exec', 'h2', '--', 'iperf3', '-s', '-1', '--forceflush'], { env: bench.env });
      const served = once(server, 'close');
      await speaks(server);
      await bench.ok('exec', 'h1', '--', 'iperf3', '-n', '2M', '-c', address);
      await served;
    };
    for (const [address, taken] of Object.entries(marked)) {
      await mark();
      const before = await taken();
      await deliver(address);
      expect(await taken(), `${address}, nothing marked`).toBe(before);
      await mark('ip ecn != not-ect');
      const told = await counted('h1', 'TcpExt', 'TCPDeliveredCE');
      await deliver(address);
      expect(await taken(), `${address}, marked`).toBeGreaterThan(before);
      // And h2 has told h1, which is who is to slow down.
      expect(await counted('h1', 'TcpExt', 'TCPDeliveredCE')).toBeGreaterThan(told);
    }
    expect((await inspect()).drops).not.toHaveProperty('ecnConflict');
  });

  it('costs traffic that does not understand it its packets, which are counted', async () => {
    await mark();
    await expect.poll(async () => (await ping()).code, PATIENCE).toBe(0);
    const before = (await inspect()).drops['ecnConflict'] ?? 0;
    await mark('');
    expect((await ping()).code).not.toBe(0);
    expect((await inspect()).drops['ecnConflict']).toBeGreaterThan(before);
    expect(await bench.ok('inspect', 'marks')).toContain('ecnConflict');
    const tunnels = async (): Promise<readonly TunnelState[]> =>
      (await inspect()).switchProcesses.flatMap(({ state }) => state?.tunnels ?? []);
    await expect
      .poll(async () => (await tunnels()).some(({ health }) => (health?.ecnAnomalies ?? 0) > 0), PATIENCE)
      .toBe(true);
    // What the tunnel sends for itself bears marks as well, and is well.
    const isWell = { state: 'sealed', health: { liveness: 'alive' } };
    expect(await tunnels()).toMatchObject([isWell, isWell]);
    await mark();
    await expect.poll(async () => (await ping()).code, PATIENCE).toBe(0);
  });
});
