/**
 * How long each library takes to seal and to open a datagram, in memory: 44 in a row, as a super-frame of 62 KB has, the
 * best of a hundred times.
 *
 *   npx tsx bench/aead.ts
 */
import { native, type AeadAlgorithm, type AeadLibrary } from '../native/binding.js';

/** A health probe's, a path MTU of 1500 (what is sealed of it), one of 9000. */
const PAYLOADS_BYTES = [64, 1418, 8918];

const { library: fastest, ipsecMbVersion, whyNotIpsecMb } = native.aeadFind();
const ways: [AeadAlgorithm, AeadLibrary][] = [
  ['aes-256-gcm', 'openssl'],
  ...(fastest === 'ipsec-mb' ? [['aes-256-gcm', 'ipsec-mb'] as [AeadAlgorithm, AeadLibrary]] : []),
  ['chacha20-poly1305', 'openssl'],
];
console.log(`OpenSSL ${process.versions.openssl}; ipsec-mb: ${ipsecMbVersion ?? whyNotIpsecMb}`);
console.log('algorithm           library   bytes   ns to seal   ns to open');
for (const [algorithm, library] of ways)
  for (const payloadBytes of PAYLOADS_BYTES) {
    const { sealNs, openNs } = native.aeadMeasure({ algorithm, library, payloadBytes });
    const numbers = [String(payloadBytes).padStart(5), sealNs.toFixed(0).padStart(12), openNs.toFixed(0).padStart(12)];
    console.log(`${algorithm.padEnd(19)} ${library.padEnd(8)}  ${numbers.join(' ')}`);
  }
