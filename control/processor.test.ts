import { expect, it } from 'vitest';
import { hasAesInstructions } from './processor.js';

it.each([
  ['x86 with AES-NI', 'model name\t: X\nflags\t\t: fpu sse4_2 aes pclmulqdq avx\nbogomips\t: 1\n', true],
  ['x86 without', 'flags\t\t: fpu sse4_2 vaes_not\n', false],
  ['ARMv8 with the extension', 'processor\t: 0\nFeatures\t: fp asimd aes pmull sha1\n', true],
  ['ARMv8 without (Raspberry Pi 4)', 'Features\t: fp asimd evtstrm crc32 cpuid\n', false],
  ['nothing that we know', 'cpu\t\t: POWER9\n', false],
])('finds instructions for AES: %s', (_, cpuinfo, found) => {
  expect(hasAesInstructions(cpuinfo)).toBe(found);
});
