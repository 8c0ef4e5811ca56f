/**
 * Writes pcapng (draft-ietf-opsawg-pcapng), as Wireshark and tshark read it: one section, one Ethernet interface,
 * nanosecond time stamps, the direction of each packet. Little-endian, like every capture of these machines.
 *
 *   SHB  section header    byte order, who wrote it
 *   IDB  interface         link type, snap length, if_name, if_tsresol
 *   EPB  packet …          time, captured and original length, data, epb_flags, epb_dropcount
 *   ISB  statistics …      isb_ifdrop: what was lost so far, where the capture fell behind
 *
 *   each block:   type u32 │ length u32 │ body, options │ length u32        padded to 4 bytes
 *   each option:  code u16 │ length u16 │ value                             padded to 4 bytes
 *
 *   const writer = new PcapngWriter();
 *   out.write(writer.header('tap:h1:eth0', 262144));
 *   out.write(writer.packet(frame, unixNs, 'in'));
 *
 * Called by the switch process's capture, on its main thread.
 */

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_ETHERNET = 1;

const OPT_END = 0;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;
const EPB_DROPCOUNT = 4;
const ISB_IFDROP = 5;

/** Time stamps count 10⁻⁹ s. */
const NANOSECONDS = 9;
/** Bits 0 and 1 of epb_flags. */
const DIRECTION = { in: 1, out: 2 } as const;

export class PcapngWriter {
  #snaplenBytes = 0;

  /** What a capture begins with. Packets are cut to `snaplenBytes`; 0 means that they are not. */
  header(interfaceName: string, snaplenBytes: number): Buffer {
    if (!Number.isInteger(snaplenBytes) || snaplenBytes < 0 || snaplenBytes > 0xffffffff) {
      throw new RangeError(`snap length of ${snaplenBytes} bytes`);
    }
    this.#snaplenBytes = snaplenBytes;
    const section = Buffer.alloc(16);
    section.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
    section.writeUInt16LE(1, 4);
    section.writeUInt16LE(0, 6);
    // Length of the section: not known.
    section.writeBigInt64LE(-1n, 8);
    const description = Buffer.alloc(8);
    description.writeUInt16LE(LINKTYPE_ETHERNET, 0);
    description.writeUInt32LE(snaplenBytes, 4);
    return Buffer.concat([
      block(SECTION_HEADER, section, option(SHB_USERAPPL, Buffer.from('luthier')), END),
      block(
        INTERFACE_DESCRIPTION,
        description,
        option(IF_NAME, Buffer.from(interfaceName)),
        option(IF_TSRESOL, Buffer.of(NANOSECONDS)),
        END,
      ),
    ]);
  }

  /**
   * `unixNs`: nanoseconds since 1970. `in`: the switch received it from the device. `lostBefore`: packets that were lost
   * between the one before and this one.
   */
  packet(data: Uint8Array, unixNs: bigint, direction: 'in' | 'out', lostBefore = 0): Buffer {
    const captured = this.#snaplenBytes === 0 ? data.byteLength : Math.min(data.byteLength, this.#snaplenBytes);
    const fixed = Buffer.alloc(20);
    writeTime(fixed, unixNs);
    fixed.writeUInt32LE(captured, 12);
    fixed.writeUInt32LE(data.byteLength, 16);
    const flags = Buffer.alloc(4);
    flags.writeUInt32LE(DIRECTION[direction], 0);
    const options = [option(EPB_FLAGS, flags), ...(lostBefore > 0 ? [count(EPB_DROPCOUNT, lostBefore)] : []), END];
    return block(ENHANCED_PACKET, fixed, padded(data.subarray(0, captured)), ...options);
  }

  /** Says how many packets were lost since the start; the last such block of a capture counts. */
  statistics(unixNs: bigint, lostPackets: number): Buffer {
    const fixed = Buffer.alloc(12);
    writeTime(fixed, unixNs);
    return block(INTERFACE_STATISTICS, fixed, count(ISB_IFDROP, lostPackets), END);
  }
}

/** Of the first interface, at this time: how packets and statistics begin. */
function writeTime(block: Buffer, unixNs: bigint): void {
  block.writeUInt32LE(0, 0);
  block.writeUInt32LE(Number(BigInt.asUintN(32, unixNs >> 32n)), 4);
  block.writeUInt32LE(Number(BigInt.asUintN(32, unixNs)), 8);
}

const END = option(OPT_END, Buffer.alloc(0));

function count(code: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return option(code, bytes);
}

function option(code: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.byteLength, 2);
  return Buffer.concat([head, padded(value)]);
}

function block(type: number, ...body: readonly Buffer[]): Buffer {
  const bytes = 12 + body.reduce((sum, part) => sum + part.byteLength, 0);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(bytes, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(bytes, 0);
  return Buffer.concat([head, ...body, tail]);
}

function padded(bytes: Uint8Array): Buffer {
  const out = Buffer.alloc(Math.ceil(bytes.byteLength / 4) * 4);
  out.set(bytes);
  return out;
}
