/**
 * Tries what a TAP of Luthier needs, and prints one line of JSON. `doctor` runs it as a process of its own in a new
 * network namespace, so that no interface appears on the machine.
 */
import { native, TapOffload } from '../native/binding.js';

const { csum, tso4, tso6, uso4, uso6 } = TapOffload;

/** From the least to the most; each is tried by opening a TAP with it. */
const ATTEMPTS = [
  { feature: 'tap', options: {} },
  { feature: 'vnetHdr', options: { vnetHdr: true } },
  { feature: 'tso', options: { vnetHdr: true, offload: csum | tso4 | tso6 } },
  { feature: 'uso', options: { vnetHdr: true, offload: csum | tso4 | tso6 | uso4 | uso6 } },
];

const works: string[] = [];
let error: string | undefined;
for (const { feature, options } of ATTEMPTS) {
  try {
    native.close(native.tapOpen({ name: 'probe', ...options }));
    works.push(feature);
  } catch (cause) {
    error ??= (cause as Error).message;
  }
}
process.stdout.write(`${JSON.stringify({ works, error })}\n`);
