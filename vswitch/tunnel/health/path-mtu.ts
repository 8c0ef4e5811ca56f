/**
 * The path MTU of a tunnel, found by probes alone (RFC 8899, Datagram Packetization Layer Path MTU Discovery), so that it
 * does not depend on ICMP, which networks filter and anybody can forge. Sizes are those of the underlay's IP packets.
 *
 *               answered                 search ends
 *    ┌──────┐ ─────────► ┌───────────┐ ─────────────► ┌──────────┐
 *    │ base │            │ searching │                │ complete │ ──┐ confirmed each second,
 *    └──────┘            └───────────┘ ◄───────────── └──────────┘ ◄─┘ raised after some seconds
 *        ▲                     │         a larger one       │
 *        └─────────────────────┴───────── is answered ──────┘
 *           black hole: the size in use is not answered MAX_PROBES times, or the kernel refuses it
 *
 * Two schedules run side by side. *Confirmation* asks with packets of the size in use: it finds black holes (RFC 8899
 * §4.3), and is the heartbeat of the tunnel. *Search* (§5.3) asks with larger ones: first the largest, then by bisection
 * of the sizes that networks have. Data never goes out larger than what was answered. Pure: `poll` says what to send.
 * Called by `tunnel-health.ts`.
 */

/** BASE_PLPMTU, here MIN_PLPMTU too (RFC 8899 §5.1.2): what each IPv6 path takes. */
export const BASE_BYTES = 1280;
/** MAX_PROBES, §5.1.2. */
export const MAX_PROBES = 3;
/** CONFIRMATION_TIMER, §5.1.1. */
export const CONFIRM_NS = 1e9;
/** Who asks when the peer does waits so much longer for it: by less, timers and paths differ from one second to the next. */
const FOLLOW_NS = 50e6;
/**
 * PMTU_RAISE_TIMER, §5.1.1. It is 600 s there, for the Internet. Here three probes in five seconds are nothing, and who
 * changes an MTU in an experiment watches.
 */
export const RAISE_NS = 5e9;
/** While nothing is answered, it is asked so often, then so often; not less, as silence is to be noticed soon. */
const IMPATIENT_NS = 250e6;
const IMPATIENT_PROBES = 16;
const PATIENT_NS = 1e9;

/**
 * MTUs of links and tunnels (RFC 4821 §7.3 advises to try them first): IPv6 tunnels, IPsec, WireGuard 1420, VXLAN 1450, GRE
 * 1476, IPIP 1480, PPPoE 1492, Ethernet; then FDDI 4352, jumbo frames, and loopback.
 */
const COMMON_BYTES = [
  1280, 1300, 1320, 1340, 1360, 1380, 1400, 1410, 1420, 1430, 1440, 1450, 1460, 1470, 1476, 1480, 1492, 1500, 1600,
  1800, 2000, 2304, 3000, 4000, 4352, 6000, 8000, 8900, 8950, 9000, 9216, 16_000, 32_000, 65_535,
];

const NONE = -1;

export class PathMtu {
  /** In use, and answered: packets no larger than this get through. */
  bytes: number;
  /** Ascending, from BASE_BYTES to the largest. */
  readonly #sizes: Float64Array;
  /** Indices of `#sizes`: the size in use; the first that is known to be too large; the one that is being tried. */
  #index: number;
  #tooLarge: number;
  #candidate: number;
  #candidateProbes: number;
  /** Unanswered probes of the size in use, and when the first was sent. */
  #probes: number;
  #askedNs: number;
  #confirmNs: number;
  /** When a confirmation was asked for last, whether the next is asked for as the peer asks, and what that adds to the pause. */
  #lastNs: number;
  #follows: boolean;
  #spareNs: number;
  #searchNs: number;
  /** Replies to what was asked before that are of another time. */
  #sinceNs: number;

  constructor(largestBytes: number, nowNs: number) {
    const smaller = COMMON_BYTES.filter((bytes) => bytes < largestBytes);
    this.#sizes = Float64Array.from([...smaller, largestBytes]);
    this.bytes = this.#sizes[0]!;
    this.#index = 0;
    this.#tooLarge = this.#sizes.length;
    this.#candidate = NONE;
    this.#candidateProbes = 0;
    this.#probes = 0;
    this.#askedNs = nowNs;
    this.#confirmNs = nowNs;
    this.#lastNs = nowNs;
    this.#follows = false;
    this.#spareNs = 0;
    this.#searchNs = Infinity;
    this.#sinceNs = nowNs;
  }

