/**
 * The addon's face, and the only file that loads it. The addon does what JavaScript cannot: system calls on TAPs and
 * UDP sockets in batches, waiting with nanosecond deadlines, namespaces, and passing descriptors. It forwards nothing
 * and decides nothing.
 *
 * Two kinds of calls. Set-up calls (strings, objects) throw an Error with `syscall`, `errno` (symbolic, `EBUSY`) and a
 * message, which `syscallError` turns into ours. Data-path calls (integers only) never throw: they return a count, or
 * `-errno`. They work on arrays registered once with `ioCreate`, so that no call looks up a buffer.
 *
 * State is per environment: each worker thread that imports this file has its own.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import nodeGypBuild from 'node-gyp-build';
import { LuthierError, SyscallError } from '../model/errors.js';

/** Arrays that data-path calls read and write; registered once per engine. */
export interface IoArrays {
  /** The arena's bytes, from `arenaCreate`. */
  readonly arena: Uint8Array;
  /** In for writes: the scatter list, pairs of (byte offset in the arena, bytes). */
  readonly iov: Int32Array;
  /** In for `tapRead` and `udpRead`: free slots to read into (slot indices). */
  readonly slots: Int32Array;
  /** Out for reads: bytes per frame or datagram. In for writes: scatter entries per frame or datagram. */
  readonly lengths: Int32Array;
  /**
   * In for `udpWrite`, as long as `lengths`: payload bytes of each datagram that this one is cut into, or 0 when it is one
   * as it stands; of parity, minus the number of its datagrams. Out of `udpRead`: from how many datagrams each was joined,
   * those that did not come and were rebuilt not counted.
   */
  readonly cuts: Int32Array;
  /**
   * The ECN field of a datagram's IP header (RFC 3168 §5), 0 … 3, as long as `lengths`: in for `udpWrite`, the one that it is
   * sent with; out of `udpRead`, the one that it came with, the same for all that were joined.
   */
  readonly ecn: Uint8Array;
  /** Out of `arrivalTimes`, as long as `lengths`: when frames came, as `clock[0]`; 0 where that is not known. */
  readonly came: Float64Array;
  /**
   * Out of `udpRead`, as long as `lengths`: 0 of a datagram that came from `endpoint`, or where the socket is connected; else
   * a number for `udpSource`.
   */
  readonly sources: Int32Array;
  /** ENDPOINT_BYTES: whom a call is about. */
  readonly endpoint: Uint8Array;
  /**
   * One `virtio_net_hdr` of 12 bytes per frame (VNET_HDR_BYTES), for TAPs opened with `vnetHdr`; laid out as in
   * linux/virtio_net.h, little-endian: u8 flags, u8 gso_type, u16 hdr_len, u16 gso_size, u16 csum_start, u16 csum_offset, u16 num_buffers.
   */
  readonly vnet: Uint8Array;
  /** Out of `wait`: tokens of the ready descriptors. */
  readonly ready: Int32Array;
  /**
   * `clock[0]`: CLOCK_MONOTONIC in ns since its zero (`ioCreate`), written by `wait` and `tick`. `clock[1]`: until when `wait` waits,
   * Infinity for no deadline; `clock[2]`: how long before that it stays awake, looking, so that it is not late (0: not at
   * all); after it, how long it did. `clock[3]`: its pace, how far apart wakings by one descriptor again and again are made (0: they
   * are as they come). `clock[4]`, after it: how much later than it was to its sleep ended, before it stayed awake; -1 where a
   * descriptor ended it, or it did not sleep. Here and not arguments: a double that crosses a call is an allocation.
   */
  readonly clock: Float64Array;
}

export const VNET_HDR_BYTES = 12;

/** An address of 16 bytes, IPv4 mapped (RFC 4291 §2.5.5.2), and a port, big-endian. */
export const ENDPOINT_BYTES = 18;

/** `TUNSETOFFLOAD` bits, linux/if_tun.h. */
export const TapOffload = { csum: 0x01, tso4: 0x02, tso6: 0x04, uso4: 0x20, uso6: 0x40 } as const;

export interface TapOptions {
  /** Path of the network namespace (`/proc/PID/ns/net`), or absent for the caller's own. */
  readonly netns?: string;
  /** At most 15 bytes. */
  readonly name: string;
  /** With a virtio_net_hdr of 12 bytes before each frame. */
  readonly vnetHdr?: boolean;
  /** `TapOffload` bits; needs `vnetHdr`. */
  readonly offload?: number;
  /** TUNSETPERSIST: it outlives its descriptors. */
  readonly persist?: boolean;
  /** TUNSETOWNER: the uid that may attach to it. */
  readonly owner?: number;
  /** Six bytes, `02:…`. */
  readonly mac?: string;
  readonly mtuBytes?: number;
}

