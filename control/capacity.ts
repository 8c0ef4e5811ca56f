/**
 * What a network takes of the machine, and whether the machine has it: said before anything is made, because what runs
 * out half-way is a step that fails for a reason that no user knows.
 *
 * `demandOf` and `capacityProblems` are pure; `readMachineLimits` (`machine-limits.ts`) says what there is. What things cost
 * was measured: see the constants. Called by `networks.ts` before it begins.
 */
import { isEmulated } from '../model/emulation.js';
import { CapacityError } from '../model/errors.js';
import type { Notice } from '../model/messages.js';
import type { Network } from '../model/network.js';
import { hostFilesBytes } from '../vhost/netns.js';
import { netnsNodes } from '../vrouter/router.js';
import { playedMachines, switchConfigs, tunnels, vxlans } from './wiring.js';

/** So much there may be, and so much of it is in use. */
export interface Room {
  readonly limit: number;
  readonly used: number;
}

/** Of a cgroup, and of the file that says so. */
export interface GroupRoom extends Room {
  readonly file: string;
}

export const NAMESPACES = ['net', 'mnt', 'uts', 'pid', 'ipc'] as const;

export interface MachineLimits {
  /** Of one process: RLIMIT_NOFILE, hard. */
  readonly openFiles: number;
  /** kernel.pid_max: threads count. */
  readonly pids: Room;
  /** kernel.threads-max */
  readonly threads: Room;
  /** RLIMIT_NPROC of our user; undefined where it does not hold, for root. */
  readonly userProcesses: Room | undefined;
  /** The tightest of the cgroups that we are in (`cgroup-room.ts`). */
  readonly groupProcesses: GroupRoom | undefined;
  readonly groupMemory: GroupRoom | undefined;
  /** user.max_net_namespaces and so on. */
  readonly namespaces: Readonly<Record<(typeof NAMESPACES)[number], number>>;
  /** MemAvailable */
  readonly memoryBytes: number;
  /** Left in the file system of the sockets' folder, where hosts have their files. */
  readonly runtimeBytes: number;
  /** net.ipv4.neigh.default.gc_thresh3, and of ipv6: of all namespaces together. */
  readonly neighbours: Readonly<Record<'ipv4' | 'ipv6', number>>;
}

export interface CapacityProblem extends Notice {
  /** `error`: it would fail half-way. `warning`: it works, but for what the message says. */
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly hint: string;
}

export interface Demand {
  readonly keeperDescriptors: number;
  /** Of ports and tunnels, which the keeper holds by name. */
  readonly heldDescriptors: number;
  /** Of the switch process with the most ports. */
  readonly switchDescriptors: number;
  readonly threads: number;
  readonly namespaces: Readonly<Record<(typeof NAMESPACES)[number], number>>;
  readonly memoryBytes: number;
  readonly runtimeBytes: number;
  /** When every port of a LAN talks to every other one. */
  readonly neighbours: Readonly<Record<'ipv4' | 'ipv6', number>>;
}

/** native/keeper.h, MAX_DESCRIPTORS */
const MOST_HELD_DESCRIPTORS = 16_384;
/** Of a host, in the keeper: its init's socket and its end. */
const DESCRIPTORS_PER_HOST = 2;
/** Of the keeper and of a switch process, beside those of ports and tunnels: 12 and 32, and some connections. */
const SPARE_DESCRIPTORS = 64;
/** Node's own, V8's and an engine's: 12, and one to spare for a restart. */
const THREADS_PER_SWITCH = 13;
/** MemAvailable over 500 hosts with a port each: 0.45 MiB, of which 0.42 are the kernel's. */
const BYTES_PER_HOST = 0.6 * 2 ** 20;
/** A second port of a host. */
const BYTES_PER_PORT = 0.1 * 2 ** 20;
/** Resident before the first frame: 70 to 80 MiB, a part of them shared by all; frames come to it. */
const BYTES_PER_SWITCH = 80 * 2 ** 20;
/** One more engine in it, likewise: 15 MiB of heap, code and counters. */
const BYTES_PER_ENGINE = 20 * 2 ** 20;

/** `memoryBytes`: for the frames of each switch process; `engines`: of each. */
export function demandOf(network: Network, memoryBytes: number, engines = 1): Demand {
  const hosts = netnsNodes(network);
  const configs = switchConfigs(network, 1);
  const pairs = tunnels(network, configs);
  const played = playedMachines(network, pairs).length;
  const counts = {
    hosts: hosts.length,
    ports: hosts.reduce((sum, host) => sum + host.ports.length, 0),
    commands: hosts.filter(({ command }) => command !== undefined).length,
    played: played === 0 ? 0 : played + 1,
    tunnels: pairs.length,
    vxlans: vxlans(network).length,
    switchProcesses: configs.size,
    furtherEngines: configs.size * (engines - 1),
    mostDevices: Math.max(0, ...[...configs.values()].map(({ devices }) => devices.length)),
    areEmulated: network.links.some(isEmulated),
  };
  return {
    ...demandOfCounts(counts, memoryBytes),
    runtimeBytes: hostFilesBytes(network),
    neighbours: { ipv4: neighbours(network, false), ipv6: neighbours(network, true) },
  };
}

