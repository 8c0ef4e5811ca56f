/**
 * What each action of a plan does to the system, and how it is undone. One entry a kind; nothing else in `control/`
 * touches namespaces, devices or processes.
 *
 * `apply` may fail in the middle. `undo` is idempotent and works from the journal alone, so that it also clears up after
 * an `apply` that was interrupted, in this agent or in one before.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native, syscallError, TapOffload } from '../native/binding.js';
import { nodeConfiguration, netnsNodes } from '../vrouter/router.js';
import {
  joinCgroup,
  makeCgroup,
  planCgroups,
  readCgroupMounts,
  removeCgroup,
  type CgroupMounts,
} from '../vhost/cgroup.js';
import { environment, writeHostFiles, type NetnsNode } from '../vhost/netns.js';
import { LuthierError } from '../model/errors.js';
import { netnsOf, type LiveNetwork } from './live.js';
import { runBatch, runSections, startKeeper } from './native-tools.js';
import type { Action, ActionKind } from './plan.js';
import { endProcess, isAlive, killProcesses, processId, type ProcessId } from './process.js';
import { startSwitch } from './switch-process.js';
import { switchConfigs, tapName, tunnelPort, UDP_BUFFER_BYTES, udpName, UNDERLAY, underlayAddress } from './wiring.js';

interface ActionHandler<K extends ActionKind> {
  apply(live: LiveNetwork, action: Extract<Action, { kind: K }>): Promise<void> | void;
  undo(live: LiveNetwork): Promise<void> | void;
}

/** Long enough for a switch to answer what it is doing, short enough that `down` stays quick. */
const SWITCH_GRACE_MS = 300;

