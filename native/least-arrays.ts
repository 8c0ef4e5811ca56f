/** Arrays for `ioCreate` that are as short as they may be: for whoever only waits, or tries what the kernel allows. */
import type { IoArrays } from './binding.js';

export function leastArrays(): IoArrays {
  return {
    arena: new Uint8Array(2048),
    iov: new Int32Array(2),
    slots: new Int32Array(1),
    lengths: new Int32Array(1),
    cuts: new Int32Array(1),
    ecn: new Uint8Array(1),
    sources: new Int32Array(1),
    came: new Float64Array(1),
    endpoint: new Uint8Array(18),
    vnet: new Uint8Array(12),
    ready: new Int32Array(1),
    clock: new Float64Array(5),
  };
}
