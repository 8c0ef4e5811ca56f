/**
 * How much a scenario can be. Together they bound what `load` takes in time and memory, whatever it is given; each is
 * beyond what a network of 10 000 nodes and 65535 links needs, each with rate, delay, jitter and loss.
 */

/** Of a file. */
export const MAX_BYTES = 8 * 1024 * 1024;
/** The format needs 6: document, nodes, a node, its command, an argument, and one to spare. */
export const MAX_DEPTH = 16;
/** Of one list or mapping: more than `links`, the longest of the format, can have. */
export const MAX_ENTRIES = 0x10000;
/** Scalars, lists and mappings, aliases expanded. */
export const MAX_VALUES = 1_000_000;
/** Characters that begin or end a value or a line: what a parser makes of a text is in proportion to them. */
export const MAX_MARKS = 1_250_000;
