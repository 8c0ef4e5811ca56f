/**
 * How much one switch process can be: what its shared counters have room for. `topology.ts` checks it before
 * anything is touched; whoever plans a network can do so earlier.
 */

/** Devices of all kinds: TAPs, and a tunnel per peer. */
export const MAX_PORTS = 4096;
export const MAX_LINKS = 8192;
