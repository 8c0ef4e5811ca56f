/**
 * When an agent looks at what does not say by itself that it has ended: once a second, and at all of it at the same moments,
 * however many networks there are, so that one that has nothing to do wakes no oftener. Called by `agent.ts` and
 * `supervisor.ts`.
 */
export const LOOK_MS = 1_000;

/** Timers end that much too early at most, but where the event loop was busy when they were set. */
const EARLY_MS = 50;

/** Until the next of these moments that is not just now. */
export function untilLookMs(nowMs = performance.now()): number {
  const leftMs = LOOK_MS - (nowMs % LOOK_MS);
  return leftMs < EARLY_MS ? leftMs + LOOK_MS : leftMs;
}