interface Counts {
  readonly hosts: number;
  readonly ports: number;
  readonly commands: number;
  /** Namespaces of machines, and of the underlay between them. */
  readonly played: number;
  readonly tunnels: number;
  readonly vxlans: number;
  readonly switchProcesses: number;
  /** Of all of them, beside the first of each. */
  readonly furtherEngines: number;
  /** Of one switch process. */
  readonly mostDevices: number;
  /** Some links do something to frames: beside each TAP there is what tells when frames came (`actions/arrivals.ts`). */
  readonly areEmulated: boolean;
}

function demandOfCounts(counts: Counts, memoryBytes: number): Omit<Demand, 'runtimeBytes' | 'neighbours'> {
  const { hosts, ports, switchProcesses } = counts;
  const held = ports + 2 * counts.tunnels + counts.vxlans;
  const inner = hosts + counts.played;
  return {
    keeperDescriptors: held + (counts.areEmulated ? ports : 0) + DESCRIPTORS_PER_HOST * inner + SPARE_DESCRIPTORS,
    heldDescriptors: held,
    switchDescriptors: counts.mostDevices + SPARE_DESCRIPTORS,
    threads: 1 + inner + counts.commands + THREADS_PER_SWITCH * switchProcesses + counts.furtherEngines,
    // A switch process has a view of its own of the file system.
    namespaces: { net: inner, mnt: inner + switchProcesses, uts: inner, pid: inner, ipc: inner },
    memoryBytes:
      inner * BYTES_PER_HOST +
      Math.max(0, ports - hosts) * BYTES_PER_PORT +
      switchProcesses * (BYTES_PER_SWITCH + memoryBytes) +
      counts.furtherEngines * BYTES_PER_ENGINE,
  };
}

/** Hosts with a port each on one switch: what a machine is measured by. Their files and neighbours are left aside. */
function demandOfLan(hosts: number, memoryBytes: number): Demand {
  const counts = {
    hosts,
    ports: hosts,
    commands: 0,
    played: 0,
    tunnels: 0,
    vxlans: 0,
    switchProcesses: 1,
    furtherEngines: 0,
    mostDevices: hosts,
    areEmulated: false,
  };
  return { ...demandOfCounts(counts, memoryBytes), runtimeBytes: 0, neighbours: { ipv4: 0, ipv6: 0 } };
}

export interface HostRoom {
  /** So many hosts on one switch there can be, by what each needs of the machine. */
  readonly hosts: Readonly<Record<'descriptors' | 'processes' | 'namespaces' | 'memory', number>>;
  /** What keeps it from `wanted` hosts. */
  readonly problems: readonly CapacityProblem[];
}

export function hostRoom(machine: MachineLimits, wanted: number, memoryBytes: number): HostRoom {
  const most = (problems: (demand: Demand) => Iterable<CapacityProblem>): number => {
    let [fits, tooMany] = [0, MOST_HELD_DESCRIPTORS + 1];
    while (tooMany - fits > 1) {
      const middle = Math.floor((fits + tooMany) / 2);
      if ([...problems(demandOfLan(middle, memoryBytes))].length === 0) fits = middle;
      else tooMany = middle;
    }
    return fits;
  };
  return {
    hosts: {
      descriptors: most((demand) => descriptors(demand, machine)),
      processes: most((demand) => processes(demand.threads, machine)),
      namespaces: most((demand) => namespaces(demand, machine)),
      memory: most((demand) => memory(demand, machine)),
    },
    problems: capacityProblems(demandOfLan(wanted, memoryBytes), machine),
  };
}

function neighbours(network: Network, ipv6: boolean): number {
  const members = new Map<string, number>();
  for (const { ports } of netnsNodes(network)) {
    for (const { lan, addresses } of ports) {
      if (addresses.some((address) => address.includes(':') === ipv6)) members.set(lan, (members.get(lan) ?? 0) + 1);
    }
  }
  return [...members.values()].reduce((sum, count) => sum + count * (count - 1), 0);
}

/** Errors first. `running`: what the network has already, where it is changed. */
export function capacityProblems(demand: Demand, machine: MachineLimits, running?: Demand): CapacityProblem[] {
  return [
    ...descriptors(demand, machine),
    ...processes(demand.threads - (running?.threads ?? 0), machine),
    ...namespaces(demand, machine),
    ...memory(demand, machine, running),
    ...neighbourTables(demand, machine),
  ].sort((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
}

/** Throws `CapacityError` where something would fail; of what remains, says what is less than it could be. */
export function foresee(problems: readonly CapacityProblem[], notice: (notice: Notice) => void): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) {
    const what = errors.map(({ message }) => message).join('; ');
    const hint = errors.map((problem) => problem.hint).join('; ');
    throw new CapacityError(`this machine cannot hold the network: ${what}`, { hint });
  }
  for (const { message, hint } of problems) notice({ message, hint });
}

