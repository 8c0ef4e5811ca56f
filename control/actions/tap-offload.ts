/**
 * Opens a host's TAP with all the offloads that its kernel knows: what a TAP may give its switch whole, or with a checksum
 * to be completed. Super-frames the other way need none of it (`vswitch/device/tap.ts` finds out what the kernel takes).
 * Called by `ports.ts`.
 */
import { native, TapOffload, type TapOptions } from '../../native/binding.js';

const { csum, tso4, tso6, uso4, uso6 } = TapOffload;

/** From the most to the least: USO came with Linux 6.2. */
const OFFLOADS = [csum | tso4 | tso6 | uso4 | uso6, csum | tso4 | tso6, csum, 0];

/** Returns the descriptor. A kernel refuses all of a TUNSETOFFLOAD with a bit that it does not know. */
export function openTapWithOffloads(
  options: Omit<TapOptions, 'vnetHdr' | 'offload'>,
  open = (its: TapOptions): number => native.tapOpen(its),
): number {
  for (let i = 0; ; i++) {
    try {
      return open({ ...options, vnetHdr: true, offload: OFFLOADS[i]! });
    } catch (error) {
      const { syscall, errno } = error as { syscall?: string; errno?: string };
      if (syscall !== 'TUNSETOFFLOAD' || errno !== 'EINVAL' || i === OFFLOADS.length - 1) throw error;
    }
  }
}
