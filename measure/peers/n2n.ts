/** n2n: a supernode on the first machine, where the edges on both find each other; then they send directly. */
import type { Peer } from './peer.js';

const PORT = 7654;
const NETMASK = '255.255.255.0';

export const n2n: Peer = {
  name: 'n2n',
  title: 'n2n',
  place: 'machines',
  programs: { supernode: 'n2n', edge: 'n2n' },
  version: ['edge', '-h'],
  async start(site) {
    const [{ at, underlay }] = site.sides;
    await site.run(at, ['supernode', '-l', String(PORT)]);
    for (const side of site.sides) {
      // It drops what comes from another address than this.
      const own = ['-d', 'n2n', '-a', side.address, '-s', NETMASK];
      const common = ['-c', 'bench', '-l', `${underlay}:${PORT}`];
      await site.run(side.at, ['edge', ...own, ...common], { N2N_KEY: 'bench' });
      await site.hand(side, 'n2n');
    }
  },
};
