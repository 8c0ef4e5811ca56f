/** What this machine's processor can do, as far as Linux says it. */
import { readFileSync } from 'node:fs';

/** Whether AES-GCM is fast here: instructions for AES and for multiplication without carry. */
export function hasAesInstructions(cpuinfo = readFileSync('/proc/cpuinfo', 'utf8')): boolean {
  // `flags` on x86, `Features` on ARM.
  const features = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
  return features.has('aes') && (features.has('pclmulqdq') || features.has('pmull'));
}
