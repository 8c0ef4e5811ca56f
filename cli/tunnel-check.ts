/** `doctor`'s rows on tunnels between machines: what the kernel does for their datagrams, and what seals these. */
import { UDP_BUFFER_BYTES } from '../control/wiring.js';
import type { Check } from './machine-checks.js';
import { installCommand } from './requirements.js';

/** As large as the addon's own batches of small datagrams: fewer, and a burst is dropped by the kernel. */
const SMALL_BUFFER_BYTES = 1024 * 1024;
/** Of a datagram that fits a path MTU of 1500, chunk header included. */
const PAYLOAD_BYTES = 1418;

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
    const detail = missing.length === 0 ? ['segmented sends, merged receives, ECN'] : missing;
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

/** OpenSSL is there with node. Intel's library is quicker, and is for its kind of processor alone. */
export async function sealing(): Promise<Check> {
  const name = 'sealing';
  try {
    const { native } = await import('../native/binding.js');
    const { library, ipsecMbVersion, whyNotIpsecMb } = native.aeadFind();
    const { sealNs, openNs } = native.aeadMeasure({ algorithm: 'aes-256-gcm', payloadBytes: PAYLOAD_BYTES });
    const by = library === 'ipsec-mb' ? `libipsec-mb ${ipsecMbVersion}` : `OpenSSL ${process.versions.openssl}`;
    const time = `${Math.round(sealNs)} ns to seal ${PAYLOAD_BYTES} bytes, ${Math.round(openNs)} to open them`;
    const detail = `AES-256-GCM by ${by}: ${time}`;
    if (library === 'ipsec-mb' || process.arch !== 'x64') return { name, status: 'ok', detail };
    return {
      name,
      status: 'limited',
      detail: `${detail}; libipsec-mb would be quicker, but ${whyNotIpsecMb}`,
      // The library's own package has its major version in its name.
      mend: installCommand('libipsec-mb-dev'),
    };
  } catch (error) {
    return { name, status: 'limited', detail: `cannot be tried: ${(error as Error).message}` };
  }
}
