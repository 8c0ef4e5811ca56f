/**
 * A tunnel under attack: a `UdpDevice` on a real socket, with the addon, and at the other end somebody who sends anything,
 * even with the right keys (a hostile member), one by one and in segmented sends, which UDP_GRO hands over merged, on a path
 * that changes their ECN fields. A sealed tunnel now and then loses its peer, and hears everybody: then somebody with another
 * address sends as well.
 * Its parity rebuilds anything. After each burst must hold:
 *
 *   - a datagram that nobody touched, among the others, gave its frame;
 *   - what came out can be written to a TAP, cut, and its checksum completed;
 *   - a datagram that came alone gave a frame, was counted, or was a part of a frame;
 *   - slots are taken by half-rebuilt frames alone, no more than they may have, and by none when their time is over.
 *
 * And after the device was closed, that every slot is free. Whatever breaks is thrown.
 */
import { strict as assert } from 'node:assert';
import { createCipheriv } from 'node:crypto';
import { ManualClock } from '../../model/clock.js';
import type { Native } from '../../native/binding.js';
import { Arena, Checksum, FrameBatch, MAX_FRAME_SLOTS, SLOT_BYTES } from '../../vswitch/arena.js';
import { NativeIo } from '../../vswitch/device/native-io.js';
import { VnetHeaders } from '../../vswitch/device/vnet-header.js';
import { defaultLimits } from '../../vswitch/tunnel/reassembly.js';
import { UdpDevice } from '../../vswitch/tunnel/udp.js';
import {
  CHUNK_HEADER_BYTES,
  ChunkHeader,
  DATAGRAM_HEADER_BYTES,
  DatagramHeader,
  DatagramType,
  TAG_BYTES,
} from '../../vswitch/tunnel/wire.js';
import { completeFrameChecksum } from '../../vswitch/wire/checksum.js';
import { put32 } from '../../vswitch/wire/bytes.js';
import { Ecn } from '../../vswitch/wire/ecn.js';
import { Segmenter } from '../../vswitch/wire/segmenter.js';
import { Random } from '../chaos/random.js';
import { RecordingSink } from '../compliance/recording-sink.js';
import { batchOf, hex, NETWORK, pattern, plainFrame, superFrame, TestSender } from '../tunnel/fixture.js';
import { HostileDatagrams } from './hostile-datagrams.js';

const ARENA_BYTES = 8 * 2 ** 20;
const EPOCH = 7;
const ALGORITHM = 'aes-256-gcm';
const SECRET = Uint8Array.from({ length: 44 }, (_, i) => i * 7 + 1);
/** Of the device, at any time: headers of its sender, a frame that it sent in part, and what is in stock to be read into. */
const STANDING_SLOTS = 8 + MAX_FRAME_SLOTS + 256;
/** What a half-rebuilt frame waits at most is 100 ms. */
const LONG_NS = 1e9;
/** Between two looks at a tunnel that hears nothing, and how many until it doubts: 0.75 s after three unanswered questions. */
const SILENCE_NS = 300e6;
const QUESTIONS = 40;
/** That a datagram may take to arrive: a busy machine is no failure. */
const PATIENCE_MS = 20_000;
/** Of one call at most: what a receive buffer of Linux's usual size holds. */
const SEND_DATAGRAMS = 64;
const SEND_BYTES = 65_536;
/** The untouched datagram's frame, by its length: no other frame has it. */
const MARK_BYTES = 333;

export interface Tally {
  datagrams: number;
  frames: number;
  /** Reads from a socket that heard everybody, which gave something. */
  openReads: number;
  readonly drops: Map<string, number>;
}

export class TunnelFuzz {
  readonly tally: Tally = { datagrams: 0, frames: 0, openReads: 0, drops: new Map() };
  readonly #native: Native;
  readonly #random: Random;
  readonly #hostile: HostileDatagrams;
  readonly #isSealed: boolean;
  /** Of datagrams that were sealed with the right key; those of an enemy stay near, so that ours are not too old. */
  #counter = 0;

  // One tunnel after the other.
  /** Calls of the addon that gave datagrams. */
  #reads = 0;
  #device!: UdpDevice;
  #io!: NativeIo;
  #drops!: RecordingSink;
  #clock!: ManualClock;
  #vnet!: VnetHeaders;
  #segmenter!: Segmenter;
  #enemy!: NativeIo;
  #enemyFd = -1;
  /** The same, from elsewhere. */
  #strangerFd = -1;
  #marks!: TestSender;

