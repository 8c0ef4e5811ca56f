/**
 * The way to a VXLAN's other ends, and whether it is as wide as its LAN: said before anything is made, as a longer packet would be
 * lost without a word (RFC 7348 §4.3: nothing is fragmented). It is what the routes say now; where there is none to an end,
 * nothing is known, and nothing is refused. Machines that are played have an underlay of their own (`unsupported.ts`).
 *
 * Called by the agent, and by `up` before it where both are in one network namespace, as it knows the place in the file;
 * `trace.ts` asks where a VXLAN's frames go.
 */
import { ScenarioError } from '../model/errors.js';
import type { VxlanNode } from '../model/network.js';
import { familyOf, vxlanOverheadBytes } from '../model/vxlan.js';
import { native, type UdpOptions } from '../native/binding.js';
import { checkedTopology, located, resolve, type Scenario } from './scenario/index.js';
import { vxlans } from './wiring.js';

export type RouteMtu = (options: Parameters<typeof native.udpRouteMtu>[0]) => number;

const askRoutes: RouteMtu = (options) => native.udpRouteMtu(options);

/** Whom it sends to, and how long a packet has room on the way there: negative where there is no route. */
export function wayOut(
  { remotes, group, port, device }: VxlanNode,
  netns?: string,
  routeMtu: RouteMtu = askRoutes,
): { readonly address: string; readonly routeMtuBytes: number; readonly roomBytes: number }[] {
  return (group === undefined ? remotes : [group]).map((address) => {
    const bind: UdpOptions['bind'] = { address: familyOf(address) === 4 ? '0.0.0.0' : '::', port: 0 };
    const by = { ...(netns === undefined ? {} : { netns }), ...(device === undefined ? {} : { device }) };
    const routeMtuBytes = routeMtu({ ...by, bind, connect: { address, port } });
    return { address, routeMtuBytes, roomBytes: routeMtuBytes - vxlanOverheadBytes(familyOf(address)) };
  });
}

/** Throws `ScenarioError`. */
export function refuseNarrowUnderlay(scenario: Scenario, routeMtu: RouteMtu = askRoutes): void {
  if (!Object.values(scenario.raw.nodes).some(({ kind }) => kind === 'vxlan')) return;
  const { links } = checkedTopology(scenario);
  for (const node of vxlans(resolve(scenario))) {
    const { name, isPlayed, mtuBytes } = node;
    if (isPlayed) continue;
    for (const { address, routeMtuBytes, roomBytes } of wayOut(node, undefined, routeMtu)) {
      if (routeMtuBytes === 0 || mtuBytes <= roomBytes) continue;
      const { path } = links.find(({ vxlan }) => vxlan === name)!;
      throw new ScenarioError(
        scenario.position([...path, 'mtu']),
        located(
          path,
          `packets of ${mtuBytes} bytes do not fit: the way to ${address} has an MTU of ${routeMtuBytes}, of which VXLAN leaves ${roomBytes}`,
        ),
        { hint: `write "mtu: ${roomBytes}" on this link, or raise the MTU of the interface to ${address}` },
      );
    }
  }
}
