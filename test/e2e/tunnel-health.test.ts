/**
 * A tunnel whose path changes under it, and one whose peer says nothing, with traffic on.
 *
 *   h1 ── s1 ═════════ eth0 ── m0 [ lan ] m1 ── eth0 ═════════ s1 ── h2
 *        machine a                underlay              machine b
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles } from '../../control/journal.js';
import type { SwitchState, TunnelHealthState } from '../../model/messages.js';
import { processesOnRecord } from '../chaos/victims.js';
import { Bench, isRoot, LUTHIER, run } from './machine.js';

const SCENARIO = `
name: path
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`;

// Only root may enter the namespaces of machines that are played.
describe.runIf(isRoot)('the health of a tunnel', () => {
  let bench: Bench;
  let agent: AgentClient;

  beforeAll(async () => {
    bench = new Bench();
    await bench.ok('up', bench.scenario('path', SCENARIO));
    agent = await AgentClient.connect(bench.paths);
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  const pidOf = (role: string): number => {
    const record = journalFiles(bench.paths).flatMap(processesOnRecord);
    return record.find((process) => process.role === role)!.id.pid;
  };

  const ip = async (role: string, ...args: string[]): Promise<void> => {
    const netns = `--net=/proc/${pidOf(role)}/ns/net`;
    expect(await run('nsenter', [netns, 'ip', ...args], {})).toMatchObject({ code: 0 });
  };

  /** By machine; one that does not answer is left out. */
  const states = async (): Promise<Map<string, SwitchState>> => {
    const { switchProcesses } = await agent.network('path');
    return new Map(switchProcesses.flatMap(({ machine, state }) => (state === undefined ? [] : [[machine, state]])));
  };
  const healthOf = (state: SwitchState | undefined): TunnelHealthState | undefined => state?.tunnels[0]?.health;
  const sentBytes = async (): Promise<number> => {
    const { linkStates } = await agent.network('path');
    return linkStates.find(({ name }) => name === 'h1--s1')!.forwardBytes;
  };
  const patience = { timeout: 30_000, interval: 100 };

  it('follows the path as it becomes narrower and wider, and TCP goes on', async () => {
    const server = spawn(LUTHIER, ['exec', 'h2', '--', 'iperf3', '-s', '-1', '--forceflush'], { env: bench.env });
    const served = once(server, 'close');
    await once(server.stdout, 'data');
    const client = spawn(LUTHIER, ['exec', 'h1', '--', 'iperf3', '-t300', '-b20M', '-c', 'h2'], { env: bench.env });
    const ended = once(client, 'close');
    const bothHave = (bytes: number): Promise<void> =>
      expect
        .poll(async () => [...(await states()).values()].map((state) => healthOf(state)?.pathMtuBytes), patience)
        .toEqual([bytes, bytes]);
    const goesOn = async (): Promise<void> => {
      const before = await sentBytes();
      await expect.poll(sentBytes, patience).toBeGreaterThan(before + 1_000_000);
      expect(client.exitCode).toBe(null);
    };

    await bothHave(1500);
    // The path alone: nobody says anything, packets are gone.
    for (const cable of ['m0', 'm1']) await ip('underlay', 'link', 'set', 'dev', cable, 'mtu', '1400');
    await bothHave(1400);
    await goesOn();
    // The interfaces as well: the kernel refuses.
    for (const machine of ['a', 'b']) await ip(`machine:${machine}`, 'link', 'set', 'dev', 'eth0', 'mtu', '1280');
    await bothHave(1280);
    await goesOn();
    for (const machine of ['a', 'b']) await ip(`machine:${machine}`, 'link', 'set', 'dev', 'eth0', 'mtu', '1500');
    for (const cable of ['m0', 'm1']) await ip('underlay', 'link', 'set', 'dev', cable, 'mtu', '1500');
    await bothHave(1500);
    await goesOn();

    client.kill('SIGTERM');
    await Promise.all([ended, served]);
  });

  it('notices a peer that says nothing, forgets what was behind it, and has it back', async () => {
    const behind = (state: SwitchState): number =>
      state.bridges.flatMap(({ fdb }) => fdb).filter(({ link }) => link !== 'h1--s1').length;
    const ping = (): ReturnType<Bench['luthier']> => bench.luthier('exec', 'h1', '--', 'ping', '-c1', '-W2', 'h2');
    expect(await ping()).toMatchObject({ code: 0 });
    expect(behind((await states()).get('a')!)).toBe(1);
    const pid = (await agent.network('path')).switchProcesses.find(({ machine }) => machine === 'b')!.pid;
    process.kill(pid, 'SIGSTOP');
    try {
      const seen = async (): Promise<unknown> => {
        const state = (await states()).get('a')!;
        return [healthOf(state)?.liveness, behind(state)];
      };
      await expect.poll(seen, patience).toEqual(['dead', 0]);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await expect
      .poll(async () => healthOf((await states()).get('a')), patience)
      .toMatchObject({
        liveness: 'alive',
        pathMtuBytes: 1500,
      });
    await expect.poll(async () => (await ping()).code, patience).toBe(0);
  });
});