export const ACTIONS: { readonly [K in ActionKind]: ActionHandler<K> } = {
  keeper: {
    async apply(live) {
      mkdirSync(live.paths.runtime, { recursive: true, mode: 0o711 });
      rmSync(live.paths.keeperSocket, { force: true });
      const pid = await startKeeper(live.paths.keeperSocket);
      record(live, { keeper: pid });
    },
    async undo(live) {
      // SIGTERM is the keeper's `exit`: it ends the hosts that are left, then itself.
      const keeper = await findKeeper(live);
      live.closeKeeper();
      if (keeper !== undefined) await endProcess(keeper, 5_000);
      rmSync(live.paths.runtime, { recursive: true, force: true });
    },
  },

  switches: {
    apply(live, { machines }) {
      for (const machine of machines) launchSwitch(live, machine);
    },
    undo: endSwitches,
  },

  underlay: {
    async apply(live, { machines }) {
      const hub = addNamespace(live, 'underlay', 'underlay');
      const lines = [`@${hub}`, 'link add name lan type bridge', 'link set dev lan up'];
      const configuration: string[] = [];
      machines.forEach((machine, i) => {
        const pid = addNamespace(live, `machine:${machine}`, machine);
        lines.push(
          `link add name m${i} mtu ${UNDERLAY.mtuBytes} type veth peer name eth0 mtu ${UNDERLAY.mtuBytes} netns ${pid}`,
          `link set dev m${i} master lan up`,
        );
        configuration.push(
          `@${pid}`,
          `addr add ${underlayAddress(i)}/${UNDERLAY.prefixLength} dev eth0`,
          'link set dev eth0 up',
        );
      });
      await runBatch([...lines, ...configuration]);
    },
    async undo(live) {
      await removeNamespaces(live, (role) => role === 'underlay' || role.startsWith('machine:'));
    },
  },

  limits: {
    apply(live, { nodes }) {
      const mounts = readCgroupMounts();
      for (const node of pick(live, nodes)) {
        for (const plan of nodeCgroups(live, mounts, node)) {
          live.journal.append({ op: 'cgroup', directory: plan.directory });
          makeCgroup(plan);
        }
      }
    },
    async undo(live) {
      for (const directory of live.journal.state.cgroups) await removeWhenEmpty(directory);
    },
  },

  hosts: {
    async apply(live, { nodes }) {
      const mounts = readCgroupMounts();
      const picked = pick(live, nodes);
      const requests = picked.map((node) => {
        const directory = live.paths.hostDirectory(node.name);
        writeHostFiles(directory, live.network, node);
        return { name: `host:${node.name}`, hostname: node.name, directory };
      });
      await live.keeper.makeHosts(requests, (index, pid) => {
        record(live, { [requests[index]!.name]: pid });
        for (const plan of nodeCgroups(live, mounts, picked[index]!)) joinCgroup(plan.directory, pid);
      });
    },
    async undo(live) {
      await removeNamespaces(live, (role) => role.startsWith('host:'));
    },
  },

  ports: {
    apply(live, { nodes }) {
      const offload = TapOffload.csum | TapOffload.tso4 | TapOffload.tso6 | TapOffload.uso4 | TapOffload.uso6;
      for (const node of pick(live, nodes)) {
        const netns = netnsOf(live.process(`host:${node.name}`).pid);
        for (const port of node.ports) {
          const options = { netns, name: port.name, mac: port.mac, mtuBytes: port.mtuBytes, owner: live.header.uid };
          let fd: number;
          try {
            fd = native.tapOpen({ ...options, persist: true, vnetHdr: true, offload });
          } catch (cause) {
            throw syscallError(
              cause,
              `cannot plug in ${node.name}:${port.name}`,
              'run `luthier doctor`: it says whether /dev/net/tun may be opened',
            );
          }
          hold(live, node.machine, tapName(node.name, port.name), fd);
        }
      }
    },
    // The TAPs are in the hosts' namespaces, and go with them; the keeper's duplicates with the keeper.
    undo() {},
  },

  tunnels: {
    apply(live, { pairs }) {
      const index = new Map(live.network.machines.map(({ name }, i) => [name, i]));
      const open = (self: string, peer: string): void => {
        const [from, to] = [index.get(self)!, index.get(peer)!];
        const bind = { address: underlayAddress(from), port: tunnelPort(to) };
        const connect = { address: underlayAddress(to), port: tunnelPort(from) };
        const netns = netnsOf(live.process(`machine:${self}`).pid);
        const buffers = { receiveBufferBytes: UDP_BUFFER_BYTES, sendBufferBytes: UDP_BUFFER_BYTES };
        let fd: number;
        try {
          fd = native.udpOpen({ netns, bind, connect, ...buffers });
        } catch (cause) {
          throw syscallError(cause, `cannot open the tunnel from machine ${self} to ${peer}`);
        }
        hold(live, self, udpName(peer), fd);
      };
      for (const [a, b] of pairs) {
        open(a, b);
        open(b, a);
      }
    },
    undo() {},
  },

  forwarding: {
    async apply(live, { machines }) {
      const configs = switchConfigs(live.network, live.header.number);
      await Promise.all(
        machines.map(async (machine) => {
          try {
            await live.switchOf(machine).configure(configs.get(machine)!);
          } catch (cause) {
            throw isAlive(live.process(`switch:${machine}`)) ? cause : endedError(live, machine, cause);
          }
        }),
      );
    },
    // Before the hosts go: a switch whose TAPs vanish under it would report them as errors.
    undo: endSwitches,
  },

  addresses: {
    async apply(live, { nodes }) {
      await runSections(
        pick(live, nodes).map((node) => {
          const { pid, start } = live.process(`host:${node.name}`);
          return nodeConfiguration(node, `${pid}:${start}`);
        }),
      );
    },
    undo() {},
  },

  commands: {
    apply(live, { nodes }) {
      for (const node of pick(live, nodes)) {
        const argv = node.command ?? [];
        const exit = `${live.paths.hostDirectory(node.name)}/exit`;
        const command = { argv, env: environment(node), cwd: '/', log: live.paths.log(node.name), exit };
        try {
          live.keeper.run(`host:${node.name}`, command);
        } catch (cause) {
          throw new LuthierError(
            'E_COMMAND',
            `${node.name}: cannot start '${argv.join(' ')}': ${(cause as Error).message}`,
            {
              hint: `is ${argv[0] ?? 'it'} installed? hosts see the programs of this machine`,
              cause,
            },
          );
        }
      }
    },
    // A host's processes end with its init.
    undo() {},
  },
};

/** Records the processes that came of an action, by role. */
function record(live: LiveNetwork, pids: Readonly<Record<string, number>>): void {
  const processes: Record<string, ProcessId> = {};
  for (const [role, pid] of Object.entries(pids)) {
    const id = processId(pid);
    if (id === undefined) throw new LuthierError('E_PROCESS', `the process for '${role}' (pid ${pid}) ended at once`);
    processes[role] = id;
  }
  if (Object.keys(processes).length > 0) live.journal.append({ op: 'made', processes });
}