export interface UdpOptions {
  readonly netns?: string;
  /** v4 or v6 address, port; port 0 lets the kernel choose. With 0.0.0.0 or :: the address is chosen with each peer. */
  readonly bind: { readonly address: string; readonly port: number };
  /** Connected to this peer: datagrams of strangers never arrive. */
  readonly connect?: { readonly address: string; readonly port: number };
  /** SO_RCVBUF(FORCE) and SO_SNDBUF(FORCE), in bytes asked for. */
  readonly receiveBufferBytes?: number;
  readonly sendBufferBytes?: number;
  /** An interface: all leaves and comes by it. */
  readonly device?: string;
  /** A multicast group that it hears as well, but for what it sends there itself; by `device`, else by the route to it. */
  readonly group?: string;
  /** TTL or hop limit of what it sends, 1 … 255; the kernel's default otherwise, which is 1 to a group. */
  readonly hops?: number;
  /** For VXLAN: nothing is merged (no UDP_GRO), and over IPv6 a checksum of zero is taken (RFC 6935). */
  readonly isVxlan?: boolean;
  /** A socket that may have the same port: what comes from now on is the new one's. */
  readonly inPlaceOf?: number;
}

/** Bits of `udpFeatures`. */
export const UdpFeature = {
  /** UDP_SEGMENT: many datagrams in one send. */
  segment: 1,
  /** UDP_GRO: many datagrams in one receive. */
  gro: 2,
  /** IP_RECVTOS, IPV6_RECVTCLASS: the ECN field of what arrives is told. */
  ecn: 4,
} as const;

/** Why a received datagram was refused: `lengths[i]` of `udpRead`, negated. */
export const UdpRefusal = {
  /** Too short for a header or a tag, or longer than 64 KiB. */
  badDatagram: 1,
  /** It is not sealed, where all but handshakes must be. */
  unsealed: 2,
  /** Sealed with a key that we do not have. */
  unknownEpoch: 3,
  /** Its counter was seen before, or is too old to tell. */
  replayed: 4,
  /** Its tag is wrong. */
  notAuthentic: 5,
  /** Foreign or a handshake, or where nothing is sealed anything, not from where the socket sends to. */
  stranger: 6,
  /** Authentic, but it came before: a moment ago, and from another source (of an open socket). */
  twin: 7,
  /** Where datagrams are sealed: of another version of the format, which `ecn` has then, or of another network (`cuts`). */
  foreign: 8,
  /** It is parity, of which nothing is left to be done. */
  parity: 9,
  /** It was rebuilt before it came, and is not taken again. */
  late: 10,
} as const;

export type AeadAlgorithm = 'aes-256-gcm' | 'chacha20-poly1305';

/** What seals: node's OpenSSL, or Intel's libipsec-mb, which knows AES-256-GCM alone. Their bytes are the same. */
export type AeadLibrary = 'openssl' | 'ipsec-mb';

/** What seals AES-256-GCM here. */
export interface AeadFound {
  readonly library: AeadLibrary;
  /** Where it is ipsec-mb. */
  readonly ipsecMbVersion?: string;
  /** Where it is not: what is amiss with it ("it is not installed"). */
  readonly whyNotIpsecMb?: string;
}

/** One key of a keyring. */
export interface KeyOptions {
  readonly algorithm: AeadAlgorithm;
  /** Default: the fastest that there is. */
  readonly library?: AeadLibrary;
  /** 1 … 2³²-1, as in the header of datagrams. */
  readonly epoch: number;
  /** 0 … 255 */
  readonly lane: number;
  /** Whether it seals or opens. */
  readonly seals: boolean;
  /** 44 bytes: key (32) and IV (12). Copied; the caller wipes its own. */
  readonly secret: Uint8Array;
}

/** SEQPACKET messages with descriptors: the keeper's protocol. */
export interface Message {
  readonly data: Buffer;
  readonly fds: readonly number[];
}

export interface Native {
  // --- descriptors -------------------------------------------------------------------------------------------------
  close(fd: number): void;
  /** Duplicate with FD_CLOEXEC. */
  dup(fd: number): number;
  /** Clears FD_CLOEXEC or sets it. */
  setCloexec(fd: number, on: boolean): void;
  eventfd(): number;
  /** Data-path call: adds 1. */
  eventfdSignal(fd: number): number;
  /** Data-path call: reads it empty; 1 when it had been signalled, else 0. */
  eventfdDrain(fd: number): number;
  /**
   * Data-path call, of /dev/cpu_dma_latency: how long processors may take to wake up, in microseconds. 0: they stay awake, and
   * those asleep are woken; -1: as long as they like.
   */
  requestLatency(fd: number, us: number): number;

