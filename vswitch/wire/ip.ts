/**
 * IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as far as segmentation and checksums need them. Offsets count from the
 * header's first byte. Called by `headers.ts`, `checksum.ts` and `segment.ts`.
 *
 *   IPv4  offset  bytes  type  field                      IPv6  offset  bytes  type  field
 *              0      1  u4×2  version, header words                 0      4  u32   version, class, flow label
 *              2      2  u16   total length                          4      2  u16   payload length
 *              4      2  u16   identification                        6      1  u8    next header
 *              6      2  u16   flags, fragment offset                8     16        source
 *              9      1  u8    protocol                             24     16        destination
 *             10      2  u16   header checksum
 *             12      4        source
 *             16      4        destination
 */
export const IPV4_TOTAL_LENGTH_AT = 2;
export const IPV4_ID_AT = 4;
export const IPV4_FRAGMENT_AT = 6;
export const IPV4_PROTOCOL_AT = 9;
export const IPV4_CHECKSUM_AT = 10;
export const IPV4_SOURCE_AT = 12;
export const IPV4_MIN_BYTES = 20;
/** More-fragments and the offset: zero in a packet that is whole. */
export const IPV4_FRAGMENT_MASK = 0x3fff;

export const IPV6_PAYLOAD_LENGTH_AT = 4;
export const IPV6_NEXT_HEADER_AT = 6;
export const IPV6_SOURCE_AT = 8;
export const IPV6_BYTES = 40;

export const IpProtocol = { tcp: 6, udp: 17 } as const;

/** RFC 8200 §4: extension headers of the form (next header, length in 8-byte units without the first 8). */
export function isSkippableExtension(nextHeader: number): boolean {
  return nextHeader === 0 || nextHeader === 43 || nextHeader === 60;
}
