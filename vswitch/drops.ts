/**
 * Why a frame was dropped, and who counts it. A frame leaves every function in exactly one way: forwarded, queued, or
 * released and counted here.
 */
export const DropReason = {
  /** Shorter than an Ethernet header, or what is said of its checksum or segments cannot be. */
  malformed: 0,
  /** Longer than the port's MTU allows. */
  tooLong: 1,
  /** IEEE 802.1D-2004 table 7-10: 01-80-C2-00-00-0x is not forwarded. */
  reservedGroup: 2,
  /** The only port it could leave by is the one that it came in on, or one of the same horizon. */
  hairpin: 3,
  /** Nowhere to flood to. */
  noPort: 4,
  queueFull: 5,
  /** The arena has no free slot (`--memory`). */
  arenaFull: 6,
  linkDown: 7,
  /** The device refused it (a system call failed). */
  deviceError: 8,
  /** Tunnel: not our version, network, lane or channel; not decodable. VXLAN: no header, or bits in it that are reserved. */
  badDatagram: 9,
  unknownChannel: 10,
  /** Tunnel: a frame of which a chunk never came, within the time or memory that rebuilding may take. */
  incomplete: 11,
  /** Tunnel: the same chunk again, or one that disagrees with those before it. */
  duplicateChunk: 12,
  /** Sealed tunnel: there is no key yet. */
  noKey: 13,
  /** Sealed tunnel, received: not sealed. */
  unsealed: 14,
  /** Sealed with a key that we do not have (any more). */
  unknownEpoch: 15,
  /** Seen before, or too old to tell (RFC 6479). */
  replayed: 16,
  /** The tag is wrong: forged, or damaged. */
  notAuthentic: 17,
  /** Tunnel: marked CE on its way, and the frame's own transport does not understand that (RFC 6040 §4.2). */
  ecnConflict: 18,
  /** Sealed tunnel: the key has sealed as much as it may, and there is no other yet. */
  keySpent: 19,
  /** Sealed tunnel, received while its peer is not heard: a handshake of somebody else. VXLAN: of none of its remotes. */
  stranger: 20,
  /** Emulated: lost on the link, as was asked for. */
  lost: 21,
  /** Emulated: the link's queue was full, or its discipline (RED, CoDel, FQ-CoDel, PIE) chose it. */
  queueLimit: 22,
  discipline: 23,
  /** Emulated link: the engine had no memory to hold it (`--memory`). Not as was asked for. */
  overload: 24,
  /** Longer than the link's `mtu`. */
  mtuExceeded: 25,
  /** VXLAN: of another network, which is not here. */
  unknownVni: 26,
} as const;

export type DropReason = (typeof DropReason)[keyof typeof DropReason];

/** Names as `inspect` prints them, indexed by reason. */
export const DROP_REASONS = Object.keys(DropReason) as readonly (keyof typeof DropReason)[];

/** Counts and records a drop. The frame stays the caller's: it releases it right after. */
export interface DropSink {
  /** `frame` may be -1 where there is none (a datagram that carried none). `port` is the engine's device index, or -1. */
  drop(reason: DropReason, frame: number, port: number): void;
}