  /** When `poll` is due. */
  get nextNs(): number {
    return Math.min(this.#confirmNs, this.#searchNs);
  }

  /**
   * The size of the packet to ask with now; 0 for none. To be called until it is 0. After `timeoutNs` a probe is taken for
   * lost.
   */
  poll(nowNs: number, timeoutNs: number): number {
    if (nowNs >= this.#confirmNs) {
      if (this.#probes === 0) this.#askedNs = nowNs;
      if (this.#probes >= MAX_PROBES && nowNs >= this.#askedNs + MAX_PROBES * timeoutNs && this.#index > 0) {
        this.#fall(nowNs);
      }
      this.#probes++;
      this.#lastNs = nowNs;
      this.#spareNs = this.#follows ? FOLLOW_NS : 0;
      this.#follows = false;
      this.#confirmNs = nowNs + this.#intervalNs(timeoutNs);
      return this.bytes;
    }
    if (nowNs >= this.#searchNs) {
      if (this.#candidate === NONE) this.#try(this.#index + 1, nowNs);
      else if (this.#candidateProbes >= MAX_PROBES) this.#refuse(nowNs);
      if (this.#candidate === NONE) return 0;
      this.#searchNs = nowNs + timeoutNs;
      this.#candidateProbes++;
      return this.#sizes[this.#candidate]!;
    }
    return 0;
  }

  /** A packet of this size, sent at `sentNs`, was answered. */
  answered(bytes: number, sentNs: number, nowNs: number): void {
    if (sentNs < this.#sinceNs || bytes < this.bytes) return;
    if (this.#candidate !== NONE && bytes === this.#sizes[this.#candidate]) {
      this.#index = this.#candidate;
      this.bytes = bytes;
      this.#next(nowNs);
    } else if (this.#searchNs === Infinity && this.#index + 1 < this.#sizes.length) {
      this.#tooLarge = this.#sizes.length;
      this.#next(nowNs);
    }
    this.#probes = 0;
    this.#confirmNs = Math.max(nowNs, sentNs + CONFIRM_NS + this.#spareNs);
  }

  /** The kernel refused a packet of this size: the interface itself takes less (EMSGSIZE). No need to ask the path. */
  refused(bytes: number, nowNs: number): void {
    if (this.#candidate !== NONE && bytes >= this.#sizes[this.#candidate]!) this.#refuse(nowNs);
    if (bytes <= this.bytes && this.#index > 0) this.#fall(nowNs);
  }

  /** There is a hint (ICMP) that the size in use is too large: ask, unless that is under way, and believe the answer. */
  doubt(nowNs: number): void {
    if (this.#probes === 0) this.#confirmNs = nowNs;
  }

  /**
   * The peer asks: who has not asked for a while does it with the answer, and from then on again and again, as the peer is a
   * little earlier each time. So each end wakes twice a second for all that is asked and answered, not three times.
   */
  asked(nowNs: number): void {
    if (this.#probes > 0 || nowNs < this.#lastNs + CONFIRM_NS / 2) return;
    this.#confirmNs = nowNs;
    this.#follows = true;
  }

  /** The peer is there again: whoever asked rarely meanwhile asks now. */
  askNow(nowNs: number): void {
    this.#confirmNs = nowNs;
  }

  /** It is another path: nothing is known of it. */
  reset(nowNs: number): void {
    this.#fall(nowNs);
    this.#probes = 0;
  }

  /** Black hole: down to what always goes, and on from there. */
  #fall(nowNs: number): void {
    this.#index = 0;
    this.bytes = this.#sizes[0]!;
    this.#tooLarge = this.#sizes.length;
    this.#candidate = NONE;
    this.#searchNs = Infinity;
    this.#confirmNs = nowNs;
    this.#sinceNs = nowNs;
  }

  #intervalNs(timeoutNs: number): number {
    if (this.#probes <= MAX_PROBES) return Math.min(timeoutNs, IMPATIENT_NS);
    return this.#probes <= IMPATIENT_PROBES ? IMPATIENT_NS : PATIENT_NS;
  }

  #try(candidate: number, nowNs: number): void {
    this.#candidate = candidate;
    this.#candidateProbes = 0;
    this.#searchNs = nowNs;
  }

  #refuse(nowNs: number): void {
    this.#tooLarge = this.#candidate;
    this.#next(nowNs);
  }

  /** The largest, as long as nothing speaks against it; then the middle of what is left. */
  #next(nowNs: number): void {
    const largest = this.#sizes.length - 1;
    if (this.#index + 1 < this.#tooLarge) {
      this.#try(this.#tooLarge > largest ? largest : (this.#index + this.#tooLarge) >> 1, nowNs);
      return;
    }
    // Done, for a while: then the next larger one is tried, and if it is answered all that are above.
    this.#candidate = NONE;
    this.#tooLarge = this.#sizes.length;
    this.#searchNs = this.#index === largest ? Infinity : nowNs + RAISE_NS;
  }
}
