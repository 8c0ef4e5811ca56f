import { describe, expect, it } from 'vitest';
import { CapacityError } from '../model/errors.js';
import type { Notice } from '../model/messages.js';
import type { Network } from '../model/network.js';
import type { RawScenario } from '../model/scenario.js';
import { capacityProblems, demandOf, foresee, hostRoom } from './capacity.js';
import type { Demand, MachineLimits } from './capacity.js';
import { load, resolve } from './scenario/index.js';
import { readMachineLimits } from './machine-limits.js';

const MIB = 2 ** 20;

/** So many hosts on one switch, over so many machines. */
function lan(hosts: number, machines = 1): Network {
  const names = Array.from({ length: machines }, (_, i) => `m${i}`);
  const nodes: RawScenario['nodes'] = { s1: { kind: 'switch', subnet: '10.0.0.0/16', subnet6: 'fd00:1::/64' } };
  for (let i = 0; i < hosts; i++) nodes[`h${i}`] = { kind: 'host', machine: names[i % machines]! };
  const links = Array.from({ length: hosts }, (_, i) => ({ endpoints: [`h${i}`, 's1'] as [string, string] }));
  return resolve(load({ name: 'x', machines: names, nodes, links }));
}

const unlimited: MachineLimits = {
  openFiles: Infinity,
  pids: { limit: Infinity, used: 0 },
  threads: { limit: Infinity, used: 0 },
  userProcesses: undefined,
  groupProcesses: undefined,
  groupMemory: undefined,
  namespaces: { net: Infinity, mnt: Infinity, uts: Infinity, pid: Infinity, ipc: Infinity },
  memoryBytes: Infinity,
  runtimeBytes: Infinity,
  neighbours: { ipv4: Infinity, ipv6: Infinity },
};

describe('what a network takes', () => {
  it('of one switch and its hosts', () => {
    expect(demandOf(lan(10), 64 * MIB)).toEqual({
      keeperDescriptors: 10 + 20 + 64,
      heldDescriptors: 10,
      switchDescriptors: 10 + 64,
      threads: 1 + 10 + 13,
      namespaces: { net: 10, mnt: 11, uts: 10, pid: 10, ipc: 10 },
      memoryBytes: 10 * 0.6 * MIB + 144 * MIB,
      // Two pages of names and one of the host's own name.
      runtimeBytes: 10 * 3 * 4096,
      neighbours: { ipv4: 90, ipv6: 90 },
    });
  });

  it('of two machines: their namespaces, the underlay, and both ends of the tunnel', () => {
    const alone = demandOf(lan(10), MIB);
    const apart = demandOf(lan(10, 2), MIB);
    expect(apart.heldDescriptors - alone.heldDescriptors).toBe(2);
    expect(apart.keeperDescriptors - alone.keeperDescriptors).toBe(2 + 2 * 3);
    expect(apart.switchDescriptors).toBe(5 + 1 + 64);
    expect(apart.threads - alone.threads).toBe(3 + 13);
    expect(apart.namespaces.net - alone.namespaces.net).toBe(3);
  });

  it('of a host with a command and two ports', () => {
    const network = resolve(
      load({
        name: 'x',
        nodes: { h1: { kind: 'host', command: ['true'] }, h2: { kind: 'host' } },
        links: [{ endpoints: ['h1', 'h2'] }, { endpoints: ['h1', 'h2'] }],
      }),
    );
    const demand = demandOf(network, 0);
    expect(demand.threads).toBe(1 + 2 + 1 + 13);
    expect(demand.memoryBytes).toBe(2 * 0.6 * MIB + 2 * 0.1 * MIB + 80 * MIB);
    expect(demand.neighbours).toEqual({ ipv4: 4, ipv6: 4 });
  });
});

