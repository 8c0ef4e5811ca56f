/** What a link should give, by arithmetic alone (docs/commands.md has the formulas in words). Called by the parts. */

/** Of a frame with 1500 bytes of packet: Ethernet's header; IPv4's and TCP's with timestamps. */
const ETHERNET_BYTES = 14;
const MTU_BYTES = 1500;
const TCP_HEADER_BYTES = 20 + 20 + 12;
export const FRAME_BYTES = MTU_BYTES + ETHERNET_BYTES;

/** Of a queue for TCP: more than a BDP at the RTT that the link is given, and never fewer than some packets. */
const TCP_QUEUE_SECONDS = 0.02;
/** Of a queue for a flood: longer than a sender is held up where it shares its processor, lest the line runs empty meanwhile. */
const FLOOD_QUEUE_SECONDS = 0.1;
const LEAST_QUEUE_PACKETS = 20;

/** UDP's, IPv4's and Ethernet's headers. */
const UDP_HEADER_BYTES = 8 + 20 + ETHERNET_BYTES;
/** So many frames in a second that one more or less in a window of seconds is no error. */
const FRAMES_PER_SECOND = 2000;
/** iperf3 has its own header in each datagram; Ethernet's shortest frame has 60 bytes. */
const LEAST_DATAGRAM_BYTES = 60 - UDP_HEADER_BYTES;
const MOST_DATAGRAM_BYTES = FRAME_BYTES - UDP_HEADER_BYTES;

/** Payload of TCP over a link that is always busy with full frames. */
export function goodputBps(rateBps: number): number {
  return (rateBps * (MTU_BYTES - TCP_HEADER_BYTES)) / FRAME_BYTES;
}

/** For TCP. */
export function queuePackets(rateBps: number): number {
  return Math.max(LEAST_QUEUE_PACKETS, Math.ceil((rateBps * TCP_QUEUE_SECONDS) / 8 / FRAME_BYTES));
}

/** For a flood: room for one full frame at least. */
export function floodQueueBytes(rateBps: number): number {
  return Math.max(FRAME_BYTES, Math.ceil((rateBps * FLOOD_QUEUE_SECONDS) / 8));
}

/** How long so many full frames take. */
export function framesSeconds(frames: number, rateBps: number): number {
  return (frames * FRAME_BYTES * 8) / rateBps;
}

/** Payload of the datagrams by which a rate is measured, and the frame that carries one. */
export function datagramBytes(rateBps: number): { payloadBytes: number; frameBytes: number } {
  const wanted = Math.floor(rateBps / 8 / FRAMES_PER_SECOND) - UDP_HEADER_BYTES;
  const payloadBytes = Math.min(MOST_DATAGRAM_BYTES, Math.max(LEAST_DATAGRAM_BYTES, wanted));
  return { payloadBytes, frameBytes: payloadBytes + UDP_HEADER_BYTES };
}
