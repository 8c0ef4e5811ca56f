/**
 * What a link on which nothing passes takes of an engine's memory, emulated and not: V8's heap and all typed arrays after a full
 * collection, of engines in this process that have so many links between bridges. (`luthier bench link --only memory` has the RSS of
 * whole switch processes, which V8 gives back when it likes.)
 *
 *   npx tsx --expose-gc bench/idle-links.ts
 */
import { type LinkProperties, NO_EMULATION, PLAIN } from '../model/emulation.js';
import type { SwitchConfig } from '../model/messages.js';
import { MemoryNetwork } from '../vswitch/memory-network.js';
import { memorySwitch } from './memory-switch.js';

const EMULATED: LinkProperties = {
  state: 'up',
  emulation: {
    ...NO_EMULATION,
    rateBps: 100e6,
    delayNs: 10e6,
    jitter: { jitterNs: 1e6, distribution: 'normal', correlationRatio: 0 },
    loss: { model: 'random', lossRatio: 0.001, correlationRatio: 0 },
  },
};

/** A star of bridges; `ways` is what both directions of each link do. None: the bridges alone. */
function star(links: number, ways?: LinkProperties): SwitchConfig {
  const leaves = Array.from({ length: links }, (_, i) => `s${i}`);
  const link = (leaf: string, of: LinkProperties): SwitchConfig['links'][number] => ({
    name: `hub--${leaf}`,
    ends: [{ bridge: 'hub' }, { bridge: leaf }],
    forward: of,
    reverse: of,
  });
  return memorySwitch(['hub', ...leaves], {
    devices: [],
    links: ways === undefined ? [] : leaves.map((leaf) => link(leaf, ways)),
  });
}

function usedBytes(): number {
  if (gc === undefined) throw new Error('say --expose-gc');
  gc();
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function engineBytes(links: number, ways?: LinkProperties): number {
  const before = usedBytes();
  const network = new MemoryNetwork({ arenaBytes: 2 ** 20, clock: { nowNs: () => 0, now: new Float64Array(1) } });
  network.apply(star(links, ways));
  const bytes = usedBytes() - before;
  // It is there until it has been weighed.
  network.engine.breath();
  return bytes;
}

engineBytes(10, EMULATED);
for (const links of [1000, 2000, 5000]) {
  const [none, plain, emulated] = [engineBytes(links), engineBytes(links, PLAIN), engineBytes(links, EMULATED)];
  const each = (bytes: number): string => ((bytes - none) / links).toFixed(0);
  console.log(`${links} links: ${each(plain)} bytes each; emulated both ways ${each(emulated)}`);
}
