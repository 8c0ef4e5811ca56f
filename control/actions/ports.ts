/** Ports of hosts: TAPs in their namespaces, the other ends of which the keeper holds for the switch processes. */
import { arrivalsName } from '../../model/messages.js';
import { native, syscallError } from '../../native/binding.js';
import { netnsNodes } from '../../vrouter/router.js';
import { netnsOf, type LiveNetwork } from '../live.js';
import { runBatch } from '../native-tools.js';
import type { PlacedPort } from '../plan.js';
import { isAlive } from '../process.js';
import { tapName } from '../wiring.js';
import { pick, type Target } from './record.js';
import { openTapWithOffloads } from './tap-offload.js';

export function plugIn({ live, to }: Target, { nodes }: { readonly nodes: readonly string[] }): void {
  const held = new Set(live.keeper.list());
  const heldBy = new Map([...held].map((name) => [name.slice(name.indexOf('/') + 1), name]));
  for (const node of pick(to, nodes)) {
    const netns = netnsOf(live.process(`host:${node.name}`).pid);
    for (const port of node.ports) {
      const tap = tapName(node.name, port.name);
      if (held.has(`${node.machine}/${tap}`)) continue;
      const other = heldBy.get(tap);
      if (other !== undefined) {
        // The host moves to another machine: the same TAP goes to that machine's switch process.
        hold(live, node.machine, tap, live.keeper.get(other));
        continue;
      }
      const options = { netns, name: port.name, mac: port.mac, mtuBytes: port.mtuBytes, owner: live.header.uid };
      let fd: number;
      try {
        fd = openTapWithOffloads({ ...options, persist: true });
      } catch (cause) {
        throw syscallError(
          cause,
          `cannot plug in ${node.name}:${port.name}`,
          'run `luthier doctor`: it says whether /dev/net/tun may be opened',
        );
      }
      hold(live, node.machine, tap, fd);
    }
  }
}

/** After the switch processes have let go of them. The interface goes too, unless its host has only moved. */
export async function unplug(
  { live, to }: Target,
  { ports }: { readonly ports: readonly PlacedPort[] },
): Promise<void> {
  const held = new Set(live.keeper.list());
  const stays = new Set(netnsNodes(to).flatMap((node) => node.ports.map((port) => tapName(node.name, port.name))));
  const lines: string[] = [];
  for (const { machine, node, port } of ports) {
    const tap = tapName(node, port);
    for (const name of [tap, arrivalsName(tap)])
      if (held.has(`${machine}/${name}`)) live.keeper.drop(`${machine}/${name}`);
    const init = live.processOf(`host:${node}`);
    if (stays.has(tap) || init === undefined || !isAlive(init)) continue;
    lines.push(`@${init.pid}:${init.start}`, `-link del dev ${port}`);
  }
  await runBatch(lines);
}

/** A descriptor goes to the keeper, under the machine whose switch process may have it; ours is closed. */
export function hold(live: LiveNetwork, machine: string, device: string, fd: number): void {
  try {
    live.keeper.put(`${machine}/${device}`, fd);
  } finally {
    native.close(fd);
  }
}
