/** The underlays of `bench tunnel`: what they are called, and which features of interfaces make one. */
import type { UnderlayName } from '../model/bench.js';

export const UNDERLAY_TITLES: Readonly<Record<UnderlayName, string>> = {
  uncut: 'veth as it is',
  'cut-gro': 'sender cuts, receiver has GRO',
  cut: 'sender cuts, no GRO',
};

/** Everything by which a device may be given a datagram of several segments, TCP's or a tunnel's. */
const SEGMENTATION = ['tso', 'gso', 'tx-udp-segmentation', 'tx-udp_tnl-segmentation', 'tx-udp_tnl-csum-segmentation'];

const STATES: Readonly<Record<UnderlayName, { readonly segmentation: 'on' | 'off'; readonly gro: 'on' | 'off' }>> = {
  uncut: { segmentation: 'on', gro: 'off' },
  'cut-gro': { segmentation: 'off', gro: 'on' },
  cut: { segmentation: 'off', gro: 'off' },
};

/** Arguments of `ethtool -K DEV`: those of every port, and what goes with them at a receiver. */
export function underlayFeatures(name: UnderlayName): { readonly cutting: string[]; readonly gro: string[] } {
  const { segmentation, gro } = STATES[name];
  return { cutting: SEGMENTATION.flatMap((feature) => [feature, segmentation]), gro: ['gro', gro] };
}
