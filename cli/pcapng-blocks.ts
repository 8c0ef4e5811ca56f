/**
 * Cuts a pcapng stream between its blocks, whatever pieces it arrives in, so that `capture` can count packets and end a
 * file between two of them.
 *
 * A block (draft-ietf-opsawg-pcapng, section 3.1), little-endian as Luthier writes it:
 *
 *   0      4        8                     length - 4
 *   ├ type ┼ length ┼ body, padded to 4 … ┼ length again ┤
 */
const MIN_BLOCK_BYTES = 12;
/** A super-frame of 64 KiB and its options take a little more than that; beyond this the stream is not pcapng. */
const MAX_BLOCK_BYTES = 1 << 20;
const ENHANCED_PACKET = 6;

/** Whole blocks that arrived together. */
export interface PcapngBlocks {
  readonly bytes: Buffer;
  /** For each packet among them, the offset in `bytes` at which it ends. */
  readonly packetEnds: readonly number[];
}

/** Throws RangeError where the stream is not pcapng. An incomplete block at its end is left out. */
export async function* pcapngBlocks(stream: AsyncIterable<Uint8Array>): AsyncGenerator<PcapngBlocks> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of stream) {
    rest = rest.length === 0 ? Buffer.from(piece) : Buffer.concat([rest, piece]);
    const packetEnds: number[] = [];
    let at = 0;
    while (rest.length - at >= MIN_BLOCK_BYTES) {
      const length = rest.readUInt32LE(at + 4);
      if (length < MIN_BLOCK_BYTES || length > MAX_BLOCK_BYTES || length % 4 !== 0)
        throw new RangeError(`a pcapng block cannot have ${length} bytes`);
      if (rest.length - at < length) break;
      const isPacket = rest.readUInt32LE(at) === ENHANCED_PACKET;
      at += length;
      if (isPacket) packetEnds.push(at);
    }
    if (at > 0) yield { bytes: rest.subarray(0, at), packetEnds };
    rest = rest.subarray(at);
  }
}
