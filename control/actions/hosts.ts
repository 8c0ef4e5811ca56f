/** Hosts and routers: their limits, namespaces, names, addresses and commands. */
import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LuthierError } from '../../model/errors.js';
import {
  joinCgroup,
  leaveCgroup,
  makeCgroup,
  planCgroups,
  processesOfHost,
  readCgroupMounts,
  removeCgroup,
  type CgroupMounts,
} from '../../vhost/cgroup.js';
import { environment, writeHostFiles, type NetnsNode } from '../../vhost/netns.js';
import { netnsNodes, nodeConfiguration } from '../../vrouter/router.js';
import type { LiveNetwork } from '../live.js';
import { runSections } from '../native-tools.js';
import { isAlive } from '../process.js';
import { ensureNamespaces, removeNamespaces } from './namespaces.js';
import { pick, type Target } from './record.js';

type Nodes = { readonly nodes: readonly string[] };

/** Between SIGTERM and SIGKILL of a host's command. */
const COMMAND_GRACE_MS = 1_000;
/** RFC 5227, 1.1. */
const ANNOUNCE_INTERVAL_MS = 2_000;

// --- namespaces ------------------------------------------------------------------------------------------------------

export async function ensureHosts({ live, to }: Target, { nodes }: Nodes): Promise<void> {
  const mounts = readCgroupMounts();
  const wanted = pick(to, nodes).map((node) => {
    const directory = live.paths.hostDirectory(node.name);
    writeHostFiles(directory, to, node);
    return { name: `host:${node.name}`, hostname: node.name, directory, node };
  });
  const byRole = new Map(wanted.map(({ name, node }) => [name, node]));
  await ensureNamespaces(live, wanted, (role, pid) => {
    for (const plan of nodeCgroups(live, mounts, byRole.get(role)!)) joinCgroup(plan.directory, pid);
  });
}

/** A file that is bound over a host's /etc/hosts shows there what is written into it. */
export function writeNames({ live, to }: Target, { nodes }: Nodes): void {
  for (const node of pick(to, nodes)) writeHostFiles(live.paths.hostDirectory(node.name), to, node);
}

/** With all that runs in them. Their logs go too: another host of that name is another host. */
export async function removeHosts({ live }: Target, { nodes }: Nodes): Promise<void> {
  const roles = new Set(nodes.map((name) => `host:${name}`));
  await removeNamespaces(live, (role) => roles.has(role));
  live.journal.append({ op: 'ended', roles: [...roles] });
  for (const name of nodes) {
    rmSync(live.paths.hostDirectory(name), { recursive: true, force: true });
    rmSync(live.paths.log(name), { force: true });
  }
}

export function removeAllHosts(live: LiveNetwork): Promise<void> {
  return removeNamespaces(live, (role) => role.startsWith('host:'));
}

// --- addresses -------------------------------------------------------------------------------------------------------

export function configureHosts({ live, was, to }: Target, { nodes }: Nodes): Promise<void> {
  const before = new Map(was === undefined ? [] : netnsNodes(was).map((node) => [node.name, node]));
  return runSections(
    pick(to, nodes).map((node) => {
      const { pid, start } = live.process(`host:${node.name}`);
      return nodeConfiguration(node, `${pid}:${start}`, before.get(node.name));
    }),
  );
}

/** Now, and once more later, as the first may be lost: RFC 5227, 2.3 (ANNOUNCE_NUM). Nobody waits for that. */
export async function announceHosts({ live, to }: Target, { nodes }: Nodes): Promise<void> {
  await announce(live, pick(to, nodes));
  const again = performance.now() + ANNOUNCE_INTERVAL_MS;
  for (const name of nodes) live.announced.set(name, again);
}

/** Those whose time it is, as far as they are still there. */
export async function announceAgain(live: LiveNetwork): Promise<void> {
  const now = performance.now();
  const due = [...live.announced].filter(([, again]) => again <= now).map(([name]) => name);
  for (const name of due) live.announced.delete(name);
  await announce(live, pick(live.network, due));
}

