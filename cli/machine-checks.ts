/**
 * What `doctor` looks at: whether this machine can run Luthier, and how well. Everything is tried or read on the spot,
 * and nothing is changed. Each check answers what it found and, where something is amiss, the command that mends it.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import { join } from 'node:path';
import { getSystemErrorName, promisify } from 'node:util';
import type { CapacityProblem } from '../control/capacity.js';
import { isMachineRoot } from '../control/privileges.js';
import { leastArrays } from '../native/least-arrays.js';
import { readCgroupHierarchies } from '../vhost/cgroup-hierarchies.js';
import { ownPaths } from './connection.js';
import { installCommand, privileges, readableProgram, tunDevice, userNamespaces } from './requirements.js';
import { sealing, tunnels } from './tunnel-check.js';

const run = promisify(execFile);

export interface Check {
  readonly name: string;
  /** `limited`: Luthier runs, without what `detail` says. `missing`: it does not run. */
  readonly status: 'ok' | 'limited' | 'missing';
  readonly detail: string;
  /** A command, or what else to do. */
  readonly mend?: string;
}

/** `engines` in package.json. */
const MIN_NODE = [20, 19] as const;
/** A machine that cannot hold as many is told to be limited. */
const MANY_HOSTS = 1000;

export async function checkMachine(): Promise<Check[]> {
  return [
    node(),
    kernel(),
    await addon(),
    await readableProgram(),
    privileges(),
    ...(isMachineRoot() ? [] : [await userNamespaces()]),
    tunDevice(),
    await tap(),
    await smallFrames(),
    await tunnels(),
    await sealing(),
    await iproute(),
    cgroups(),
    await scheduling(),
    await processors(),
    await limits(),
    program('ping', 'iputils-ping'),
    program('traceroute', 'traceroute'),
    program('iperf3', 'iperf3'),
    await leftovers(),
  ];
}

function node(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  const detail = process.versions.node;
  if (fits) return { name: 'node', status: 'ok', detail };
  return { name: 'node', status: 'missing', detail, mend: `install Node.js ${MIN_NODE.join('.')} or later` };
}

async function addon(): Promise<Check> {
  const name = 'native addon';
  try {
    const { native, nativeDirectory } = await import('../native/binding.js');
    for (const tool of ['keeper', 'nsrun']) accessSync(join(nativeDirectory, tool), constants.X_OK);
    // epoll_pwait2 (Linux 5.11) is what the engine waits with: a wait that only looks is a call of it.
    const epoll = native.epollCreate();
    const io = native.ioCreate(leastArrays());
    const ready = native.wait(io, epoll);
    native.ioDestroy(io);
    native.close(epoll);
    if (ready < 0)
      return { name, status: 'missing', detail: `epoll_pwait2 fails (${ready})`, mend: 'use Linux 5.11 or later' };
    return { name, status: 'ok', detail: nativeDirectory };
  } catch (error) {
    return { name, status: 'missing', detail: (error as Error).message, mend: 'sh scripts/build' };
  }
}

async function iproute(): Promise<Check> {
  try {
    const { stdout } = await run('ip', ['-V'], { env: searchPath() });
    return { name: 'ip', status: 'ok', detail: stdout.trim() };
  } catch {
    return { name: 'ip', status: 'missing', detail: 'not found', mend: installCommand('iproute2') };
  }
}

/** Programs that only `npm start` and users call. */
function program(name: string, debianPackage: string): Check {
  const folders = searchPath().PATH!.split(':');
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found !== undefined) return { name, status: 'ok', detail: found };
  return { name, status: 'limited', detail: 'not found: npm start needs it', mend: installCommand(debianPackage) };
}

/** `cpu` and `memory` of hosts need a hierarchy of cgroups that has these controllers and that we may write. */
function cgroups(): Check {
  const name = 'cgroups';
  const found = new Map<string, { version: number; directory: string }>();
  for (const { directory, version, controllers } of readCgroupHierarchies())
    for (const controller of ['cpu', 'memory'])
      if (controllers.includes(controller)) found.set(controller, { version, directory });
  const missing = ['cpu', 'memory'].filter((controller) => !found.has(controller));
  if (missing.length > 0)
    return { name, status: 'limited', detail: `no controller for ${missing.join(' and ')} of hosts` };
  const closed = [...found.values()].find(({ directory }) => !isWritable(directory));
  if (closed !== undefined)
    return {
      name,
      status: 'limited',
      detail: `${closed.directory} may not be written: no cpu and memory of hosts`,
      mend: 'run as root',
    };
  const detail = [...found].map(([controller, { version }]) => `${controller} (v${version})`).join(', ');
  return { name, status: 'ok', detail };
}

/** Engines that wait for a processor are late. */
async function scheduling(): Promise<Check> {
  const name = 'scheduling';
  const { canRaiseEngines } = await import('../control/realtime.js');
  if (isMachineRoot() && canRaiseEngines())
    return { name, status: 'ok', detail: 'engines run before all that shares time' };
  const detail = 'engines share time with all else: emulated links are late beside programs that compute';
  if (availableParallelism() < 2) return { name, status: 'limited', detail, mend: 'use a machine with two processors' };
  return { name, status: 'limited', detail, mend: isMachineRoot() ? 'grant CAP_SYS_NICE' : 'run as root' };
}

