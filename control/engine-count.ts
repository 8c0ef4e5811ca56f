/** How many engines a switch process may have: told before one is started. Called by `up` and by the agent. */
import { availableParallelism } from 'node:os';
import { UsageError } from '../model/errors.js';
import { leastMemoryBytes, MAX_ENGINES } from '../vswitch/limits.js';

/**
 * Throws UsageError for what a switch process would refuse, and for more than there are processors. `memoryBytes`: what is
 * usual, 64 MiB, suffices for all.
 */
export function requireEngines(engines: number, memoryBytes = Infinity, processors = availableParallelism()): void {
  const most = Math.min(MAX_ENGINES, processors);
  if (!Number.isInteger(engines) || engines < 1 || engines > most)
    throw new UsageError(`--engines is ${engines}, and on this machine it takes 1${most > 1 ? ` to ${most}` : ''}`, {
      hint: 'leave it out for one; each keeps a processor busy while much passes',
    });
  const leastBytes = leastMemoryBytes(engines);
  if (memoryBytes < leastBytes)
    throw new UsageError(
      `${engines} engines need ${leastBytes >> 20} MiB for frames, and --memory is ${memoryBytes >> 20} MiB`,
      {
        hint: `give them more: --memory ${leastBytes >> 20}MiB`,
      },
    );
}