describe('what a machine cannot hold', () => {
  const demand = demandOf(lan(100), 64 * MIB);
  const said = (limits: Partial<MachineLimits>, running?: Demand): string[] =>
    capacityProblems(demand, { ...unlimited, ...limits }, running).map(
      ({ severity, message, hint }) => `${severity}: ${message} | ${hint}`,
    );

  it('is nothing where there is enough, to the last one', () => {
    expect(said({})).toEqual([]);
    expect(said({ openFiles: 364 })).toEqual([]);
    expect(said({ pids: { limit: 214, used: 100 } })).toEqual([]);
    expect(said({ memoryBytes: 204 * MIB })).toEqual([]);
    expect(said({ runtimeBytes: 100 * 4 * 4096 })).toEqual([]);
    expect(said({ namespaces: { net: 100, mnt: 101, uts: 100, pid: 100, ipc: 100 } })).toEqual([]);
    expect(said({ neighbours: { ipv4: 9900, ipv6: 9900 } })).toEqual([]);
  });

  it('is told by the limit, both numbers, and what raises it', () => {
    expect(said({ openFiles: 363 })).toEqual([
      'error: its keeper needs 364 descriptors, and a process may have 363 (RLIMIT_NOFILE) | ' +
        'as root, raise the hard limit of the shell that calls luthier: ulimit -Hn 512',
    ]);
    expect(said({ pids: { limit: 213, used: 100 } })).toEqual([
      'error: it needs 114 processes and threads, and 113 are left of 213 (kernel.pid_max) | sysctl -w kernel.pid_max=256',
    ]);
    expect(said({ threads: { limit: 50, used: 100 } })[0]).toContain('0 are left of 50 (kernel.threads-max)');
    expect(said({ userProcesses: { limit: 120, used: 10 } })[0]).toContain('ulimit -u 128');
    expect(said({ namespaces: { ...unlimited.namespaces, mnt: 100 } })).toEqual([
      'error: it needs 101 mnt namespaces, and a user may have 100 (user.max_mnt_namespaces) | sysctl -w user.max_mnt_namespaces=128',
    ]);
    expect(said({ memoryBytes: 203 * MIB })[0]).toMatch(/^error: it needs about 204 MiB .*, and 203 MiB are available/);
    expect(said({ runtimeBytes: 0 })[0]).toMatch(/^error: the files of its hosts .* LUTHIER_RUNTIME_DIR/);
  });

  it('is told by the file of the cgroup that limits it, and what that is called elsewhere', () => {
    const file = '/sys/fs/cgroup/a.slice/pids.max';
    expect(said({ groupProcesses: { limit: 213, used: 100, file } })).toEqual([
      `error: it needs 114 processes and threads, and 113 are left of 213 (${file}) | raise the limit of the cgroup that ` +
        `luthier runs in: echo 256 >${file} (a systemd unit's TasksMax=, a container's --pids-limit)`,
    ]);
    expect(said({ groupProcesses: { limit: 214, used: 100, file } })).toEqual([]);
    const memory = '/sys/fs/cgroup/memory.max';
    expect(said({ groupMemory: { limit: 256 * MIB, used: 53 * MIB, file: memory } })).toEqual([
      `error: it needs about 204 MiB of memory, and 203 MiB are left of 256 MiB (${memory}) | raise the limit of the cgroup that ` +
        `luthier runs in: echo 536870912 >${memory} (a systemd unit's MemoryMax=, a container's --memory), ` +
        'or give switch processes less: --memory 16MiB',
    ]);
    expect(said({ groupMemory: { limit: 256 * MIB, used: 52 * MIB, file: memory } })).toEqual([]);
  });

  it('is only told for the neighbour tables, after what is worse', () => {
    expect(said({ neighbours: { ipv4: 1024, ipv6: 9899 }, openFiles: 0 })).toEqual([
      expect.stringMatching(/^error/),
      'warning: when all of a LAN talk to all, the kernel needs 9900 neighbours, and it keeps 1024 on the whole machine: ' +
        'what is sent to one more is then lost | ' +
        'sysctl -w net.ipv4.neigh.default.gc_thresh3=16384 net.ipv6.neigh.default.gc_thresh3=16384',
    ]);
  });

  it('is nothing where nothing is added, though more is in use than a limit allows', () => {
    const file = '/sys/fs/cgroup/a/max';
    const over = { limit: 64, used: 100 };
    const lowered = { pids: over, threads: over, groupProcesses: { ...over, file }, groupMemory: { ...over, file } };
    expect(said(lowered, demand)).toEqual([]);
    expect(said(lowered, demandOf(lan(99), 64 * MIB))).toHaveLength(4);
  });

  it('is what a change adds, where the network runs already', () => {
    const tight = { pids: { limit: 120, used: 110 }, memoryBytes: 10 * MIB };
    expect(said(tight)).toHaveLength(2);
    expect(said(tight, demandOf(lan(95), 64 * MIB))).toEqual([]);
  });

  it('is a network of 10 000 hosts on a machine with the usual limits', () => {
    const usual = { ...unlimited, openFiles: 20_000, pids: { limit: 32_768, used: 200 } };
    const [first, ...others] = capacityProblems(demandOf(lan(10_000, 3), 64 * MIB), usual);
    expect(first!.message).toMatch(/^its keeper needs 30\d{3} descriptors, and a process may have 20000/);
    expect(others).toEqual([]);
  });

  it('ends what was asked, with all that is wrong; a warning is a notice', () => {
    const notices: Notice[] = [];
    const problems = capacityProblems(demand, {
      ...unlimited,
      openFiles: 10,
      memoryBytes: MIB,
      neighbours: { ipv4: 1, ipv6: 1 },
    });
    expect(() => foresee(problems, (notice) => notices.push(notice))).toThrow(CapacityError);
    expect(() => foresee(problems, (notice) => notices.push(notice))).toThrow(
      /364 descriptors.*; it needs about 204 MiB/,
    );
    expect(notices).toEqual([]);
    foresee(problems.slice(-1), (notice) => notices.push(notice));
    expect(notices).toEqual([{ message: problems.at(-1)!.message, hint: problems.at(-1)!.hint }]);
  });
});

it('the hosts that a machine has room for are those that it would be given', () => {
  const machine: MachineLimits = {
    ...unlimited,
    openFiles: 3064,
    pids: { limit: 614, used: 100 },
    memoryBytes: (144 + 0.6 * 700) * MIB,
  };
  const { hosts, problems } = hostRoom(machine, 501, 64 * MIB);
  expect(hosts).toEqual({ descriptors: 1000, processes: 500, namespaces: 16_384, memory: 700 });
  expect(problems).toEqual(capacityProblems(demandOf(lan(501), 64 * MIB), machine).slice(0, 1));
  const errors = (count: number): unknown[] => capacityProblems(demandOf(lan(count), 64 * MIB), machine);
  expect(errors(500)).toEqual([]);
  expect(errors(501)).not.toEqual([]);
});

it('the limits of this machine are read', () => {
  const limits = readMachineLimits('/no/such/folder');
  for (const { limit, used } of [limits.pids, limits.threads]) expect(limit).toBeGreaterThan(used);
  expect(limits.pids.used).toBeGreaterThan(0);
  expect(limits.openFiles).toBeGreaterThan(100);
  expect(limits.memoryBytes).toBeGreaterThan(MIB);
  expect(limits.runtimeBytes).toBeGreaterThan(0);
  expect(Object.values({ ...limits.namespaces, ...limits.neighbours }).every((limit) => limit > 0)).toBe(true);
});
