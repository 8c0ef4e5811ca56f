/** What VXLAN (RFC 7348) asks of those who configure it. The header is in `vswitch/wire/vxlan.ts`. */

/** UDP, IANA's. */
export const VXLAN_PORT = 4789;
/** 24 bits. */
export const MAX_VNI = 0xffffff;
/** Other endpoints of one that are named. */
export const MAX_REMOTES = 1024;

/**
 * What of the underlay's MTU a guest's packet does not have: the outer IP header of 20 or 40 bytes, UDP's, VXLAN's, and the
 * inner Ethernet header. A VTEP must not fragment (§4.3), so nothing else makes room.
 */
export function vxlanOverheadBytes(family: 4 | 6): number {
  return (family === 4 ? 20 : 40) + 8 + 8 + 14;
}

export function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}
