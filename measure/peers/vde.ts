/**
 * VDE's switch, with TAPs of its own: `vde_plug2tap` for each host would be a process more on the way, and took a quarter
 * of the rate where both were tried.
 */
import type { Peer } from './peer.js';

const TAPS = ['vde1', 'vde2'];

export const vde: Peer = {
  name: 'vde',
  title: 'vde_switch',
  place: 'switch',
  programs: { vde_switch: 'vde2' },
  version: ['vde_switch', '--version'],
  async start(site) {
    const taps = TAPS.flatMap((tap) => ['-t', tap]);
    await site.run(site.sides[0].at, ['vde_switch', '-s', `${site.folder}/ctl`, ...taps]);
    for (const [i, side] of site.sides.entries()) await site.hand(side, TAPS[i]!);
  },
};
