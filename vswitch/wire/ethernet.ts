/**
 * Ethernet II and IEEE 802.1Q, as far as a frame has to be looked into. Offsets count from the header's first byte; a
 * frame here has neither preamble nor FCS. Called by `headers.ts`.
 *
 *   offset  bytes  type  field
 *        0      6        destination
 *        6      6        source
 *       12      2  u16   EtherType, or the TPID of a tag: then u16 TCI and the next EtherType follow
 */
import { get16 } from './bytes.js';

export const ETHERNET_TYPE_AT = 12;
export const ETHERNET_BYTES = 14;
export const VLAN_TAG_BYTES = 4;

export const EtherType = { ipv4: 0x0800, ipv6: 0x86dd, customerTag: 0x8100, serviceTag: 0x88a8 } as const;

/** QinQ is two; the kernel's flow dissector stops there too (net/core/flow_dissector.c, FLOW_DISSECTOR_KEY_CVLAN). */
const MAX_TAGS = 2;

/** Where the EtherType that is no tag stands, from the frame's start; -1 when it is not within `lengthBytes`. */
export function etherTypeAt(bytes: Uint8Array, at: number, lengthBytes: number): number {
  let typeAt = ETHERNET_TYPE_AT;
  for (let tags = 0; typeAt + 2 <= lengthBytes; tags++, typeAt += VLAN_TAG_BYTES) {
    const type = get16(bytes, at + typeAt);
    if (tags === MAX_TAGS || (type !== EtherType.customerTag && type !== EtherType.serviceTag)) return typeAt;
  }
  return -1;
}