  // --- local sockets -----------------------------------------------------------------------------------------------
  /** AF_UNIX SOCK_SEQPACKET, connected to a path of at most 107 bytes. */
  seqpacketConnect(path: string): number;
  /** Listening AF_UNIX SOCK_STREAM at a path (mode 0600): for `net.Server.listen({ fd })` in another process. */
  unixListen(path: string, backlog: number): number;
  /** Sends one message, of 1 … 131072 bytes and at most 64 descriptors; waits at most `timeoutMs`. */
  sendMessage(fd: number, data: Uint8Array, fds: readonly number[], timeoutMs: number): void;
  /** Receives one message; waits at most `timeoutMs` (then throws ETIMEDOUT; ECONNRESET at end of file). */
  receiveMessage(fd: number, timeoutMs: number): Message;

  // --- devices -----------------------------------------------------------------------------------------------------
  /** Opens or re-attaches a TAP (IFF_TAP | IFF_NO_PI), non-blocking, FD_CLOEXEC. Leaves the caller's namespace as it was. */
  tapOpen(options: TapOptions): number;
  /** TUNSETCARRIER. */
  tapSetCarrier(fd: number, on: boolean): void;
  /**
   * From now on the kernel writes down when the TAP's host sends frames: returns the memory's descriptor, which can only be
   * read. Throws EPERM without CAP_BPF.
   */
  arrivalsOpen(tap: number): number;
  /** Maps that memory, as an argument of `arrivalTimes`; the descriptor stays the caller's. */
  arrivalsCreate(fd: number): number;
  arrivalsDestroy(arrivals: number): void;
  /** Non-blocking UDP socket, IP_PMTUDISC_PROBE so that it never fragments, FD_CLOEXEC. */
  udpOpen(options: UdpOptions): number;
  /** MTU of the route to `connect`, by `device` where one is said; 0 where there is no route. Sends nothing. */
  udpRouteMtu(options: UdpOptions & Required<Pick<UdpOptions, 'connect'>>): number;
  /** Its bound address. */
  udpAddress(fd: number): { address: string; port: number };
  /** SO_RCVBUF as the kernel granted it: twice what was asked for, as it counts its own memory, too (socket(7)); 0: no socket. */
  udpReceiveBufferBytes(fd: number): number;
  /** What the kernel can do with it: `UdpFeature` bits. */
  udpFeatures(fd: number): number;
  /**
   * Buffers that a socket is received into, and what waits in them between two calls; of one tunnel, of that network. 0: of
   * no tunnel, and each datagram is given as it came, with a number for `udpSource` where the socket is open.
   */
  udpReceiverCreate(networkNumber: number): number;
  udpReceiverDestroy(receiver: number): void;
  // Of whom a socket is connected to: integers in, 0 or -errno out, as the calls of the data path below.
  /** Connects it to `endpoint`, whatever it was connected to before; one that fails is connected to nobody. */
  udpConnect(io: number, fd: number): number;
  /** From now on it hears everybody. */
  udpDisconnect(fd: number): number;
  /** Writes to `endpoint` whom it is connected to: 1, or 0 when that is nobody. */
  udpPeer(io: number, fd: number): number;
  /** Writes to `endpoint` where a datagram of the last `udpRead` came from: 1. `source` is what `sources` had for it. */
  udpSource(io: number, receiver: number, source: number): number;

  // --- keys --------------------------------------------------------------------------------------------------------
  /** Keys of a tunnel for one way, found by epoch and lane; those that open have a replay window (RFC 6479) each. */
  /** What makes the parity of datagrams: an argument of `udpWrite`, of one socket alone. */
  parityCreate(): number;
  parityDestroy(parity: number): void;
  /** Blocks that begin from now on have up to so many rows, 0 … 32: each costs as much as an exclusive or of all they are of. */
  parityRows(parity: number, rows: number): number;

  keyringCreate(): number;
  /** Refuses a second key of one epoch and lane: the same counters must never be sealed twice. */
  keyringAdd(keyring: number, options: KeyOptions): void;
  /** Forgets, and wipes, the keys of an epoch. */
  keyringRemove(keyring: number, epoch: number): void;
  keyringDestroy(keyring: number): void;

