/**
 * ECN at a tunnel's end: what a frame's own IP header says becomes what routers between the machines said of the datagrams
 * that brought it (RFC 6040 §4.2, figure 4):
 *
 *             outer   Not-ECT     ECT(0)       ECT(1)       CE
 *   inner  Not-ECT    Not-ECT     Not-ECT !    Not-ECT !    dropped !      ! nobody who keeps to the RFC makes this
 *          ECT(0)     ECT(0)      ECT(0)       ECT(1)       CE
 *          ECT(1)     ECT(1)      ECT(1) !     ECT(1)       CE
 *          CE         CE          CE           CE !         CE
 *
 * A frame that is no IP packet cannot bear a mark, and counts as Not-ECT. One that came in several datagrams has one outer
 * field: CE when one of them has it, since congestion must not be forgotten (RFC 3168 §5.3); but CE beside Not-ECT drops the
 * frame, as there.
 *
 * The outer header is not sealed. Who changes it can do what a router can: mark, or drop. Called by `delivery.ts`.
 */
import { Ecn, getEcn, ipHeaderAt, setEcn } from '../wire/ecn.js';

/** What became of a frame. */
export const EcnFate = {
  kept: 0,
  /** It is kept as it was, but its fields go together in a way that nobody should make. */
  anomaly: 1,
  dropped: 2,
} as const;
export type EcnFate = (typeof EcnFate)[keyof typeof EcnFate];

/** The outer field of a frame whose datagrams disagree so that it must go. */
const CONFLICT = 4;

/** Which fields its datagrams had, a bit each (`markOf`), to the one that they have together. */
const TOGETHER = Uint8Array.from({ length: 16 }, (_, marks) => {
  const has = (ecn: Ecn): boolean => (marks & markOf(ecn)) !== 0;
  if (has(Ecn.ce)) return has(Ecn.notEct) ? CONFLICT : Ecn.ce;
  // ECT(1) is the more severe of the two, where they differ in that (RFC 6040 §4.2).
  if (has(Ecn.ect1)) return Ecn.ect1;
  return has(Ecn.ect0) ? Ecn.ect0 : Ecn.notEct;
});

/** What a set of marks holds when all are `ecn`: for a frame in one datagram, and to gather those of several. */
export function markOf(ecn: number): number {
  return 1 << ecn;
}

/** Nothing was marked, and nothing is to be done. */
export const NO_MARKS = markOf(Ecn.notEct);

/**
 * Gives the frame at `at`, of which `lengthBytes` stand there in a row, the field that follows from its own and from
 * `marks`, those of its datagrams.
 */
export function decapsulateEcn(bytes: Uint8Array, at: number, lengthBytes: number, marks: number): EcnFate {
  const outer = TOGETHER[marks]!;
  if (outer === Ecn.notEct) return EcnFate.kept;
  const ip = ipHeaderAt(bytes, at, lengthBytes);
  const inner = ip === -1 ? Ecn.notEct : getEcn(bytes, ip);
  if (outer === CONFLICT) return EcnFate.dropped;
  if (inner === Ecn.notEct) return outer === Ecn.ce ? EcnFate.dropped : EcnFate.anomaly;
  if (inner === Ecn.ce) return outer === Ecn.ect1 ? EcnFate.anomaly : EcnFate.kept;
  if (inner === Ecn.ect1 && outer === Ecn.ect0) return EcnFate.anomaly;
  if (outer === Ecn.ce || (outer === Ecn.ect1 && inner === Ecn.ect0)) setEcn(bytes, ip, outer);
  return EcnFate.kept;
}