  constructor(native: Native, seed: number, isSealed: boolean) {
    this.#native = native;
    this.#random = new Random(seed);
    this.#hostile = new HostileDatagrams(this.#random);
    this.#isSealed = isSealed;
  }

  /** A tunnel from its opening to its end, with so many bursts. */
  async tunnel(bursts: number): Promise<void> {
    this.#open();
    try {
      for (let i = 0; i < bursts; i++) await this.#burst();
      for (let i = 0; i < bursts; i++) await this.#alone();
      if (this.#isSealed) this.#jumpAhead();
    } finally {
      this.#close();
    }
  }

  // --- bursts --------------------------------------------------------------------------------------------------------

  async #burst(): Promise<void> {
    const random = this.#random;
    const datagrams: Uint8Array[] = [];
    for (let sends = random.int(1, 3); sends > 0; sends--) datagrams.push(...this.#attack());
    const among = random.int(0, datagrams.length);
    const [first, last] = [this.#mark(), this.#mark()];
    datagrams.splice(among, 0, first.datagram);
    datagrams.push(last.datagram);
    if (this.#isSealed && random.chance(0.3)) this.#fallSilent();
    const got = this.#send(datagrams);
    const endMs = performance.now() + PATIENCE_MS;
    while (!(got.has(first.frame) && got.has(last.frame)) && performance.now() < endMs) {
      await nextTurn();
      this.#take(got);
    }
    assert(got.has(first.frame) && got.has(last.frame), 'an untouched datagram was not delivered');
    this.#answer();
    if (random.chance(0.3)) this.#giveUp();
    this.#tallyDrops();
  }

  /** Whatever the enemy said of the path: frames are sent the other way. */
  #answer(): void {
    const { arena } = this.#io;
    this.#clock.advance(this.#random.int(0, 50e6));
    this.#device.poll(this.#clock.nowNs());
    const batch = batchOf(arena, [
      plainFrame(this.#random.int(14, 3000)),
      superFrame({ version: 4, protocol: 'tcp', payload: pattern(20_000) }, 1448),
    ]);
    for (let i = this.#device.txBatch(batch, 0); i < batch.count; i++) arena.release(batch.ids[i]!);
  }

  /** Until the tunnel hears everybody; the first who sends is not its peer. */
  #fallSilent(): void {
    this.#take(new Set());
    for (let asked = 0; asked < QUESTIONS && !this.#isOpen; asked++) {
      this.#clock.advance(SILENCE_NS);
      this.#device.poll(this.#clock.nowNs());
    }
    assert(this.#isOpen, 'a tunnel without its peer hears nobody else');
    // A member's parity may take the place of what it is of: the marks are of it, and still to come.
    this.#send(this.#attack(0), this.#strangerFd);
  }

  get #isOpen(): boolean {
    return this.#native.udpPeer(this.#io.handle, this.#device.fd) === 0;
  }

  /** A datagram that nobody touches, and the frame in it. */
  #mark(): { datagram: Uint8Array; frame: string } {
    const [datagram] = this.#marks.send([plainFrame(MARK_BYTES, this.#random.int(0, 255))]);
    const frame = hex(datagram!.subarray(-MARK_BYTES));
    return { datagram: this.#sealed(datagram!, this.#counter++), frame };
  }

  /** A real burst of datagrams with some changed, left out, repeated, out of order, and garbage among them. */
  #attack(parity = 0.1): Uint8Array[] {
    const random = this.#random;
    const real = this.#hostile.real();
    const ratio = random.pick([0, 0.05, 0.3, 1]);
    const all: Uint8Array[] = [];
    for (const data of real) {
      const other = random.pick(real)!;
      if (random.chance(0.1)) continue;
      const plain = random.chance(ratio) ? this.#hostile.mutated(data, other) : data;
      const sent = this.#sealedOrNot(plain);
      all.push(random.chance(ratio / 2) ? this.#hostile.mutated(sent, other) : sent);
      if (random.chance(0.05)) all.push(all.at(-1)!);
      if (random.chance(0.02)) all.push(this.#hostile.garbage());
      if (random.chance(0.05)) all.push(this.#sealedOrNot(this.#hostile.probe()));
      if (random.chance(parity)) all.push(this.#sealedOrNot(this.#hostile.parity()));
    }
    if (random.chance(0.5)) return all;
    for (let swaps = random.int(1, 4); swaps > 0 && all.length > 1; swaps--) {
      const [i, j] = [random.int(0, all.length - 1), random.int(0, all.length - 1)];
      [all[i], all[j]] = [all[j]!, all[i]!];
    }
    return all;
  }

  /** One datagram, and nothing until it is dealt with. */
  async #alone(): Promise<void> {
    const [real] = this.#hostile.real();
    const plain = this.#hostile.mutated(real ?? this.#hostile.garbage(), this.#hostile.garbage());
    const data = this.#sealedOrNot(plain);
    const [frames, drops, reads] = [this.tally.frames, this.#drops.reasons.length, this.#reads];
    const got = this.#send([data]);
    const endMs = performance.now() + PATIENCE_MS;
    while (this.#reads === reads && performance.now() < endMs) {
      await nextTurn();
      this.#take(got);
    }
    assert(this.#reads > reads, 'a datagram was lost on loopback');
    const isSeen = this.tally.frames > frames || this.#drops.reasons.length > drops;
    assert(isSeen || this.#mayBeSilent(plain, data), `neither delivered nor counted: ${hex(data)}`);
    this.#tallyDrops();
  }

  /** Parts of frames, header copies alone, padding, probes, parity, and handshakes where there are any: of these nothing is seen at once. */
  #mayBeSilent(plain: Uint8Array, data: Uint8Array): boolean {
    const header = new DatagramHeader();
    if (!header.parse(data, 0, data.byteLength)) return false;
    if (header.type === DatagramType.handshake) return this.#isSealed;
    if (header.type === DatagramType.probe || header.type === DatagramType.parity) return true;
    const chunk = new ChunkHeader();
    let at = DATAGRAM_HEADER_BYTES;
    for (; at < plain.byteLength && chunk.parse(plain, at, plain.byteLength - at); at += chunk.bytes)
      if (chunk.isWhole) return false;
    // Zeros, or the end.
    return (plain[at] ?? 0) === 0 && (plain[at + 1] ?? 0) === 0;
  }

  /** With the right key, counters at their end: nothing of ours would be opened any more. */
  #jumpAhead(): void {
    const datagrams = [2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64 - 2 ** 11].map((counter) =>
      this.#sealed(this.#hostile.real()[0] ?? pattern(60), counter),
    );
    this.#send(datagrams);
  }

  #sealedOrNot(plain: Uint8Array): Uint8Array {
    if (!this.#isSealed || plain.byteLength < DATAGRAM_HEADER_BYTES || this.#random.chance(0.05)) return plain;
    // One that was used, now and then; never one that is still to be ours.
    const isUsed = this.#counter > 0 && this.#random.chance(0.05);
    const counter = isUsed ? Math.max(0, this.#counter - this.#random.int(1, 3000)) : this.#counter++;
    return this.#sealed(plain, counter);
  }

  /** As a member seals it. */
  #sealed(plain: Uint8Array, counter: number): Uint8Array {
    if (!this.#isSealed) return plain;
    const header = Buffer.from(plain.subarray(0, DATAGRAM_HEADER_BYTES));
    // A header that was changed stays so, but for what the key goes by.
    put32(header, 8, EPOCH);
    header[3] = 0;
    header.writeBigUInt64BE(BigInt(counter), 12);
    const nonce = Buffer.from(SECRET.subarray(32));
    for (let i = 0; i < 8; i++) nonce[4 + i]! ^= header[12 + i]!;
    const cipher = createCipheriv(ALGORITHM, SECRET.subarray(0, 32), nonce);
    cipher.setAAD(header);
    const body = plain.subarray(DATAGRAM_HEADER_BYTES, 65_507 - TAG_BYTES);
    return Uint8Array.from(Buffer.concat([header, cipher.update(body), cipher.final(), cipher.getAuthTag()]));
  }

  // --- the two ends --------------------------------------------------------------------------------------------------

  #open(): void {
    const native = this.#native;
    const bind = { address: '127.0.0.1', port: 0 };
    const placeholder = native.udpOpen({ bind });
    const connect = native.udpAddress(placeholder);
    const fd = native.udpOpen({ bind, connect, receiveBufferBytes: 4 * 2 ** 20 });
    native.close(placeholder);
    this.#enemyFd = native.udpOpen({ bind: connect, connect: native.udpAddress(fd), sendBufferBytes: 4 * 2 ** 20 });
    this.#strangerFd = native.udpOpen({ bind, connect: native.udpAddress(fd), sendBufferBytes: 4 * 2 ** 20 });
    this.#enemy = new NativeIo(native, ARENA_BYTES);
    const udpRead: Native['udpRead'] = (...args) => {
      const n = native.udpRead(...args);
      if (n > 0) this.#reads++;
      if (n > 0 && args[5] !== 0) this.tally.openReads++;
      return n;
    };
    this.#io = new NativeIo({ ...native, udpRead }, ARENA_BYTES);
    this.#drops = new RecordingSink();
    this.#clock = new ManualClock();
    const context = { arena: this.#io.arena, io: this.#io, drops: this.#drops, clock: this.#clock, index: 0 };
    const fec = this.#random.pick([undefined, 'auto', 0.1, 0.5] as const);
    this.#device = new UdpDevice(context, {
      fd,
      networkNumber: NETWORK,
      pathMtuBytes: 1500,
      ipHeaderBytes: 20,
      seal: this.#isSealed ? 'required' : 'none',
      ...(fec === undefined ? {} : { fec }),
    });
    if (this.#isSealed) {
      this.#device.installKeys({ epoch: EPOCH, algorithm: ALGORITHM, send: SECRET, receive: [SECRET] });
      this.#device.useKeys(EPOCH);
    }
    this.#vnet = new VnetHeaders(this.#io.arena, new Uint8Array(12));
    this.#segmenter = new Segmenter(this.#io.arena);
    this.#marks = new TestSender();
    this.#counter = 0;
  }

  #close(): void {
    const { arena } = this.#io;
    this.#device.close();
    this.#io.close();
    this.#native.close(this.#enemyFd);
    this.#native.close(this.#strangerFd);
    this.#enemy.close();
    this.#tallyDrops();
    assert.equal(arena.freeSlots, arena.slotCount, 'slots leaked');
  }

  /**
   * From one of the enemy's sockets: those that are equally long in one segmented send, half of the times. No more at a time than
   * the smallest receive buffer holds; returns the marks' frames that came meanwhile.
   */
  #send(datagrams: readonly Uint8Array[], fd = this.#enemyFd): Set<string> {
    const { native, arena, iov, lengths, cuts, ecn, handle } = this.#enemy;
    const segments = this.#random.int(0, 1);
    let field = this.#random.int(Ecn.notEct, Ecn.ce);
    const got = new Set<string>();
    for (let done = 0; done < datagrams.length;) {
      let count = 0;
      for (let at = 0; done + count < datagrams.length && count < SEND_DATAGRAMS && at < SEND_BYTES; count++) {
        const data = datagrams[done + count]!;
        arena.bytes.set(data, at);
        iov[2 * count] = at;
        iov[2 * count + 1] = data.byteLength;
        lengths[count] = 1;
        cuts[count] = 0;
        if (this.#random.chance(0.1)) field = this.#random.int(Ecn.notEct, Ecn.ce);
        // CE would cost a mark its frame, which is no IP packet.
        ecn[count] = field === Ecn.ce && this.#isMark(data) ? Ecn.ect0 : field;
        at += data.byteLength;
      }
      const sent = native.udpWrite(handle, fd, 0, 0, count, 0, segments, 0, 0);
      assert(sent > 0, `the enemy cannot send: ${sent}`);
      done += sent;
      this.#take(got);
    }
    this.tally.datagrams += datagrams.length;
    return got;
  }

  /** By its length: others may have that as well. */
  #isMark({ byteLength }: Uint8Array): boolean {
    const tagBytes = this.#isSealed ? TAG_BYTES : 0;
    return byteLength === DATAGRAM_HEADER_BYTES + CHUNK_HEADER_BYTES + MARK_BYTES + tagBytes;
  }

  /** All that has come is seen to be fit for a TAP; marks' frames are added to `got`. */
  #take(got: Set<string>): void {
    const { arena } = this.#io;
    const batch = new FrameBatch(this.#device.batchSize);
    do {
      batch.count = 0;
      this.#device.rxBatch(batch);
      for (const frame of batch.ids.subarray(0, batch.count)) {
        if (arena.length[frame] === MARK_BYTES) got.add(hex(arena.read(frame)));
        this.#examine(frame);
        arena.release(frame);
      }
      this.tally.frames += batch.count;
    } while (batch.count > 0);
    const taken = arena.slotCount - arena.freeSlots;
    assert(taken <= STANDING_SLOTS + defaultLimits(arena).slots, `${taken} slots are taken`);
  }

  #examine(frame: number): void {
    const { arena } = this.#io;
    const gsoSize = arena.gsoSize[frame]!;
    assert(arena.length[frame]! >= 14, 'a frame without Ethernet header');
    assert(this.#vnet.write(0, frame), 'a frame that no TAP takes');
    const contiguous = Math.min(arena.length[frame]!, SLOT_BYTES - arena.offset[frame]!);
    if (gsoSize > 0 && this.#segmenter.begin(frame, gsoSize, contiguous)) {
      const first = this.#random.int(0, this.#segmenter.segments - 1);
      const run = this.#segmenter.run(first, first + 1);
      assert.notEqual(run, -1);
      this.#segmenter.complete(run);
      arena.release(run);
    }
    if (arena.csumState[frame] === Checksum.partial) assert(completeFrameChecksum(arena, frame));
  }

  /** The time of all half-rebuilt frames is over. */
  #giveUp(): void {
    this.#clock.advance(LONG_NS);
    this.#device.poll(this.#clock.nowNs());
    this.#take(new Set());
    const taken = this.#io.arena.slotCount - this.#io.arena.freeSlots;
    assert(taken <= STANDING_SLOTS, `${taken} slots are taken after all frames were given up`);
  }

  #tallyDrops(): void {
    const { reasons } = this.#drops;
    for (const reason of reasons) this.tally.drops.set(reason, (this.tally.drops.get(reason) ?? 0) + 1);
    reasons.length = 0;
  }
}

/** Packets with anything in their headers, cut in any way: nothing is written but what the segmenter allocates. */
export function fuzzSegmenter(random: Random, rounds: number): void {
  const hostile = new HostileDatagrams(random);
  const arena = new Arena(new Uint8Array(256 * SLOT_BYTES));
  const segmenter = new Segmenter(arena);
  // Every other slot stays ours, and as it is.
  const slots = Array.from({ length: arena.slotCount }, () => arena.takeSlot());
  const guards = slots.filter((slot) => slot % 2 === 0);
  for (const guard of guards) arena.bytes.fill(0xa5, guard * SLOT_BYTES, (guard + 1) * SLOT_BYTES);
  for (const slot of slots.filter((its) => its % 2 === 1)) arena.returnSlot(slot);
  const free = arena.freeSlots;
  const untouched = new Uint8Array(SLOT_BYTES).fill(0xa5);
  for (let round = 0; round < rounds; round++) {
    const bytes = hostile.packet();
    const frame = arena.write(bytes);
    assert.notEqual(frame, -1);
    const gsoSize = random.pick([0, 1, 2, 13, 500, 1448, random.int(1, 0xffff), 0xffff]);
    const knownBytes = random.pick([0, 13, random.int(0, bytes.byteLength), bytes.byteLength]);
    if (segmenter.begin(frame, gsoSize, Math.min(knownBytes, bytes.byteLength))) {
      for (let runs = 0; runs < 4; runs++) {
        const first = random.int(0, segmenter.segments - 1);
        const run = segmenter.run(first, random.int(first + 1, segmenter.segments));
        if (run === -1) continue;
        if (arena.gsoSize[run] === 0) segmenter.complete(run);
        arena.release(run);
      }
    }
    assert.equal(Buffer.compare(arena.read(frame), bytes), 0, 'the segmenter changed the frame');
    arena.release(frame);
    assert.equal(arena.freeSlots, free, 'the segmenter leaked slots');
    for (const guard of guards) {
      const at = guard * SLOT_BYTES;
      assert.equal(Buffer.compare(untouched, arena.bytes.subarray(at, at + SLOT_BYTES)), 0, 'another slot was written');
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
