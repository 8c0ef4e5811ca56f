/**
 * The VXLAN header (RFC 7348 §5), between a UDP header and an Ethernet frame. Called by `vxlan/`.
 *
 *   offset  bytes  type  field
 *        0      1  u8    flags: 0x08 (I: there is a VNI), all others reserved
 *        1      3        reserved
 *        4      3  u24   VNI
 *        7      1        reserved
 *
 * What is reserved is zero here both ways. The RFC has a receiver ignore it; Linux refuses what it does not know
 * (vxlan_rcv in drivers/net/vxlan/vxlan_core.c), and so do we: such bits are those of extensions (VXLAN-GPE's P, group
 * policy's G), and what follows the header is then perhaps no Ethernet frame.
 */
import { get16, get24, put24, put32 } from './bytes.js';

export const VXLAN_BYTES = 8;

const FLAGS_AT = 0;
const VNI_AT = 4;
const FLAG_I = 0x08;

export function putVxlanHeader(bytes: Uint8Array, at: number, vni: number): void {
  put32(bytes, at + FLAGS_AT, FLAG_I << 24);
  put24(bytes, at + VNI_AT, vni);
  bytes[at + 7] = 0;
}

/** The VNI of the header at `at`, all of which stands there; -1 when it is none that we know. */
export function vniOf(bytes: Uint8Array, at: number): number {
  const isPlain = get16(bytes, at + FLAGS_AT) === FLAG_I << 8 && get16(bytes, at + 2) === 0 && bytes[at + 7] === 0;
  return isPlain ? get24(bytes, at + VNI_AT) : -1;
}