/** A program that is woken for what a link delivers is late where its processor sleeps deeply. */
async function processors(): Promise<Check> {
  const name = 'processors';
  const { whyNotAwake } = await import('../control/processors.js');
  const why = whyNotAwake();
  if (why === undefined) return { name, status: 'ok', detail: 'are kept awake for what emulated links deliver' };
  const reason = {
    processors: 'there are many of them',
    driver: 'the kernel has no cpuidle driver',
    device: '/dev/cpu_dma_latency may not be opened',
  }[why];
  const detail = `${reason}: who sleeps until an emulated link delivers something is woken late`;
  const mend = why === 'device' && !isMachineRoot() ? { mend: 'run as root' } : {};
  return { name, status: 'limited', detail, ...mend };
}

/** Opens TAPs in a network namespace made for it, in a user namespace where that is how we work. */
async function tap(): Promise<Check> {
  const name = 'TAP devices';
  let result: { works: string[]; error?: string };
  try {
    const probe = [process.execPath, join(import.meta.dirname, 'tap-probe.js')];
    const { nsrunPath } = await import('../control/native-tools.js');
    const [program, ...args] = isMachineRoot() ? ['unshare', '--net'] : [nsrunPath, 'rootless', '--'];
    const { stdout } = await run(program, [...args, ...probe]);
    result = JSON.parse(stdout) as typeof result;
  } catch (error) {
    return { name, status: 'missing', detail: `cannot be tried: ${firstLine(error)}` };
  }
  const { works, error = '' } = result;
  if (!works.includes('tap')) return { name, status: 'missing', detail: error, mend: 'modprobe tun' };
  if (!works.includes('tso')) return { name, status: 'limited', detail: `no offloads: ${error}` };
  return { name, status: 'ok', detail: works.includes('uso') ? 'with TSO and USO' : 'with TSO (USO: Linux 6.2)' };
}

/** Whether a switch process may have io_uring: it has no capabilities, and without root a filter of system calls. */
async function smallFrames(): Promise<Check> {
  const name = 'io_uring';
  const detail = 'bursts of small frames take a system call each';
  if (!isMachineRoot())
    return { name, status: 'limited', detail: `${detail}: it is kept from them here`, mend: 'run as root' };
  const sysctl = '/proc/sys/kernel/io_uring_disabled';
  if (existsSync(sysctl) && readFileSync(sysctl, 'latin1').trim() !== '0')
    return { name, status: 'limited', detail, mend: 'sysctl kernel.io_uring_disabled=0' };
  const { native } = await import('../native/binding.js');
  const io = native.ioCreate(leastArrays());
  const error = native.ringStart(io);
  native.ioDestroy(io);
  if (error === 0) return { name, status: 'ok', detail: 'bursts of small frames take one system call' };
  const reason = getSystemErrorName(error);
  return {
    name,
    status: 'limited',
    detail: `${detail}: ${reason}`,
    mend: 'use Linux 6.1 or later, and let io_uring_setup pass',
  };
}

/** UDP_SEGMENT came with Linux 4.18, UDP_GRO with 5.0, epoll_pwait2 with 5.11. */
function kernel(): Check {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const detail = `Linux ${release()}`;
  if (major > 5 || (major === 5 && minor >= 11)) return { name: 'kernel', status: 'ok', detail };
  return { name: 'kernel', status: 'missing', detail, mend: 'use Linux 5.11 or later' };
}

/** Of descriptors, processes, namespaces and memory: what `up` would foresee. */
async function limits(): Promise<Check> {
  const name = 'limits';
  const [{ hostRoom }, { readMachineLimits }, { DEFAULT_MEMORY_BYTES }] = await Promise.all([
    import('../control/capacity.js'),
    import('../control/machine-limits.js'),
    import('../control/client.js'),
  ]);
  const machine = readMachineLimits((await ownPaths()).runtime);
  const { hosts, problems } = hostRoom(machine, MANY_HOSTS, DEFAULT_MEMORY_BYTES);
  const detail = `on one switch: ${Object.entries(hosts)
    .map(([what, count]) => `${what} for ${count}`)
    .join(', ')} hosts`;
  if (problems.length === 0) return { name, status: 'ok', detail };
  const [{ message, hint }] = problems as [CapacityProblem];
  return { name, status: 'limited', detail: `${detail}; of ${MANY_HOSTS} hosts, ${message}`, mend: hint };
}

/** Records of networks that nobody looks after: an agent was killed, or the machine restarted. */
async function leftovers(): Promise<Check> {
  const name = 'leftovers';
  const [{ journalFiles }, { answers }, { agentSocket }] = await Promise.all([
    import('../control/journal.js'),
    import('../control/agent-socket.js'),
    import('../control/paths.js'),
  ]);
  const paths = await ownPaths();
  const records = journalFiles(paths).length;
  if (records === 0) return { name, status: 'ok', detail: 'none' };
  if (await answers(agentSocket(paths))) return { name, status: 'ok', detail: `none; networks that run: ${records}` };
  return {
    name,
    status: 'limited',
    detail: `networks recorded while no agent runs: ${records}`,
    mend: "'luthier ls' takes over what still runs; 'luthier down --all' removes it",
  };
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Debian keeps `ip` and `traceroute` where ordinary users do not look. */
function searchPath(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
}

/** Of a program that failed: what it printed. */
function firstLine(error: unknown): string {
  const { stderr = '', message } = error as Error & { stderr?: string };
  return (stderr.trim() || message).split('\n')[0]!;
}
