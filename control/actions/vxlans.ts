/**
 * Sockets of VXLANs. On machines that are played, they are in the machine's namespace; else in the agent's own, which is
 * this machine's network for root, and the user namespace's for everybody else.
 */
import type { VxlanNode } from '../../model/network.js';
import { familyOf } from '../../model/vxlan.js';
import { native, syscallError, type UdpOptions } from '../../native/binding.js';
import { netnsOf, type LiveNetwork } from '../live.js';
import type { PlacedVxlan } from '../plan.js';
import { UDP_BUFFER_BYTES, vxlanName, vxlans } from '../wiring.js';
import { hold } from './ports.js';
import type { Target } from './record.js';

export function openVxlans({ live, to }: Target, { nodes }: { readonly nodes: readonly string[] }): void {
  const held = live.keeper.list();
  for (const node of vxlans(to).filter(({ name }) => nodes.includes(name))) {
    const device = vxlanName(node);
    if (held.includes(`${node.machine}/${device}`)) continue;
    // The one that it had before is closed when the change counts: until then both have the port.
    const before = held.find((name) => name.startsWith(`${node.machine}/vxlan:${node.name}:`));
    const inPlaceOf = before === undefined ? undefined : live.keeper.get(before);
    try {
      const netns = node.isPlayed ? { netns: netnsOf(live.process(`machine:${node.machine}`).pid) } : {};
      const beside = inPlaceOf === undefined ? {} : { inPlaceOf };
      hold(live, node.machine, device, open(node, { ...socketOptions(node), ...netns, ...beside }));
    } finally {
      if (inPlaceOf !== undefined) native.close(inPlaceOf);
    }
  }
}

/** After the switch processes have let go of them. */
export function closeVxlans(
  { live }: { readonly live: LiveNetwork },
  given: { readonly vxlans: readonly Pick<PlacedVxlan, 'machine' | 'device'>[] },
): void {
  const held = new Set(live.keeper.list());
  for (const { machine, device } of given.vxlans)
    if (held.has(`${machine}/${device}`)) live.keeper.drop(`${machine}/${device}`);
}

function socketOptions({ remotes, group, local, port, device, hops }: VxlanNode): UdpOptions {
  const any = familyOf(group ?? remotes[0]!) === 4 ? '0.0.0.0' : '::';
  return {
    bind: { address: local ?? any, port },
    ...(device === undefined ? {} : { device }),
    ...(group === undefined ? {} : { group }),
    hops,
    isVxlan: true,
    receiveBufferBytes: UDP_BUFFER_BYTES,
    sendBufferBytes: UDP_BUFFER_BYTES,
  };
}

function open({ name, group, device, port, local }: VxlanNode, options: UdpOptions): number {
  try {
    return native.udpOpen(options);
  } catch (cause) {
    const noDevice =
      device === undefined
        ? `there is no route to ${group ?? ''}: name the interface to the underlay, "device: eth0"`
        : `there is no interface ${device}`;
    const hints: Readonly<Record<string, string>> = {
      EADDRINUSE: `something has UDP port ${port} already, perhaps a VXLAN device of Linux’s: give this one, and its other ends, another "port"`,
      EADDRNOTAVAIL: `${local ?? 'its "local"'} is no address of the machine`,
      ENODEV: noDevice,
    };
    throw syscallError(cause, `cannot open the VXLAN ${name}`, hints[errnoOf(cause)]);
  }
}

function errnoOf(cause: unknown): string {
  return (cause as { errno?: string }).errno ?? '';
}
