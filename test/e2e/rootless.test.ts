/** What is particular to an ordinary user's networks; all other end-to-end tests run as one, too (scripts/as-user). */
import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nsrunPath } from '../../control/native-tools.js';
import { gone, processId } from '../../control/process.js';
import type { NetworkState } from '../../model/messages.js';
import { agentPidOf, Bench, isRoot, LUTHIER, ROOT, run, type Result } from './machine.js';

const PAIR = `
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench[Symbol.asyncDispose]());

async function inspect(name: string): Promise<NetworkState> {
  return (JSON.parse(await bench.ok('inspect', '--json', name)) as { network: NetworkState }).network;
}

function initOf(network: NetworkState, node: string): number {
  return network.nodes.find(({ name }) => name === node)!.pid!;
}

function userNamespaceOf(pid: number): string {
  return readlinkSync(`/proc/${pid}/ns/user`);
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}

async function killed(...pids: readonly number[]): Promise<void> {
  const ids = pids.flatMap((pid) => processId(pid) ?? []);
  for (const { pid } of ids) process.kill(pid, 'SIGKILL');
  for (const id of ids) expect(await gone(id, 10_000)).toBe(true);
}

describe.skipIf(isRoot)('without root (skipped for root, who needs no user namespace)', () => {
  it('goes on without its agent, and the next one works in the same user namespace', async () => {
    await bench.ok('up', bench.scenario('one', `name: one${PAIR}`));
    const init = initOf(await inspect('one'), 'h1');
    const namespace = userNamespaceOf(init);
    expect(namespace).not.toBe(readlinkSync('/proc/self/ns/user'));
    const agent = agentPidOf(bench.directory)!;
    expect(userNamespaceOf(agent)).toBe(namespace);
    const pings = bench.answers('h1', 'h2', 100, '-i0.01');
    await killed(agent);
    expect(await pings).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(await bench.ok('ls')).toMatch(/one +running/);
    expect(userNamespaceOf(agentPidOf(bench.directory)!)).toBe(namespace);
    // Both networks are its own: it can make the second, and remove the first.
    await bench.ok('up', bench.scenario('two', `name: two${PAIR}`));
    expect(userNamespaceOf(initOf(await inspect('two'), 'h1'))).toBe(namespace);
    await bench.ok('down', 'one');
    await bench.reach('h1', 'h2');
  });

  it('finds its user namespace again through the hosts when agent and keeper were killed', async () => {
    await bench.ok('up', bench.scenario('one', `name: one${PAIR}`));
    const init = initOf(await inspect('one'), 'h1');
    const namespace = userNamespaceOf(init);
    await killed(agentPidOf(bench.directory)!, parentOf(init));
    await bench.ok('ls');
    expect(userNamespaceOf(agentPidOf(bench.directory)!)).toBe(namespace);
    await bench.ok('down', 'one');
    await bench.nothingLeft();
  });

  it('keeps its files below HOME and /tmp, for its user alone', async () => {
    const { LUTHIER_RUNTIME_DIR, LUTHIER_STATE_DIR, XDG_RUNTIME_DIR, XDG_STATE_HOME, ...inherited } = bench.env;
    const env = { ...inherited, HOME: bench.directory };
    const luthier = async (...args: string[]): Promise<void> => {
      expect(await run(LUTHIER, args, { env, cwd: bench.directory })).toMatchObject({ code: 0 });
    };
    const folders = [`/tmp/luthier-${process.getuid!()}`, bench.path('.local/state/luthier')];
    await luthier('up', bench.scenario('one', `name: one${PAIR}`));
    for (const folder of folders) expect(statSync(folder).mode & 0o022).toBe(0);
    expect(statSync(join(folders[0]!, 'agent.sock')).mode & 0o777).toBe(0o600);
    await luthier('down', 'one');
    expect(folders.filter((folder) => existsSync(folder))).toEqual([]);
  });

  it("refuses another user's folder before anything is made", async () => {
    const file = bench.scenario('one', `name: one${PAIR}`);
    const env = { ...bench.env, LUTHIER_RUNTIME_DIR: '/etc' };
    expect(await run(LUTHIER, ['up', file], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\/etc belongs to another user.*\n {2}.*set LUTHIER_RUNTIME_DIR/) as string,
    });
    await bench.nothingLeft();
  });

  /** `up` where a machine's settings are others: as root of a user namespace, they can be played. */
  async function upWhere(preparation: string): Promise<Result> {
    const file = bench.scenario('one', `name: one${PAIR}`);
    const script = `${preparation} && exec "$@"`;
    const args = ['rootless', '--', 'unshare', '--mount', 'sh', '-c', script, 'sh', LUTHIER, 'up', file];
    return run(nsrunPath, args, { env: bench.env });
  }

  it.each([
    ['user namespaces', 'echo 0 >/proc/sys/user/max_user_namespaces', 'sysctl -w user.max_user_namespaces=15000'],
    ['TAPs', 'mount --bind /etc/shadow /dev/net/tun', 'chmod 666 /dev/net/tun'],
  ])('says before anything is made where %s may not be made', async (_, preparation, mend) => {
    expect(await upWhere(preparation)).toMatchObject({ code: 1, stderr: expect.stringContaining(mend) as string });
    await bench.nothingLeft();
  });

  it('works for root of a user namespace, in another one', async () => {
    expect(await upWhere('true')).toMatchObject({ code: 0 });
    await bench.ok('down', 'one');
  });

  it('has a doctor that tells how it works here', async () => {
    const { able, checks } = JSON.parse(await bench.ok('doctor', '--json')) as {
      able: boolean;
      checks: { name: string; status: string; detail: string }[];
    };
    expect(able).toBe(true);
    const found = Object.fromEntries(checks.map(({ name, status, detail }) => [name, `${status}: ${detail}`]));
    expect(found).toMatchObject({
      privileges: 'ok: ordinary user: a user namespace is used',
      'user namespaces': 'ok: may be made',
      '/dev/net/tun': 'ok: may be opened',
      'TAP devices': expect.stringMatching(/^(ok|limited)/) as string,
      limits: expect.stringMatching(/^(ok|limited): on one switch: descriptors for \d+, processes for \d+/) as string,
    });
  });

  it('runs the demonstration', async () => {
    const { code, stdout, stderr } = await run(process.execPath, [join(ROOT, 'dist/bin/demo.js')], { env: bench.env });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stdout).toContain('nothing is left');
  });
});