  /**
   * Looks for the libraries, where that was not done in this process yet: some milliseconds, and more where the disk must
   * be read. The first key does it else, which then stops the engine's thread for so long.
   */
  aeadFind(): AeadFound;
  /** Seals and opens super-frames' worth of datagrams in memory: nanoseconds for each datagram, some 10 ms in all. */
  aeadMeasure(options: Pick<KeyOptions, 'algorithm' | 'library'> & { readonly payloadBytes: number }): {
    readonly sealNs: number;
    readonly openNs: number;
  };

  /** Fills with random bytes of the kernel (getrandom(2)), at most 256. */
  random(into: Uint8Array): void;

  // --- memory and time ---------------------------------------------------------------------------------------------
  /** Anonymous memory, page aligned, zero, not touched until used; freed with the buffer. Below 2 GiB: offsets are int32. */
  arenaCreate(bytes: number): ArrayBuffer;
  /**
   * Registers the arrays, which may stand in a SharedArrayBuffer; returns a handle for the data-path calls below. The
   * arrays' sizes bound every call: one that asks for more than they hold, or names a slot outside the arena, is -EINVAL.
   * `zeroNs`: CLOCK_MONOTONIC where the clock is 0, not in the future; absent: now.
   */
  ioCreate(arrays: IoArrays, zeroNs?: number): number;
  ioDestroy(io: number): void;
  epollCreate(): number;
  /** `events`: EPOLLIN 1, EPOLLOUT 4. `token` comes back in `ready`. Level-triggered. */
  epollAdd(epoll: number, fd: number, token: number, events: number): void;
  epollModify(epoll: number, fd: number, token: number, events: number): void;
  epollRemove(epoll: number, fd: number): void;

  // --- threads -----------------------------------------------------------------------------------------------------
  /** gettid(2): of this thread, as /proc/self/task names it. */
  threadId(): number;
  /** Of this thread, as /proc/self/task/TID/comm has it; at most 15 bytes. */
  setThreadName(name: string): void;
  /** PR_SET_TIMERSLACK for this thread. */
  setTimerSlackNs(ns: number): void;
  /**
   * How long a thread (0: this one, which is all that an ordinary user's switch process may name) is to run at a time, 0.1 to
   * 100 ms, or 0 for as long as others: of two that share time, the one with
   * the shorter slice may interrupt the other when it is woken (EEVDF). Kernels before Linux 6.12 take it and do nothing.
   */
  setSliceNs(thread: number, ns: number): void;
  /**
   * SCHED_RR with this priority (1 … 99; threads that it starts are ordinary ones), 0: time sharing as before. Of any
   * thread; needs CAP_SYS_NICE.
   */
  setRealtime(thread: number, priority: number): void;

