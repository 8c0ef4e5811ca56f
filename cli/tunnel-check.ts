/** `doctor`'s row on tunnels between machines: what the kernel does for their datagrams, and how fast they are sealed. */
import { createCipheriv } from 'node:crypto';
import { UDP_BUFFER_BYTES } from '../control/wiring.js';
import type { Check } from './machine-checks.js';

/** As large as the addon's own batches of small datagrams: fewer, and a burst is dropped by the kernel. */
const SMALL_BUFFER_BYTES = 1024 * 1024;
const PIECE_BYTES = 65536;
const PIECES = 100;

export async function tunnels(): Promise<Check> {
  const name = 'tunnels';
  try {
    const { native, UdpFeature } = await import('../native/binding.js');
    const bind = { address: '127.0.0.1', port: 0 };
    const fd = native.udpOpen({ bind, receiveBufferBytes: UDP_BUFFER_BYTES });
    const features = native.udpFeatures(fd);
    // The kernel counts its own bookkeeping in: socket(7).
    const bufferBytes = native.udpReceiveBufferBytes(fd) / 2;
    native.close(fd);
    const missing = [
      ...((features & UdpFeature.segment) === 0 ? ['no segmented sends (UDP_SEGMENT: Linux 4.18)'] : []),
      ...((features & UdpFeature.gro) === 0 ? ['no merged receives (UDP_GRO: Linux 5.0)'] : []),
      ...((features & UdpFeature.ecn) === 0 ? ['congestion marks are not carried (IP_RECVTOS)'] : []),
    ];
    const aes = `AES-256-GCM ${sealingRate().toFixed(1)} GB/s`;
    const detail = [...missing, ...(missing.length === 0 ? ['segmented sends, merged receives, ECN'] : []), aes];
    if (missing.length > 0) return { name, status: 'limited', detail: detail.join(', '), mend: 'use a newer kernel' };
    if (bufferBytes < SMALL_BUFFER_BYTES) {
      const small = `receive buffers of ${Math.round(bufferBytes / 1024)} KiB: bursts between machines are lost`;
      const mend = `sysctl -w net.core.rmem_max=${UDP_BUFFER_BYTES}`;
      return { name, status: 'limited', detail: [...detail, small].join(', '), mend };
    }
    return { name, status: 'ok', detail: detail.join(', ') };
  } catch (error) {
    return { name, status: 'limited', detail: `cannot be tried: ${(error as Error).message}` };
  }
}

/** GB/s of one core: the best of several short pieces, since others have the core in between. */
function sealingRate(): number {
  const cipher = createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12));
  const data = Buffer.alloc(PIECE_BYTES);
  let best = 0;
  for (let i = 0; i < PIECES; i++) {
    const started = process.hrtime.bigint();
    cipher.update(data);
    best = Math.max(best, PIECE_BYTES / Number(process.hrtime.bigint() - started));
  }
  return best;
}