function* descriptors(demand: Demand, { openFiles }: MachineLimits): Generator<CapacityProblem> {
  const { keeperDescriptors, switchDescriptors, heldDescriptors } = demand;
  if (heldDescriptors > MOST_HELD_DESCRIPTORS) {
    yield error(
      `its ports and tunnels are ${heldDescriptors} descriptors, and a keeper holds ${MOST_HELD_DESCRIPTORS}`,
      'split it into several networks',
    );
  }
  const most = Math.max(keeperDescriptors, switchDescriptors);
  if (most <= openFiles) return;
  const who = most === keeperDescriptors ? 'its keeper' : 'a switch process of it';
  yield error(
    `${who} needs ${most} descriptors, and a process may have ${openFiles} (RLIMIT_NOFILE)`,
    `as root, raise the hard limit of the shell that calls luthier: ulimit -Hn ${roundUp(most)}`,
  );
}

/** More may be in use than a limit allows, once it is lowered: then what takes nothing more still goes on. */
function* processes(needed: number, machine: MachineLimits): Generator<CapacityProblem> {
  if (needed <= 0) return;
  const { pids, threads, userProcesses, groupProcesses } = machine;
  const group = groupProcesses?.file ?? '';
  const rooms: readonly [Room | undefined, string, (limit: number) => string][] = [
    [
      groupProcesses,
      group,
      (limit) => `${raise(group, limit)} (a systemd unit's TasksMax=, a container's --pids-limit)`,
    ],
    [pids, 'kernel.pid_max', (limit) => `sysctl -w kernel.pid_max=${limit}`],
    [threads, 'kernel.threads-max', (limit) => `sysctl -w kernel.threads-max=${limit}`],
    [userProcesses, 'RLIMIT_NPROC', (limit) => `raise the limit of the shell that calls luthier: ulimit -u ${limit}`],
  ];
  for (const [room, name, mend] of rooms) {
    if (room === undefined || room.used + needed <= room.limit) continue;
    yield error(
      `it needs ${needed} processes and threads, and ${Math.max(0, room.limit - room.used)} are left of ${room.limit} (${name})`,
      mend(roundUp(room.used + needed)),
    );
  }
}

function* namespaces({ namespaces: needed }: Demand, machine: MachineLimits): Generator<CapacityProblem> {
  for (const kind of NAMESPACES) {
    const limit = machine.namespaces[kind];
    if (needed[kind] <= limit) continue;
    const name = `user.max_${kind}_namespaces`;
    yield error(
      `it needs ${needed[kind]} ${kind} namespaces, and a user may have ${limit} (${name})`,
      `sysctl -w ${name}=${roundUp(needed[kind])}`,
    );
  }
}

function* memory(demand: Demand, machine: MachineLimits, running?: Demand): Generator<CapacityProblem> {
  const needed = demand.memoryBytes - (running?.memoryBytes ?? 0);
  if (needed > machine.memoryBytes) {
    yield error(
      `it needs about ${mebibytes(needed)} of memory, and ${mebibytes(machine.memoryBytes)} are available`,
      'end something else, split it into several networks, or give switch processes less: --memory 16MiB',
    );
  }
  const { groupMemory: group } = machine;
  if (group !== undefined && needed > 0 && group.used + needed > group.limit) {
    const limit = roundUp(group.used + needed);
    yield error(
      `it needs about ${mebibytes(needed)} of memory, and ${mebibytes(Math.max(0, group.limit - group.used))} are left of ` +
        `${mebibytes(group.limit)} (${group.file})`,
      `${raise(group.file, limit)} (a systemd unit's MemoryMax=, a container's --memory), or give switch processes less: --memory 16MiB`,
    );
  }
  const files = demand.runtimeBytes - (running?.runtimeBytes ?? 0);
  if (files > machine.runtimeBytes) {
    yield error(
      `the files of its hosts take ${mebibytes(files)}, and ${mebibytes(machine.runtimeBytes)} are left for them`,
      'set LUTHIER_RUNTIME_DIR to a folder with more room',
    );
  }
}

function* neighbourTables({ neighbours: needed }: Demand, machine: MachineLimits): Generator<CapacityProblem> {
  const short = (['ipv4', 'ipv6'] as const).filter((family) => needed[family] > machine.neighbours[family]);
  const [first] = short;
  if (first === undefined) return;
  const commands = short.map((family) => `net.${family}.neigh.default.gc_thresh3=${roundUp(needed[family])}`);
  yield {
    severity: 'warning',
    message:
      `when all of a LAN talk to all, the kernel needs ${needed[first]} neighbours, and it keeps ` +
      `${machine.neighbours[first]} on the whole machine: what is sent to one more is then lost`,
    hint: `sysctl -w ${commands.join(' ')}`,
  };
}

function error(message: string, hint: string): CapacityProblem {
  return { severity: 'error', message, hint };
}

function raise(file: string, limit: number): string {
  return `raise the limit of the cgroup that luthier runs in: echo ${limit} >${file}`;
}

/** To a power of two: limits are rarely meant to fit exactly. */
function roundUp(count: number): number {
  return 2 ** Math.ceil(Math.log2(count));
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
