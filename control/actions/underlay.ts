/** The underlay on which a scenario's machines are played: a bridge in a namespace of its own, and tunnels across it. */
import { readFileSync } from 'node:fs';
import { StateError } from '../../model/errors.js';
import { native, syscallError } from '../../native/binding.js';
import { writeHostFiles } from '../../vhost/netns.js';
import { netnsOf, type LiveNetwork } from '../live.js';
import { runBatch } from '../native-tools.js';
import type { Pair } from '../plan.js';
import { isAlive, type ProcessId } from '../process.js';
import { tunnelEnd, UDP_BUFFER_BYTES, udpName, UNDERLAY, underlayAddress, underlayMac } from '../wiring.js';
import { ensureNamespaces, removeNamespaces, type Namespace } from './namespaces.js';
import { hold } from './ports.js';
import type { Target } from './record.js';

type Machines = { readonly machines: readonly string[] };
type Pairs = { readonly pairs: readonly Pair[] };

const HUB = 'underlay';

export async function playMachines({ live, to }: Target, { machines }: Machines): Promise<void> {
  const own = (role: string, hostname: string): Namespace => {
    const directory = live.paths.hostDirectory(`@${role}`);
    writeHostFiles(directory, { ...to, names: [] }, { name: hostname });
    return { name: role, hostname, directory };
  };
  const namespaces = [own(HUB, HUB), ...machines.map((machine) => own(`machine:${machine}`, machine))];
  await ensureNamespaces(live, namespaces, () => undefined);
  const hub = `@${live.process(HUB).pid}:${live.process(HUB).start}`;
  const lines = [hub];
  if (!hasInterface(live.process(HUB), 'lan')) lines.push('link add name lan type bridge');
  lines.push('link set dev lan up');
  for (const machine of to.machines.filter(({ name }) => machines.includes(name))) {
    const id = live.process(`machine:${machine.name}`);
    const { pid, start } = id;
    const cable = `m${machine.id}`;
    const mtu = `mtu ${UNDERLAY.mtuBytes}`;
    lines.push(hub);
    // A cable goes with the namespace at either of its ends.
    if (!hasInterface(id, 'eth0')) {
      const peer = `peer name eth0 address ${underlayMac(machine)} ${mtu} netns ${pid}`;
      // The end of one whose namespace is being removed may still be there.
      lines.push(`-link del dev ${cable}`, `link add name ${cable} ${mtu} type veth ${peer}`);
    }
    lines.push(
      `link set dev ${cable} master lan up`,
      `@${pid}:${start}`,
      `addr replace ${underlayAddress(machine)}/${UNDERLAY.prefixLength} dev eth0`,
      'link set dev eth0 up',
    );
  }
  await runBatch(lines);
}

/** proc(5), /proc/PID/net/dev: two lines of headings, then an interface of the process's namespace in each. */
function hasInterface({ pid }: ProcessId, name: string): boolean {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/net/dev`, 'utf8');
  } catch (cause) {
    throw new StateError(`ended meanwhile: a namespace of the underlay (pid ${pid})`, { hint: 'try again', cause });
  }
  return text.split('\n').some((line) => line.trimStart().startsWith(`${name}:`));
}

/** With the last machine goes the bridge between them. */
export async function removeMachines({ live }: Target, { machines }: Machines): Promise<void> {
  const roles = new Set(machines.map((name) => `machine:${name}`));
  const others = live.processes('machine:').some(([name, id]) => !machines.includes(name) && isAlive(id));
  if (!others) roles.add(HUB);
  await removeNamespaces(live, (role) => roles.has(role));
  live.journal.append({ op: 'ended', roles: [...roles] });
}

export function removeUnderlay(live: LiveNetwork): Promise<void> {
  return removeNamespaces(live, (role) => role === HUB || role.startsWith('machine:'));
}

export function openTunnels({ live, to }: Target, { pairs }: Pairs): void {
  const machines = new Map(to.machines.map((machine) => [machine.name, machine]));
  const held = new Set(live.keeper.list());
  const open = (self: string, peer: string): void => {
    if (held.has(`${self}/${udpName(peer)}`)) return;
    const [from, into] = [machines.get(self)!, machines.get(peer)!];
    // A machine's own address may change: the socket has none of its own, but with the peer's.
    const bind = { ...tunnelEnd(from, into), address: '0.0.0.0' };
    const connect = tunnelEnd(into, from);
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
}

/** After the switch processes have let go of them. */
export function closeTunnels({ live }: Target, { pairs }: Pairs): void {
  const held = new Set(live.keeper.list());
  for (const [a, b] of pairs)
    for (const name of [`${a}/${udpName(b)}`, `${b}/${udpName(a)}`]) if (held.has(name)) live.keeper.drop(name);
}