function launchSwitch(live: LiveNetwork, machine: string): void {
  const start = {
    machine,
    uid: live.header.uid,
    memoryBytes: live.header.memoryBytes,
    env: live.switchEnv,
    socket: live.switchSocket(machine),
    keeperSocket: live.paths.keeperSocket,
    logFile: live.paths.switchLog(machine),
  };
  startSwitch(start, (pid) => {
    record(live, { [`switch:${machine}`]: pid });
  });
}

/** In place of a switch process that ended: the keeper has its descriptors, so hosts see no carrier change. */
export async function restartSwitch(live: LiveNetwork, machine: string): Promise<void> {
  launchSwitch(live, machine);
  const config = switchConfigs(live.network, live.header.number).get(machine);
  if (config !== undefined) await live.switchOf(machine).configure(config);
}

function endedError(live: LiveNetwork, machine: string, cause: unknown): LuthierError {
  const log = readFileSync(live.paths.switchLog(machine), 'utf8').trim();
  return new LuthierError('E_SWITCH', `the switch process of machine ${machine} ended: ${lastLines(log)}`, { cause });
}

async function endSwitches(live: LiveNetwork): Promise<void> {
  await Promise.all(live.processes('switch:').map(([, id]) => endProcess(id, SWITCH_GRACE_MS)));
}

function pick(live: LiveNetwork, names: readonly string[]): NetnsNode[] {
  const wanted = new Set(names);
  return netnsNodes(live.network).filter((node) => wanted.has(node.name));
}

/** A descriptor goes to the keeper, under the machine whose switch may have it; ours is closed. */
function hold(live: LiveNetwork, machine: string, device: string, fd: number): void {
  try {
    live.keeper.put(`${machine}/${device}`, fd);
  } finally {
    native.close(fd);
  }
}

/** A namespace without a node's configuration: a machine that is played, or the underlay between them. */
function addNamespace(live: LiveNetwork, role: string, hostname: string): number {
  const directory = live.paths.hostDirectory(`@${role}`);
  writeHostFiles(directory, { ...live.network, names: [] }, { name: hostname });
  const pid = live.keeper.host(role, hostname, directory);
  record(live, { [role]: pid });
  return pid;
}

/** Those on record, and those that the keeper made for an agent that ended before it could write them down. */
async function removeNamespaces(live: LiveNetwork, match: (role: string) => boolean): Promise<void> {
  const inits = [...live.journal.state.processes].filter(([role]) => match(role)).map(([, id]) => id);
  const keeper = await findKeeper(live);
  if (keeper !== undefined)
    for (const { name, pid } of live.keeper.hosts()) {
      const id = match(name) ? processId(pid) : undefined;
      if (id !== undefined && !inits.some((other) => other.pid === pid)) inits.push(id);
    }
  await killProcesses(inits);
}

/** The keeper that runs; one that was started but not yet recorded is found by its socket. */
async function findKeeper(live: LiveNetwork): Promise<ProcessId | undefined> {
  const recorded = live.journal.state.processes.get('keeper');
  if (recorded !== undefined) return isAlive(recorded) ? recorded : undefined;
  // Started by an agent that was killed in that very moment, it may still be about to listen.
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      const id = processId(live.keeper.pid());
      if (id !== undefined) record(live, { keeper: id.pid });
      return id;
    } catch {
      live.closeKeeper();
      await sleep(10);
    }
  }
  return undefined;
}

function nodeCgroups(live: LiveNetwork, mounts: CgroupMounts, node: NetnsNode): ReturnType<typeof planCgroups> {
  const group = `${live.header.number.toString(16).padStart(8, '0')}/${node.name}`;
  return planCgroups(mounts, group, {
    ...(node.cpu === undefined ? {} : { cpu: node.cpu }),
    ...(node.memoryBytes === undefined ? {} : { memoryBytes: node.memoryBytes }),
  });
}

/** A cgroup is busy until the last process in it has been reaped, a moment after it was killed. */
async function removeWhenEmpty(directory: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      removeCgroup(directory);
      return;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === 200) throw cause;
      await sleep(5);
    }
  }
}

/** What a process said before it ended: enough to see why, short enough for an error message. */
function lastLines(text: string): string {
  return text === '' ? 'it said nothing' : text.split('\n').slice(-6).join('\n');
}
