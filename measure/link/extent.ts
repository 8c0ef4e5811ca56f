/** How much of each part is measured: in about a minute, in full, or as little as shows that it works. */
import { LINK_PARTS, type LinkPart } from '../../model/bench-link.js';
import type { LinkExtent } from './bench.js';

export type Thoroughness = 'quick' | 'usual' | 'full';

const AUTO = 'auto' as const;
const WIRE = 'wire' as const;

const EXTENTS: Readonly<Record<Thoroughness, Required<LinkExtent>>> = {
  quick: {
    rtt: { delaysNs: [1e6], pings: 30 },
    busy: { delaysNs: [1e6], pings: 30 },
    jitter: { shapes: ['uniform'], pings: 30 },
    tcp: { settings: [{ rateBps: 10e6, segments: AUTO }], seconds: 1, frames: 1 },
    udp: { ratesBps: [1e6], seconds: 1 },
    cost: { seconds: 1 },
    change: 10,
    memory: { links: 100, settleSeconds: 0 },
  },
  usual: {
    rtt: { delaysNs: [0, 1e6, 20e6, 200e6], pings: 200 },
    busy: { delaysNs: [1e6, 20e6], pings: 200 },
    jitter: { shapes: ['normal'], pings: 300 },
    tcp: { settings: [1e6, 100e6, 1e9].map((rateBps) => ({ rateBps, segments: AUTO })), seconds: 3, frames: 100 },
    udp: { ratesBps: [1e6, 100e6], seconds: 2 },
    cost: { seconds: 3 },
    change: 200,
    memory: { links: 2000, settleSeconds: 3 },
  },
  full: {
    rtt: { delaysNs: [0, 0.2e6, 1e6, 5e6, 20e6, 100e6, 500e6, 1e9, 5e9], pings: 2000 },
    busy: { delaysNs: [0.2e6, 1e6, 20e6, 200e6, 1e9], pings: 1000 },
    jitter: { shapes: ['uniform', 'normal', 'pareto', 'paretonormal'], pings: 3000 },
    tcp: {
      settings: [
        ...[64e3, 256e3, 1e6, 10e6, 100e6, 500e6, 1e9, 2e9, 4e9].map((rateBps) => ({ rateBps, segments: AUTO })),
        ...[10e6, 100e6, 500e6].map((rateBps) => ({ rateBps, segments: WIRE })),
      ],
      seconds: 10,
      frames: 300,
    },
    udp: { ratesBps: [64e3, 256e3, 1e6, 10e6, 100e6, 250e6, 500e6, 1e9], seconds: 10 },
    cost: { seconds: 20 },
    change: 1000,
    memory: { links: 5000 },
  },
};

export function extentOf(thoroughness: Thoroughness, only: readonly LinkPart[] = LINK_PARTS): LinkExtent {
  const extent = EXTENTS[thoroughness];
  return Object.fromEntries(only.map((part) => [part, extent[part]]));
}
