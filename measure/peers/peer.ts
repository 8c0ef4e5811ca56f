/**
 * Programs that people use in Luthier's place, for `bench peers`. One is a small file of this folder: what it starts,
 * where, and how its ends come to the hosts. `site.ts` is where it does so, `index.ts` lists them all.
 */
import type { Site } from './site.js';

/** What it is compared in: two hosts on one switch, or on two machines. */
export type PeerPlace = 'switch' | 'machines';

export interface Peer {
  /** As `--only` has it, and a part of the names of its hosts. */
  readonly name: string;
  readonly title: string;
  readonly place: PeerPlace;
  /** What it needs: each program with the Debian package that has it. */
  readonly programs: Readonly<Record<string, string>>;
  /** A command line whose output has its version. */
  readonly version: readonly string[];
  /**
   * Starts it. When this resolves its devices are in the hosts, with their addresses; that they reach each other is then
   * waited for. What it started is ended by `site`, whether it succeeds or throws.
   */
  start(site: Site): Promise<void>;
}
