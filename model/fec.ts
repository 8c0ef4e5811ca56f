/**
 * Forward error correction between machines, as a scenario says it: `fec: auto`, or `fec: 10%`, datagrams of parity for each
 * of data. docs/adr/0019 says where the bounds come from.
 */
import { UsageError } from './errors.js';
import { quoted } from './names.js';
import { formatRatio, parseRatio } from './units.js';

/** `auto`: as much as the measured loss needs; else a ratio within the bounds. */
export type Fec = 'auto' | number;

/** A block has up to 72 datagrams: less is one for more than there are. */
export const MIN_PARITY_RATIO = 0.01;
/** Parity is load as well, on a path that may lose because it is full. */
export const MAX_PARITY_RATIO = 0.5;

/** Undefined: none. */
export function parseFec(value: string | number): Fec | undefined {
  if (value === 'none') return undefined;
  if (value === 'auto') return 'auto';
  const ratio = ratioOf(value);
  if (ratio < MIN_PARITY_RATIO) {
    throw new UsageError(`${quoted(String(value))} is less than ${formatRatio(MIN_PARITY_RATIO)}`, {
      hint: 'write fec: none for no parity, or fec: auto for as much as the measured loss needs',
    });
  }
  if (ratio > MAX_PARITY_RATIO) {
    throw new UsageError(`${quoted(String(value))} is more than ${formatRatio(MAX_PARITY_RATIO)}`, {
      hint: 'parity is load as well: a path that loses more than it can repair needs less of it, not more',
    });
  }
  return ratio;
}

function ratioOf(value: string | number): number {
  try {
    return parseRatio(value);
  } catch (cause) {
    if (typeof value === 'number') throw cause;
    throw new UsageError(`${quoted(value)} is neither auto, none nor a ratio`, {
      hint: 'write fec: auto, or fec: 10%',
      cause,
    });
  }
}
