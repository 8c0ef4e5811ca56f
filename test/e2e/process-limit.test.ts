/**
 * A limit of processes: foreseen where it is too low for a network, and where it is lowered while one is made, all of it
 * is taken back. RLIMIT_NPROC holds for ordinary users alone; root is held by a cgroup, as a container holds it.
 */
import { execFileSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles } from '../../control/journal.js';
import { loadText, type Scenario } from '../../control/scenario/index.js';
import type { NetworkState } from '../../model/messages.js';
import { readCgroupHierarchies } from '../../vhost/cgroup-hierarchies.js';
import { processesOnRecord } from '../chaos/victims.js';
import { agentPidOf, Bench, isRoot, LUTHIER, QUICK, processesOf, run } from './machine.js';

const MANY = 200;
/** Beside what runs, for the command, its agent and the beginning of a network: not for `MANY` hosts. */
const SPARE = 120;
/** Once a network is being made: for its keeper and some hosts. */
const FEW = 20;

const textOf = (hosts: number): string => {
  const names = Array.from({ length: hosts }, (_, i) => `h${i + 1}`);
  return [
    'name: limited\nnodes:\n  s1: { kind: switch, subnet: 10.0.0.0/16 }',
    ...names.map((name) => `  ${name}: { kind: host }`),
    'links:',
    ...names.map((name) => `  - { endpoints: [${name}, s1] }`),
  ].join('\n');
};
const scenarioOf = (hosts: number): Scenario => loadText(textOf(hosts), 'limited.yaml');

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench[Symbol.asyncDispose]());

describe.skipIf(isRoot)('RLIMIT_NPROC (skipped for root, for whom it does not hold)', () => {
  const uid = process.getuid!();

  /** Of our user, the threads of all of them. */
  function threadsNow(): number {
    const pids = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid));
    return pids.reduce((sum, pid) => {
      if (statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid !== uid) return sum;
      const tasks = `/proc/${pid}/task`;
      return sum + (existsSync(tasks) ? readdirSync(tasks).length : 0);
    }, 0);
  }

  /** The soft limit: it can be raised again. */
  function limit(pid: number, processes: number | 'unlimited'): void {
    execFileSync('prlimit', ['--pid', String(pid), `--nproc=${processes}:`]);
  }

  it('is foreseen', async () => {
    const file = bench.scenario('limited', textOf(MANY));
    const args = [`--nproc=${threadsNow() + SPARE}`, LUTHIER, 'up', file];
    const result = await run('prlimit', args, { env: bench.env, cwd: bench.directory });
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toMatch(
      /needs 214 processes and threads, and \d+ are left of \d+ \(RLIMIT_NPROC\)\n.*ulimit -u \d+/,
    );
    await bench.nothingLeft();
  });

  it('that a change meets leaves the network as it was, and the next one works', async () => {
    const agent = await AgentClient.connect(bench.paths);
    await agent.up(scenarioOf(2), QUICK);
    const before = await agent.network('limited');
    const [record] = journalFiles(bench.paths);
    const keeper = processesOnRecord(record!).find(({ role }) => role === 'keeper')!.id.pid;
    const own = /^Max processes +(\S+)/m.exec(readFileSync(`/proc/${keeper}/limits`, 'utf8'))![1]!;
    limit(keeper, threadsNow() + SPARE);
    await expect(agent.up(scenarioOf(MANY), QUICK)).rejects.toMatchObject({
      message: expect.stringMatching(/create 198 hosts.*EAGAIN.*the network is as it was before/) as string,
      hint: expect.stringContaining('ulimit -u') as string,
    });
    const pids = ({ nodes }: NetworkState): unknown => nodes.map(({ name, pid }) => [name, pid]);
    expect(pids(await agent.network('limited'))).toEqual(pids(before));
    await bench.reach('h1', 'h2');
    limit(keeper, own === 'unlimited' ? own : Number(own));
    await agent.up(scenarioOf(MANY), QUICK);
    await bench.reach('h1', `h${MANY}`);
    await agent.down('limited');
    await bench.nothingLeft();
  });

  it('that is lowered while a network is made has all of it removed', async () => {
    const agent = await AgentClient.connect(bench.paths);
    const pid = agentPidOf(bench.directory)!;
    const up = agent.up(scenarioOf(MANY), {
      ...QUICK,
      onProgress: ({ type }) => {
        if (type !== 'plan') return;
        // Meanwhile it makes nothing.
        process.kill(pid, 'SIGSTOP');
        const processes = threadsNow() + FEW;
        for (const own of processesOf(bench.directory)) limit(own.pid, processes);
        process.kill(pid, 'SIGCONT');
      },
    });
    await expect(up).rejects.toMatchObject({
      message: expect.stringMatching(/what was made has been removed$/) as string,
    });
    await bench.ok('ls');
    await bench.nothingLeft();
  });
});

const hierarchy = isRoot ? readCgroupHierarchies().find(isUsable) : undefined;

function isUsable({ version, directory, controllers }: ReturnType<typeof readCgroupHierarchies>[number]): boolean {
  if (!controllers.includes('pids')) return false;
  try {
    accessSync(directory, constants.W_OK);
  } catch {
    return false;
  }
  // Version 2: groups have the controllers that the one above hands down.
  return version === 1 || readFileSync(join(directory, 'cgroup.subtree_control'), 'utf8').includes('pids');
}

describe.skipIf(hierarchy === undefined)('pids.max (skipped where the tests may not make a cgroup of it)', () => {
  let group: string;
  beforeEach(() => {
    group = mkdtempSync(join(hierarchy!.directory, 'luthier-test-'));
  });
  afterEach(async () => {
    await removeGroup(group);
  });

  /** `luthier up` of `MANY` hosts, and so its agent, in the group; `hide`: in a name space where no cgroup is mounted. */
  function upInGroup(hide: boolean): ReturnType<typeof run> {
    const file = bench.scenario('limited', textOf(MANY));
    const unmount = hide ? 'umount -l -a -t cgroup,cgroup2 &&' : '';
    const enter = `echo $$ >"$0/cgroup.procs" && ${unmount} exec "$@"`;
    const args = ['--mount', 'sh', '-c', enter, group, LUTHIER, 'up', '--memory', '8MiB', file];
    return run('unshare', args, { env: bench.env, cwd: bench.directory });
  }

  it('is foreseen', async () => {
    writeFileSync(join(group, 'pids.max'), String(SPARE));
    const result = await upInGroup(false);
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toContain(`are left of ${SPARE} (${group}/pids.max)`);
    expect(result.stderr).toContain(`echo 256 >${group}/pids.max`);
    await bench.nothingLeft();
  });

  it('that cannot be foreseen, as no cgroup is to be seen, has all of it removed', async () => {
    writeFileSync(join(group, 'pids.max'), String(SPARE));
    const result = await upInGroup(true);
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toMatch(/Resource temporarily unavailable[^]*what was made has been removed/);
    expect(result.stderr).toContain('there may be no more processes');
    await bench.ok('ls');
    await bench.nothingLeft();
  });
});

/** Whatever is in it is ours: a test that failed may have left something. */
async function removeGroup(group: string): Promise<void> {
  const members = (): string[] => readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
  try {
    // A process that has just ended is in it for a moment.
    await expect.poll(members).toEqual([]);
  } finally {
    for (const pid of members()) process.kill(Number(pid), 'SIGKILL');
    await expect.poll(members).toEqual([]);
    rmdirSync(group);
  }
}
