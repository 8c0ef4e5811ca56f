/**
 * How much one switch process can be: what its shared counters have room for. `topology.ts` checks it before
 * anything is touched; whoever plans a network can do so earlier.
 */

/** Devices of all kinds: TAPs, and a tunnel per peer. */
export const MAX_PORTS = 4096;
export const MAX_LINKS = 10_240;

/** Frames that a direction of a link passes on before the next one has its turn: they go on together. */
export const TURN_FRAMES = 64;

/** Threads that forward frames: with more, the trunks between them would have too little memory each. */
export const MAX_ENGINES = 8;

/** For frames. With several engines, each needs memory of its own, and some for its trunks. */
export function leastMemoryBytes(engines: number): number {
  return engines === 1 ? 4 * 2 ** 20 : engines * 8 * 2 ** 20;
}
