/**
 * Reads packets and their times out of pcapng as dumpcap writes it: little-endian blocks of a section, an interface and
 * packets (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3). Called by `pings.ts`.
 *
 *   offset  bytes  of every block           enhanced packet block: body from 8
 *   0       4      type                     8   4   interface        20  4  bytes captured
 *   4       4      length of the block      12  8   time, high half  28  …  bytes of the packet
 *   8       …      body                             first
 */

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
/** Options of an interface begin after link type, reserved and snap length. */
const INTERFACE_OPTIONS_AT = 16;
/** if_tsresol: a power of ten, or of two where the highest bit is set. */
const RESOLUTION_OPTION = 9;
const LITTLE_ENDIAN_MAGIC = 0x1a2b3c4d;

export interface StampedPacket {
  /** Since 1970; a double tells quarters of a microsecond apart until 2041. */
  readonly atUs: number;
  readonly bytes: Buffer;
}

/** A block that is not there as a whole yet ends what is read. */
export function readPackets(data: Buffer): StampedPacket[] {
  const packets: StampedPacket[] = [];
  let ticksPerUs = 1;
  for (let at = 0; at + 12 <= data.length;) {
    const type = data.readUInt32LE(at);
    const length = data.readUInt32LE(at + 4);
    if (length < 12 || at + length > data.length) break;
    const block = data.subarray(at, at + length);
    if (type === SECTION && block.readUInt32LE(8) !== LITTLE_ENDIAN_MAGIC)
      throw new RangeError('a capture of another byte order');
    if (type === INTERFACE) ticksPerUs = 10 ** resolutionOf(block) / 1e6;
    if (type === ENHANCED_PACKET) {
      const ticks = (BigInt(block.readUInt32LE(12)) << 32n) | BigInt(block.readUInt32LE(16));
      const bytes = block.subarray(28, 28 + block.readUInt32LE(20));
      packets.push({ atUs: Number(ticks) / ticksPerUs, bytes });
    }
    at += length;
  }
  return packets;
}

/** Decimal digits of a second. */
function resolutionOf(block: Buffer): number {
  for (let at = INTERFACE_OPTIONS_AT; at + 4 <= block.length - 4;) {
    const [code, length] = [block.readUInt16LE(at), block.readUInt16LE(at + 2)];
    if (code === RESOLUTION_OPTION) return block.readUInt8(at + 4);
    if (code === 0) break;
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return 6;
}
