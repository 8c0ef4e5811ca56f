/** tinc as a switch (`Mode = switch`), with what it does by default: its ciphers, its search for the path's MTU. */
import type { Daemon } from './daemon.js';
import type { Peer } from './peer.js';

const NAMES = ['one', 'two'] as const;
const KEY_BITS = 2048;

export const tinc: Peer = {
  name: 'tinc',
  title: 'tinc, switch mode',
  place: 'machines',
  programs: { tincd: 'tinc' },
  version: ['tincd', '--version'],
  async start(site) {
    const { folder } = site;
    const daemons: Daemon[] = [];
    const hosts = NAMES.map((name) => `${folder}/hosts/${name}`);
    const cards: string[] = [];
    for (const [i, { at, underlay }] of site.sides.entries()) {
      const connect = i === 0 ? '' : `ConnectTo = ${NAMES[0]}\n`;
      const words = `Name = ${NAMES[i]!}\nMode = switch\nInterface = tinc\nAddressFamily = ipv4\n${connect}`;
      site.write(at, `${folder}/tinc.conf`, words);
      site.write(at, hosts[i]!, `Address = ${underlay}\n`);
      // Its public half is added to the file of the host.
      await site.output(at, ['tincd', '-c', folder, `--generate-keys=${KEY_BITS}`]);
      cards.push(await site.output(at, ['cat', hosts[i]!]));
    }
    for (const [i, { at }] of site.sides.entries()) site.write(at, hosts[1 - i]!, cards[1 - i]!);
    for (const side of site.sides) {
      const pidfile = `--pidfile=${folder}/pid`;
      daemons.push(await site.run(side.at, ['tincd', '-c', folder, '--no-detach', pidfile]));
      await site.hand(side, 'tinc');
    }
    await site.answered();
    // Until both know what a datagram may have, frames go by TCP. Asked by SIGUSR2, it prints what it knows of nodes.
    await site.until('datagrams are as large as they may be', () => {
      for (const daemon of daemons) daemon.kill('SIGUSR2');
      return daemons.every(({ said }) => knowsMtu(said));
    });
  },
};

/** ` two at 100.64.0.2 port 655 … pmtu 1451 (min 1451 max 1451)`: of the other node, where it is found out. */
export function knowsMtu(said: string): boolean {
  return [...said.matchAll(/ pmtu \d+ \(min (\d+) max (\d+)\)/g)].some(
    ([, min, max]) => min === max && Number(min) > 0,
  );
}
