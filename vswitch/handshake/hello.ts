/**
 * What two machines tell each other first within TLS, as JSON: each checks that the other means the same tunnel of the
 * same network, in the same format, before keys are used. Whoever says it has proven its identity already.
 */
import * as z from 'zod';
import type { AeadAlgorithm } from '../../native/binding.js';

/** What one end wants. */
export interface Terms {
  readonly wireVersion: number;
  readonly networkNumber: number;
  readonly machine: string;
  readonly peer: string;
  /** Engine threads, each with keys of its own. */
  readonly lanes: number;
  /** This machine has instructions for AES. */
  readonly aesIsFast: boolean;
}

/** What follows from two hellos. */
export interface Agreement {
  readonly algorithm: AeadAlgorithm;
  readonly peerLanes: number;
}

/** A keyring of the addon has room for eight epochs of so many. */
const MAX_LANES = 8;

const helloSchema = z.object({
  wireVersion: z.int(),
  networkNumber: z.int(),
  from: z.string().max(63),
  to: z.string().max(63),
  lanes: z.int().min(1).max(MAX_LANES),
  aesIsFast: z.boolean(),
});
export type Hello = z.infer<typeof helloSchema>;

export function helloOf({ wireVersion, networkNumber, machine, peer, lanes, aesIsFast }: Terms): Hello {
  return { wireVersion, networkNumber, from: machine, to: peer, lanes, aesIsFast };
}

/** What was agreed, or why nothing was. */
export function agree(terms: Terms, said: unknown): Agreement | string {
  const parsed = helloSchema.safeParse(said);
  if (!parsed.success) return `${terms.peer} says nothing that this version understands`;
  const hello = parsed.data;
  const { wireVersion, networkNumber, machine, peer, aesIsFast } = terms;
  if (hello.wireVersion !== wireVersion)
    return `${peer} speaks version ${hello.wireVersion} of the wire format, this machine ${wireVersion}`;
  if (hello.networkNumber !== networkNumber)
    return `${peer} belongs to the network of number ${hello.networkNumber}, this machine to ${networkNumber}`;
  if (hello.from !== peer || hello.to !== machine)
    return `the tunnel from ${machine} to ${peer} is one from ${hello.to} to ${hello.from} at its other end`;
  // Both compute the same from the same two values. RFC 8439 was made for machines without instructions for AES.
  const algorithm = aesIsFast && hello.aesIsFast ? 'aes-256-gcm' : 'chacha20-poly1305';
  return { algorithm, peerLanes: hello.lanes };
}
