/**
 * What asks an address whether the peer is there, and its answer: probe datagrams (type 2) of kinds of their own.
 * `docs/wire-format.md` is the specification.
 *
 *   offset  bytes  type  field
 *        0      1  u8    kind: 3 challenge, 4 answer
 *        1      3        zero
 *        4      8        value: nobody can guess it; an answer repeats its challenge's
 *       12     16        zero
 *
 * Called by `roaming.ts` and `../udp.ts`.
 */
import { PROBE_BYTES } from '../health/probe.js';

export const ChallengeKind = { challenge: 3, answer: 4 } as const;

export const CHALLENGE_BYTES = PROBE_BYTES;
const VALUE_AT = 4;
export const VALUE_BYTES = 8;

/** The kind of what stands at `at`; 0 when it is neither. */
export function challengeKind(bytes: Uint8Array, at: number, lengthBytes: number): number {
  const kind = bytes[at];
  if (lengthBytes < CHALLENGE_BYTES || (kind !== ChallengeKind.challenge && kind !== ChallengeKind.answer)) return 0;
  for (let i = 1; i < CHALLENGE_BYTES; i++) {
    if ((i < VALUE_AT || i >= VALUE_AT + VALUE_BYTES) && bytes[at + i] !== 0) return 0;
  }
  return kind;
}

/** A message with the value of the one at `at`. */
export function copyValue(from: Uint8Array, at: number, to: Uint8Array): void {
  for (let i = VALUE_AT; i < VALUE_AT + VALUE_BYTES; i++) to[i] = from[at + i]!;
}

export function isSameValue(bytes: Uint8Array, at: number, message: Uint8Array): boolean {
  for (let i = VALUE_AT; i < VALUE_AT + VALUE_BYTES; i++) if (bytes[at + i] !== message[i]) return false;
  return true;
}

export function emptyMessage(kind: number): Uint8Array {
  const message = new Uint8Array(CHALLENGE_BYTES);
  message[0] = kind;
  return message;
}

/** The value, to be filled. */
export function valueOf(message: Uint8Array): Uint8Array {
  return message.subarray(VALUE_AT, VALUE_AT + VALUE_BYTES);
}
