/**
 * Which flow a frame belongs to: a hash of its IP addresses, protocol and ports, as RFC 8290 §4.1.1 has it; of what is not
 * TCP or UDP, or a fragment, of its addresses and protocol; of what is no IP packet, of its MAC addresses and type.
 */
import { type Arena, SLOT_BYTES } from '../arena.js';
import { get16, get32 } from '../wire/bytes.js';
import { ETHERNET_TYPE_AT, EtherType, etherTypeAt } from '../wire/ethernet.js';
import { FrameHeaders } from '../wire/headers.js';
import {
  IPV4_MIN_BYTES,
  IPV4_PROTOCOL_AT,
  IPV4_SOURCE_AT,
  IPV6_BYTES,
  IPV6_NEXT_HEADER_AT,
  IPV6_SOURCE_AT,
} from '../wire/ip.js';

export class FlowHash {
  readonly #arena: Arena;
  readonly #headers: FrameHeaders;
  /** Of a link: which flows share a queue is another matter on each. */
  readonly #seed: number;

  constructor(arena: Arena, seed: number) {
    this.#arena = arena;
    this.#headers = new FrameHeaders();
    this.#seed = seed;
  }

  /** 31 bits. */
  of(frame: number): number {
    const arena = this.#arena;
    const { bytes } = arena;
    const at = arena.start(frame);
    const inFirstSlot = Math.min(arena.length[frame]!, SLOT_BYTES - arena.offset[frame]!);
    const headers = this.#headers;
    const isWhole = headers.parse(bytes, at, inFirstSlot);
    let hash = this.#addresses(at, inFirstSlot);
    if (isWhole) hash = mix(hash, get32(bytes, at + headers.transport));
    return finish(hash);
  }

  #addresses(at: number, lengthBytes: number): number {
    const { bytes } = this.#arena;
    const typeAt = etherTypeAt(bytes, at, lengthBytes);
    const ip = at + typeAt + 2;
    const left = lengthBytes - typeAt - 2;
    const type = typeAt === -1 ? 0 : get16(bytes, at + typeAt);
    if (type === EtherType.ipv4 && left >= IPV4_MIN_BYTES) {
      return this.#words(ip + IPV4_SOURCE_AT, 2, bytes[ip + IPV4_PROTOCOL_AT]!);
    }
    if (type === EtherType.ipv6 && left >= IPV6_BYTES) {
      return this.#words(ip + IPV6_SOURCE_AT, 8, bytes[ip + IPV6_NEXT_HEADER_AT]!);
    }
    return lengthBytes < ETHERNET_TYPE_AT ? this.#seed : this.#words(at, 3, type);
  }

  #words(at: number, count: number, start: number): number {
    const { bytes } = this.#arena;
    let hash = mix(this.#seed, start);
    for (let i = 0; i < count; i++) hash = mix(hash, get32(bytes, at + 4 * i));
    return hash;
  }
}

/** MurmurHash3 (Appleby 2011), 32 bits: its step for a word, and its end. */
function mix(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const k = Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  const h = hash ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

function finish(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 1;
}
