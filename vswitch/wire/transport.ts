/**
 * TCP (RFC 9293 §3.1) and UDP (RFC 768) headers, as far as segmentation and checksums need them. Offsets count from the
 * header's first byte. Called by `headers.ts` and `segment.ts`.
 *
 *   TCP  offset  bytes  type  field                       UDP  offset  bytes  type  field
 *             4      4  u32   sequence number                       4      2  u16   length, header included
 *            12      1  u4    header words (upper half)             6      2  u16   checksum
 *            13      1        flags
 *            16      2  u16   checksum
 */
export const TCP_SEQUENCE_AT = 4;
export const TCP_DATA_OFFSET_AT = 12;
export const TCP_FLAGS_AT = 13;
export const TCP_CHECKSUM_AT = 16;
export const TCP_MIN_BYTES = 20;

export const TcpFlag = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const;

export const UDP_LENGTH_AT = 4;
export const UDP_CHECKSUM_AT = 6;
export const UDP_BYTES = 8;
