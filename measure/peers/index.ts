/** The peers there are, and which of them this run and this machine have. */
import type { AbsentReport } from '../../model/bench.js';
import { UsageError } from '../../model/errors.js';
import { quoted, suggestion } from '../../model/names.js';
import { missingPrograms } from '../programs.js';
import { n2n } from './n2n.js';
import { ovs } from './ovs.js';
import type { Peer, PeerPlace } from './peer.js';
import { tinc } from './tinc.js';
import { vde } from './vde.js';
import { wireguardGo } from './wireguard-go.js';

export type { Peer, PeerPlace } from './peer.js';

const PEERS: readonly Peer[] = [vde, ovs, n2n, tinc, wireguardGo];

/** The kernel's own, which are the references: always measured where one of their place is. */
const REFERENCES: Readonly<Record<string, PeerPlace>> = { bridge: 'switch', vxlan: 'machines' };

export const PEER_NAMES: readonly string[] = [...Object.keys(REFERENCES), ...PEERS.map(({ name }) => name)];

export interface Choice {
  readonly places: ReadonlySet<PeerPlace>;
  readonly peers: readonly Peer[];
  readonly absent: readonly AbsentReport[];
}

/** `only`: names; without, all. `path`: folders as in PATH. Throws on a name that there is not. */
export function choose(only: readonly string[] | undefined, path: string): Choice {
  for (const name of only ?? [])
    if (!PEER_NAMES.includes(name))
      throw new UsageError(`--only: there is no ${quoted(name)}`, { hint: suggestion(name, PEER_NAMES)! });
  const names = only ?? PEER_NAMES;
  const chosen = PEERS.filter(({ name }) => names.includes(name));
  const absent = chosen.flatMap((peer) => absence(peer, path));
  return {
    places: new Set([...chosen.map(({ place }) => place), ...names.flatMap((name) => REFERENCES[name] ?? [])]),
    peers: chosen.filter(({ name }) => !absent.some((other) => other.name === name)),
    absent,
  };
}

function absence({ name, title, programs }: Peer, path: string): AbsentReport[] {
  const missing = missingPrograms(Object.keys(programs), path);
  if (missing.length === 0) return [];
  const packages = [...new Set(missing.map((program) => programs[program]!))];
  const reason = `this machine does not have ${missing.join(', ')}`;
  return [{ name, title, reason, install: `apt-get install ${packages.join(' ')}` }];
}
