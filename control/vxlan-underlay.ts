/**
 * Whether the way to a VXLAN's other ends is as wide as its LAN: said before anything is made, as a longer packet would be
 * lost without a word (RFC 7348 §4.3: nothing is fragmented). It is what the routes say now; where there is none to an end,
 * nothing is known, and nothing is refused. Machines that are played have an underlay of their own (`unsupported.ts`).
 *
 * Called by the agent, and by `up` before it where both are in one network namespace, as it knows the place in the file.
 */
import { ScenarioError } from '../model/errors.js';
import { familyOf, vxlanOverheadBytes } from '../model/vxlan.js';
import { native, type UdpOptions } from '../native/binding.js';
import { checkedTopology, located, resolve, type Scenario } from './scenario/index.js';
import { vxlans } from './wiring.js';

export type RouteMtu = (options: Parameters<typeof native.udpRouteMtu>[0]) => number;

const askRoutes: RouteMtu = (options) => native.udpRouteMtu(options);

/** Throws `ScenarioError`. */
export function refuseNarrowUnderlay(scenario: Scenario, routeMtu: RouteMtu = askRoutes): void {
  if (!Object.values(scenario.raw.nodes).some(({ kind }) => kind === 'vxlan')) return;
  const { links } = checkedTopology(scenario);
  for (const { name, isPlayed, remotes, group, port, device, mtuBytes } of vxlans(resolve(scenario))) {
    if (isPlayed) continue;
    for (const address of group === undefined ? remotes : [group]) {
      const bind: UdpOptions['bind'] = { address: familyOf(address) === 4 ? '0.0.0.0' : '::', port: 0 };
      const connect = { address, port };
      const routeMtuBytes = routeMtu({ bind, connect, ...(device === undefined ? {} : { device }) });
      const room = routeMtuBytes - vxlanOverheadBytes(familyOf(address));
      if (routeMtuBytes === 0 || mtuBytes <= room) continue;
      const { path } = links.find(({ vxlan }) => vxlan === name)!;
      throw new ScenarioError(
        scenario.position([...path, 'mtu']),
        located(
          path,
          `packets of ${mtuBytes} bytes do not fit: the way to ${address} has an MTU of ${routeMtuBytes}, of which VXLAN leaves ${room}`,
        ),
        { hint: `write "mtu: ${room}" on this link, or raise the MTU of the interface to ${address}` },
      );
    }
  }
}
