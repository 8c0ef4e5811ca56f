/**
 * Datagrams of the scatter list, out through a tunnel's socket, and what follows where the kernel refuses: it is tried
 * again, or the path is asked how much it takes, or the peer is looked for, or the datagram is lost and counted.
 *
 * Nothing here is fatal. An asynchronous error of the socket (ECONNREFUSED: nobody listens at the peer) is reported by
 * the kernel in place of the next call, which it does not carry out: so that call is made once more. ICMP can be forged by
 * whoever knows address and port, so nothing else follows from it. Called by `lane.ts` and `udp.ts`.
 */
import { constants } from 'node:os';
import type { Clock } from '../../model/clock.js';
import { DropReason } from '../drops.js';
import type { TunnelSender } from './sender.js';

const { EAGAIN, EINVAL, EIO, EWOULDBLOCK, ECONNREFUSED, EMSGSIZE, ENETUNREACH } = constants.errno;
const { EACCES, EHOSTUNREACH, ENOPROTOOPT, EPROTO } = constants.errno;
/** Not among Node's constants: linux/errno.h. */
const [ENONET, EHOSTDOWN] = [64, 112];

/** What else ICMP leaves at a connected socket: icmp_err_convert in net/ipv4/icmp.c, icmpv6_err_convert in net/ipv6/icmp.c. */
const ICMP_ERRORS: readonly number[] = [EACCES, EHOSTDOWN, EHOSTUNREACH, ENONET, ENOPROTOOPT, EPROTO];

export interface DatagramSocket {
  /** As `udpWrite` of native/binding.ts. */
  write(first: number, firstEntry: number, datagrams: number, ring: number, segments: number): number;
}

/** Who is told that packets are too long. */
export interface PathErrors {
  /** The kernel says it of what it was given. True when they are shorter from now on. */
  refused(nowNs: number): boolean;
  /** Something says it without proof. */
  doubtPathMtu(nowNs: number): void;
}

/** Who is told that there is no way from here to the peer. */
export interface Route {
  /** True when it is worth another try. */
  lost(nowNs: number): boolean;
}

export interface DatagramWriterParts {
  readonly clock: Clock;
  readonly socket: DatagramSocket;
  readonly lengths: Int32Array;
  readonly sender: TunnelSender;
  readonly health: PathErrors;
  /** Absent where the tunnel is not sealed: its peer is looked for nowhere else. */
  readonly roaming: Route | undefined;
  /** The kernel cuts (UDP_SEGMENT). */
  readonly hasSegments: boolean;
}

export class DatagramWriter {
  /** Datagrams that the peer's machine refused (ICMP port unreachable), now or some time ago. */
  refused: number;
  /** Datagrams that were longer than the path's MTU (EMSGSIZE): the interface takes less than it did. */
  tooLong: number;
  /** Datagrams that failed with another error. */
  failed: number;
  readonly #clock: Clock;
  readonly #socket: DatagramSocket;
  readonly #lengths: Int32Array;
  readonly #sender: TunnelSender;
  readonly #health: PathErrors;
  readonly #roaming: Route | undefined;
  /** 1 or 0, as the addon wants it. */
  #segments: number;

  constructor({ clock, socket, lengths, sender, health, roaming, hasSegments }: DatagramWriterParts) {
    this.refused = 0;
    this.tooLong = 0;
    this.failed = 0;
    this.#clock = clock;
    this.#socket = socket;
    this.#lengths = lengths;
    this.#sender = sender;
    this.#health = health;
    this.#roaming = roaming;
    this.#segments = hasSegments ? 1 : 0;
  }

  /**
   * Sends datagrams 0 … `datagrams - 1` of the scatter list, sealed with the keys of `ring` (0: not); returns how many are
   * done with, sent or failed.
   */
  write(datagrams: number, ring: number): number {
    let done = 0;
    let entry = 0;
    let retries = 0;
    while (done < datagrams) {
      const n = this.#socket.write(done, entry, datagrams - done, ring, this.#segments);
      if (n > 0) {
        for (const end = done + n; done < end; done++) entry += this.#lengths[done]!;
        retries = 0;
        continue;
      }
      if (n === 0 || n === -EAGAIN || n === -EWOULDBLOCK) break;
      if (this.isWorthRetrying(-n, retries)) {
        retries++;
        continue;
      }
      if (n === -EMSGSIZE) {
        this.tooLong++;
        if (this.#health.refused(this.#clock.nowNs())) break;
      } else {
        this.failed++;
      }
      // A path that cannot do it (no checksums in hardware: EIO; UDP encapsulated in something: EINVAL).
      if (n === -EIO || n === -EINVAL) this.#segmentNoMore();
      this.#sender.fail(done, DropReason.deviceError);
      entry += this.#lengths[done]!;
      done++;
      retries = 0;
    }
    return done;
  }

  /** Sends the one datagram of the scatter list: returns 1, 0 when the socket is full, or -errno. */
  writeOne(ring: number): number {
    let n = this.#socket.write(0, 0, 1, ring, 0);
    for (let retries = 0; n < 0 && this.isWorthRetrying(-n, retries); retries++) {
      n = this.#socket.write(0, 0, 1, ring, 0);
    }
    return n;
  }

  /**
   * Whether an error may tell of an earlier datagram, which it counts. That there is no way from here is believed when the
   * kernel says it again of the call itself: then an own address is gone, and the peer is looked for.
   */
  isWorthRetrying(errno: number, retries: number): boolean {
    if (errno === ENETUNREACH && retries === 1) return this.#roaming?.lost(this.#clock.nowNs()) === true;
    if (errno === ECONNREFUSED) this.refused++;
    // ICMP said that something was too long for the path; or this call's own is for the interface, as the next one tells.
    else if (errno === EMSGSIZE) this.#health.doubtPathMtu(this.#clock.nowNs());
    else if (errno !== ENETUNREACH && !ICMP_ERRORS.includes(errno)) return false;
    return retries === 0;
  }

  #segmentNoMore(): void {
    this.#segments = 0;
    this.#sender.cutNoMore();
  }
}