/** A host that has lost its init has nothing to say, and nobody waits for it: that is found out elsewhere. */
function announce(live: LiveNetwork, nodes: readonly NetnsNode[]): Promise<void> {
  return runSections(
    nodes.flatMap((node) => {
      const init = live.processOf(`host:${node.name}`);
      if (init === undefined) return [];
      return [[`-@${init.pid}:${init.start}`, ...node.ports.map(({ name }) => `-announce ${name}`)]];
    }),
  );
}

// --- commands --------------------------------------------------------------------------------------------------------

/** Starts the commands of these hosts, in place of others that they may run. */
export async function startCommands(target: Target, { nodes }: Nodes): Promise<void> {
  const { live, was, to } = target;
  const before = pick(was ?? to, nodes).filter(({ command }) => command !== undefined);
  if (was !== undefined) await endCommands(target, { nodes: before.map(({ name }) => name) });
  for (const node of pick(to, nodes)) {
    const argv = node.command ?? [];
    const exit = live.paths.commandExit(node.name);
    const command = { argv, env: environment(node, live.home), cwd: '/', log: live.paths.log(node.name), exit };
    try {
      live.keeper.run(`host:${node.name}`, command);
    } catch (cause) {
      const hint = startHint(cause, argv[0] ?? 'it');
      throw new LuthierError(
        'E_COMMAND',
        `${node.name}: cannot start '${argv.join(' ')}': ${(cause as Error).message}`,
        hint === undefined ? { cause } : { hint, cause },
      );
    }
  }
}

/** The init says at which step a start failed, and the keeper's client what to do about a limit. */
export function startHint(cause: unknown, program: string): string | undefined {
  if (cause instanceof LuthierError && cause.hint !== undefined) return cause.hint;
  const failed = cause instanceof Error && / exec: /.test(cause.message);
  return failed ? `is ${program} installed? hosts see the programs of this machine` : undefined;
}

/** All at once, as each may take its time. A host that was lost has none. */
export async function endCommands({ live }: Target, { nodes }: Nodes): Promise<void> {
  const known = new Set(live.keeper.hosts().map(({ name }) => name));
  await Promise.all(
    nodes.map(async (name) => {
      live.journal.append({ op: 'restart', node: name });
      const exit = live.paths.commandExit(name);
      if (known.has(`host:${name}`)) await live.keeper.end(`host:${name}`, exit, COMMAND_GRACE_MS);
      rmSync(exit, { force: true });
    }),
  );
}

// --- limits ----------------------------------------------------------------------------------------------------------

/** Of hosts that are about to be made, and of ones that run. */
export function limitHosts({ live, to }: Target, { nodes }: Nodes): void {
  const mounts = readCgroupMounts();
  for (const node of pick(to, nodes)) {
    const init = live.processOf(`host:${node.name}`);
    for (const plan of nodeCgroups(live, mounts, node)) {
      if (!live.journal.state.cgroups.has(plan.directory))
        live.journal.append({ op: 'cgroup', directory: plan.directory });
      makeCgroup(plan);
      if (init !== undefined && isAlive(init))
        for (const pid of processesOfHost(init.pid)) joinCgroup(plan.directory, pid);
    }
  }
}

/** Of hosts that are gone, and of ones that go on with fewer limits or none. */
export async function liftLimits({ live, to }: Target, { nodes }: Nodes): Promise<void> {
  const mounts = readCgroupMounts();
  const wanted = new Set(
    pick(to, nodes).flatMap((node) => nodeCgroups(live, mounts, node).map((plan) => plan.directory)),
  );
  for (const directory of [...live.journal.state.cgroups]) {
    const name = basename(directory);
    if (!nodes.includes(name) || wanted.has(directory)) continue;
    const init = live.processOf(`host:${name}`);
    if (init !== undefined && isAlive(init)) for (const pid of processesOfHost(init.pid)) leaveCgroup(directory, pid);
    await removeWhenEmpty(directory);
    live.journal.append({ op: 'lifted', directory });
  }
}

export async function removeAllLimits(live: LiveNetwork): Promise<void> {
  for (const directory of live.journal.state.cgroups) await removeWhenEmpty(directory);
}

function nodeCgroups(live: LiveNetwork, mounts: CgroupMounts, node: NetnsNode): ReturnType<typeof planCgroups> {
  // By the uid of its switch processes: unlike the number, no network of another agent has it.
  const group = `${live.header.uid}/${node.name}`;
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