  // --- data path: integers in, count or -errno out ------------------------------------------------------------------
  /** Writes the time to `clock[0]`. */
  tick(io: number): number;
  /**
   * epoll_pwait2 until a descriptor is ready or `clock[0]` would reach `clock[1]` (one that has passed: only looks). Fills
   * `ready`, returns how many; then does what `tick` does. EINTR counts as 0.
   */
  wait(io: number, epoll: number): number;
  /**
   * From now on bursts of small frames are read and written by io_uring, many in one system call; only by this thread. 0, or
   * -errno: it cannot be had (ENOSYS, EPERM, or EINVAL before Linux 6.1), and all is done one by one, as before.
   */
  ringStart(io: number): number;
  /** Why there is no ring though it was asked for one, which it cannot have, or has lost since: an errno; else 0. */
  ringError(io: number): number;
  /**
   * Reads up to `maxFrames` frames into the first `slotCount` of `slots`. Each frame takes the next `slotsFor(length)`
   * slots in order: data from HEADROOM_BYTES in its first, from 0 in the others (arena.ts). Stops at EAGAIN, or when
   * fewer than `minSlots` slots are left (the largest frame this TAP can give). Out: `lengths[i]`; `vnet` where `vnetHdr`.
   * `ahead`, where it is not 0: small frames are expected, about so many; others cost a copy. No more are read at once than
   * would find `minSlots` each.
   */
  tapRead(
    io: number,
    fd: number,
    slotCount: number,
    minSlots: number,
    maxFrames: number,
    vnetHdr: number,
    ahead: number,
  ): number;
  /**
   * Of the frames that `tapRead` has just read, so many, when their host sent them: `came[i]`. To be called after each read of
   * that TAP that brought some, with all of them. 0, or -EINVAL.
   */
  arrivalTimes(io: number, arrivals: number, frames: number): number;
  /**
   * Writes frames from the scatter list: frame i has `lengths[i]` entries; `vnet` header i goes first where `vnetHdr`.
   * Starts at frame `first`, whose scatter entries start at `iov[2 * firstEntry]`. Returns how many were written, 0 when
   * the device is full; a frame that the kernel refuses (not EAGAIN) ends the batch before it, and is `-errno` when it
   * is the first. Or, where it was tried with others in one system call, it counts among the written, and `lengths` has
   * `-errno` for it.
   */
  tapWrite(io: number, fd: number, first: number, firstEntry: number, frames: number, vnetHdr: number): number;
  /**
   * Copies parts of the arena, of which the scatter list names so many, to `bytes` from `at` on, one behind the other.
   * `bytes` may be shared memory. 0, or -EINVAL where something is out of bounds.
   */
  gather(io: number, bytes: Uint8Array, at: number, entries: number): number;
  /** The other way round: to the parts of the arena that the scatter list names. */
  scatter(io: number, bytes: Uint8Array, at: number, entries: number): number;
  /**
   * Receives datagrams into the first `slotCount` of `slots`: each takes the next `slotsFor(length)` of them, laid out as a
   * frame is. What the kernel merged is taken apart; where `keyring` is not 0 each is opened; those that carry one frame
   * on in a row are joined to one with a longer payload. Out: `lengths[i]`, without the tag; a negative one is a
   * `UdpRefusal`, and took no slot. What found no slots waits in `receiver` for the next call. `isOpen` is 1 for a socket
   * that is connected to nobody, but sends to `endpoint`: then `sources` are told, else they are 0. Of one that was open, and
   * is connected to `endpoint` now, what waits is told still. With 2, handshakes that are not sealed are taken from whomever.
   */
  udpRead(io: number, receiver: number, fd: number, slotCount: number, keyring: number, isOpen: number): number;
  /** What is left after `udpRead`: 2, datagrams wait in the receiver; 1, the kernel may have more; 0, nothing. */
  udpMore(receiver: number): number;
  /**
   * What the kernel had no room for in the socket's receive buffer (SO_RXQ_OVFL), ever, as far as it was told with what came
   * after it; what it had merged, or a sender's segmented send that came whole, counts as one.
   */
  udpOverruns(receiver: number): number;
  /** Datagrams that were rebuilt by parity, ever. */
  udpRepaired(receiver: number): number;
  /** Those that parity came of, and not enough of it. */
  udpUnrepaired(receiver: number): number;
  /**
   * Sends datagrams to whom the socket is connected to, or where `isOpen` is 1 to `endpoint`. Scatter list as in
   * `tapWrite`, `cuts` and `ecn` as above, sealed by `keyring` where their header names an epoch. Datagrams that are equally
   * long and have one ECN field leave in one segmented send where `segments` is 1; cut ones
   * need that. Returns how many datagrams of the list were sent, 0 when the socket is full, or `-errno` of the first. An
   * error that the network reported (ECONNREFUSED) is told by the next call, read or write. `parity` is 0, or what makes the
   * parity of what is sent: datagrams whose counters follow each other are a block, up to the entry of its parity.
   */
  udpWrite(
    io: number,
    fd: number,
    first: number,
    firstEntry: number,
    datagrams: number,
    keyring: number,
    segments: number,
    isOpen: number,
    parity: number,
  ): number;
}

/** The package's own folder: the nearest one above this file that has a package.json. */
export const packageDirectory: string = findPackage();

/** Folder that has the addon and the keeper, `prebuilds/linux-x64` of the package. */
export const nativeDirectory: string = findNative();

/** Throws a LuthierError that says how to build it when there is none. */
export const native: Native = load();

/** The error of a set-up call in our own terms. */
export function syscallError(cause: unknown, what: string, hint?: string): SyscallError {
  const { syscall = '?', errno = '?' } = cause as { syscall?: string; errno?: string };
  return new SyscallError(syscall, errno, `${what}: ${(cause as Error).message}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

function findPackage(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}

function findNative(): string {
  try {
    return dirname(nodeGypBuild.resolve(packageDirectory));
  } catch (cause) {
    throw new LuthierError(
      'E_ADDON',
      `no native addon for ${process.platform}-${process.arch} in ${packageDirectory}`,
      {
        hint: `build it with a C compiler: make -C ${join(packageDirectory, 'native')}`,
        cause,
      },
    );
  }
}

function load(): Native {
  return createRequire(import.meta.url)(join(nativeDirectory, 'luthier.napi.node')) as Native;
}
