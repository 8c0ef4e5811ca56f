/**
 * An address and a port in ENDPOINT_BYTES, as the addon has them: IPv6, or IPv4 mapped (RFC 4291 §2.5.5.2), then the port,
 * big-endian. Equality of endpoints is equality of these bytes.
 */
import { get16, get32, put16 } from '../../wire/bytes.js';

/** As of native/binding.ts, which cannot be imported without loading the addon. */
export const ENDPOINT_BYTES = 18;
const PORT_AT = 16;
const GROUPS = 8;

/** `address` is one of IPv4 or IPv6 in any notation without a zone. */
export function parseEndpoint(address: string, port: number): Uint8Array {
  const endpoint = new Uint8Array(ENDPOINT_BYTES);
  put16(endpoint, PORT_AT, port);
  if (!address.includes(':')) {
    endpoint.fill(0xff, 10, 12);
    endpoint.set(address.split('.').map(Number), 12);
    return endpoint;
  }
  // The URL parser writes each notation in one way (RFC 5952), without IPv4's.
  const [head, tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::') as [string, string?];
  const front = groupsOf(head);
  const back = groupsOf(tail ?? '');
  front.forEach((group, i) => put16(endpoint, 2 * i, group));
  back.forEach((group, i) => put16(endpoint, 2 * (GROUPS - back.length + i), group));
  return endpoint;
}

function groupsOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => parseInt(group, 16));
}

/** `192.0.2.1:7000`, `[2001:db8::1]:7000`. */
export function formatEndpoint(endpoint: Uint8Array): string {
  const port = get16(endpoint, PORT_AT);
  if (isMapped(endpoint)) return `${endpoint.slice(12, PORT_AT).join('.')}:${port}`;
  const groups = Array.from({ length: GROUPS }, (_, i) => get16(endpoint, 2 * i).toString(16));
  return `${new URL(`http://[${groups.join(':')}]`).hostname}:${port}`;
}

export function isSameEndpoint(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < ENDPOINT_BYTES; i++) if (a[i] !== b[i]) return false;
  return true;
}

function isMapped(endpoint: Uint8Array): boolean {
  return get32(endpoint, 0) === 0 && get32(endpoint, 4) === 0 && get32(endpoint, 8) === 0xffff;
}
