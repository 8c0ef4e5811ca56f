/**
 * WireGuard in a process of its own. Its devices have no Ethernet: packets of IP, from host to host. It is told its keys
 * and its peer by its socket (https://www.wireguard.com/xplatform/), so that `wg` is not needed.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { LuthierError } from '../../model/errors.js';
import type { Peer } from './peer.js';

const DEVICE = 'wg';
const SOCKET = `/run/wireguard/${DEVICE}.sock`;
const PORT = 51820;

export const wireguardGo: Peer = {
  name: 'wireguard-go',
  title: 'wireguard-go',
  place: 'machines',
  programs: { 'wireguard-go': 'wireguard-go' },
  version: ['wireguard-go', '--version'],
  async start(site) {
    const keys = site.sides.map(() => generateKeyPairSync('x25519'));
    for (const [i, side] of site.sides.entries()) {
      await site.run(side.at, ['wireguard-go', '--foreground', DEVICE]);
      const socket = site.path(side.at, SOCKET);
      await site.until('its socket is there', () => existsSync(socket));
      const other = site.sides[1 - i]!;
      await configure(socket, [
        `private_key=${raw(keys[i]!.privateKey)}`,
        `listen_port=${PORT}`,
        `public_key=${raw(keys[1 - i]!.publicKey)}`,
        `endpoint=${other.underlay}:${PORT}`,
        `allowed_ip=${other.address}/32`,
      ]);
      await site.hand(side, DEVICE);
    }
  },
};

/** RFC 8410: in both encodings the key itself is the last 32 bytes. */
function raw(key: KeyObject): string {
  const type = key.type === 'private' ? 'pkcs8' : 'spki';
  return key.export({ type, format: 'der' }).subarray(-32).toString('hex');
}

/** Answers `errno=0` where it has taken the settings. */
async function configure(socket: string, settings: readonly string[]): Promise<void> {
  let answer: string;
  try {
    const connection = connect(socket);
    await once(connection, 'connect');
    connection.end(`set=1\n${settings.join('\n')}\n\n`);
    answer = await text(connection);
  } catch (cause) {
    throw new LuthierError('E_BENCH', `wireguard-go does not listen: ${String(cause)}`, { cause });
  }
  if (!/^errno=0$/m.test(answer))
    throw new LuthierError('E_BENCH', `wireguard-go refused its settings: ${answer.trim()}`);
}
