/**
 * Quantities as a person writes them, `100mbit`, `64KiB`, `20ms`, `0.1%`, and as Luthier counts them: whole bits per
 * second, bytes, nanoseconds, packets, and ratios from 0 to 1. Nothing is rounded: what is not a whole number of the
 * smallest unit, or more than a double holds exactly, is refused. Every `parse…` throws `UsageError` with a hint; what a
 * `format…` writes, its `parse…` reads back to the same number.
 *
 * Used by the scenario's schema and by command-line options.
 */
import { UsageError } from './errors.js';
import { nearest, quoted } from './names.js';

interface Quantity {
  /** `a rate` */
  readonly what: string;
  readonly example: string;
  /** Unit to how many of the smallest one it is. */
  readonly units: Readonly<Record<string, bigint>>;
  /** What others write, and the unit that they may have meant, or why there is none. */
  readonly mistaken: Readonly<Record<string, string>>;
  readonly smallest: string;
}

const RATE: Quantity = {
  what: 'a rate',
  example: '100mbit',
  units: { bit: 1n, kbit: 1_000n, mbit: 1_000_000n, gbit: 1_000_000_000n },
  smallest: '1bit',
  mistaken: {
    b: 'bit or, for bytes, 8 times as many bit',
    k: 'kbit',
    kb: 'kbit, or for kilobytes 8 times as many kbit',
    kbps: 'kbit, or for kilobytes 8 times as many kbit',
    m: 'mbit',
    mb: 'mbit, or for megabytes 8 times as many mbit',
    mbps: 'mbit, or for megabytes 8 times as many mbit',
    g: 'gbit',
    gb: 'gbit, or for gigabytes 8 times as many gbit',
    gbps: 'gbit, or for gigabytes 8 times as many gbit',
    bps: 'bit, or for bytes 8 times as many bit',
    'kbit/s': 'kbit',
    'mbit/s': 'mbit',
    'gbit/s': 'gbit',
    'kb/s': 'kbit, or for kilobytes 8 times as many kbit',
    'mb/s': 'mbit, or for megabytes 8 times as many mbit',
    'gb/s': 'gbit, or for gigabytes 8 times as many gbit',
    kibit: 'kbit (1 kibit is 1.024kbit)',
    mibit: 'mbit (1 mibit is 1.048576mbit)',
  },
};

const SIZE: Quantity = {
  what: 'a size',
  example: '64KiB',
  units: { B: 1n, kB: 1_000n, MB: 1_000_000n, KiB: 1_024n, MiB: 1_048_576n },
  smallest: '1B',
  mistaken: {
    k: 'KiB (1024 bytes) or kB (1000 bytes)',
    kb: 'KiB (1024 bytes) or kB (1000 bytes)',
    m: 'MiB (1048576 bytes) or MB (1000000 bytes)',
    mb: 'MiB (1048576 bytes) or MB (1000000 bytes)',
    g: 'MiB: 1 GiB is 1024MiB',
    gb: 'MB: 1 GB is 1000MB',
    gib: 'MiB: 1 GiB is 1024MiB',
    t: 'MiB: 1 TiB is 1048576MiB',
    tb: 'MB: 1 TB is 1000000MB',
    tib: 'MiB: 1 TiB is 1048576MiB',
    byte: 'B',
    bytes: 'B',
    bit: 'B: a size is in bytes',
  },
};

const DURATION: Quantity = {
  what: 'a time',
  example: '10ms',
  units: {
    ns: 1n,
    us: 1_000n,
    ms: 1_000_000n,
    s: 1_000_000_000n,
    m: 60_000_000_000n,
    h: 3_600_000_000_000n,
  },
  smallest: '1ns',
  mistaken: {
    µs: 'us',
    μs: 'us',
    usec: 'us',
    msec: 'ms',
    sec: 's',
    secs: 's',
    second: 's',
    seconds: 's',
    min: 'm',
    mins: 'm',
    minute: 'm',
    minutes: 'm',
    hour: 'h',
    hours: 'h',
    d: 'h: a day is 24h',
  },
};

const PACKETS: Quantity = {
  what: 'a number of packets',
  example: '100p',
  units: { p: 1n },
  smallest: '1p',
  mistaken: { pkt: 'p', pkts: 'p', packet: 'p', packets: 'p' },
};

/** A decimal number, then what should be a unit. No sign, no exponent, no spaces: one way to write each thing. */
const WRITTEN = /^([0-9]{1,20})(?:\.([0-9]{1,20}))?(.*)$/s;

const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/** Bits per second, 1 to 2⁵³-1. */
export function parseRate(text: string): number {
  const rateBps = parseQuantity(text, RATE);
  if (rateBps === 0) {
    throw new UsageError(`${quoted(text)} lets nothing through`, {
      hint: 'leave the rate out for no limit, or write "state: down" for a link that carries nothing',
    });
  }
  return rateBps;
}

/** Bytes, 0 to 2⁵³-1. */
export function parseSize(text: string): number {
  return parseQuantity(text, SIZE);
}

/** Nanoseconds, 0 to 2⁵³-1 (104 days). */
export function parseDuration(text: string): number {
  return parseQuantity(text, DURATION);
}

/** Packets, 0 to 2⁵³-1. */
export function parsePackets(text: string): number {
  return parseQuantity(text, PACKETS);
}

/** 0 to 1, from `0.1%`, `0.001` or the number 0.001. */
export function parseRatio(value: string | number): number {
  if (typeof value === 'number') {
    if (value >= 0 && value <= 1) return value;
    const percentage = value > 1 && value <= 100 ? `${value}%` : '0.1%';
    throw new UsageError(`${value} is not a ratio`, {
      hint: `a ratio is from 0 to 1, or a percentage: "${percentage}"`,
    });
  }
  const written = /^([0-9]{1,20}(?:\.[0-9]{1,20})?)(%?)$/.exec(value);
  if (written === null) {
    throw new UsageError(`${quoted(value)} is not a ratio`, { hint: 'write "0.1%" or 0.001' });
  }
  const number = Number(written[1]);
  // Divided, not multiplied by 0.01, which is no double: 0.1% is then exactly what 0.001 is.
  const ratio = written[2] === '%' ? number / 100 : number;
  if (ratio <= 1) return ratio;
  throw new UsageError(`${quoted(value)} is more than all`, { hint: 'a ratio is at most 100% or 1' });
}

/**
 * `parse`, and no less than `least` and no more than `most`, which are said with their reasons: what is outside is
 * refused, never clamped.
 */
export function bounded(
  parse: (text: string) => number,
  format: (value: number) => string,
  bounds: { readonly least?: readonly [number, string]; readonly most: readonly [number, string] },
): (text: string) => number {
  const [least, whyLeast] = bounds.least ?? [0, ''];
  const [most, whyMost] = bounds.most;
  return (text) => {
    const value = parse(text);
    if (value < least) throw new UsageError(`${quoted(text)} is less than ${format(least)}`, { hint: whyLeast });
    if (value > most) throw new UsageError(`${quoted(text)} is more than ${format(most)}`, { hint: whyMost });
    return value;
  };
}

/** `100mbit`; the largest unit that leaves a whole number. */
export function formatRate(rateBps: number): string {
  return formatQuantity(rateBps, RATE);
}

/** `64KiB` */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, SIZE);
}

/** `10ms` */
export function formatDuration(durationNs: number): string {
  return formatQuantity(durationNs, DURATION);
}

/** `100p` */
export function formatPackets(packets: number): string {
  return formatQuantity(packets, PACKETS);
}

/** `0.1%`: the shortest percentage that `parseRatio` reads back to the same number; that number where there is none. */
export function formatRatio(ratio: number): string | number {
  for (let digits = 1; digits <= 17; digits++) {
    const percent = decimal((ratio * 100).toPrecision(digits));
    if (Number(percent) / 100 === ratio) return `${percent}%`;
  }
  return ratio;
}

/** Without an exponent and closing zeros, as far as 20 digits go. */
function decimal(text: string): string {
  const plain = text.includes('e') ? Number(text).toFixed(20) : text;
  return plain.includes('.') ? plain.replace(/\.?0+$/, '') : plain;
}

function parseQuantity(text: string, quantity: Quantity): number {
  const written = WRITTEN.exec(text);
  if (written === null) {
    const hint = /^[-+]/.test(text)
      ? `${quantity.what} has no sign: ${quoted(quantity.example)}`
      : `write ${quoted(quantity.example)}`;
    throw new UsageError(`${quoted(text)} is not ${quantity.what}`, { hint });
  }
  const [, whole = '', fraction = '', unit = ''] = written;
  const factor = Object.hasOwn(quantity.units, unit) ? quantity.units[unit] : undefined;
  if (factor === undefined) throw wrongUnit(text, unit, quantity);
  if (fraction === '') {
    // What a double holds exactly needs no BigInt; what it cannot hold is larger than that, however it is rounded.
    const value = Number(whole) * Number(factor);
    if (Number.isSafeInteger(value)) return value;
  }
  const scaled = BigInt(whole + fraction) * factor;
  const divisor = 10n ** BigInt(fraction.length);
  if (scaled % divisor !== 0n) {
    throw new UsageError(`${quoted(text)} is not a whole number of ${quantity.smallest.slice(1)}`, {
      hint: `${quantity.what} is counted in steps of ${quantity.smallest}`,
    });
  }
  const value = scaled / divisor;
  if (value > MAX_EXACT) {
    throw new UsageError(`${quoted(text)} is too large`, {
      hint: `the most is ${formatQuantity(Number.MAX_SAFE_INTEGER, quantity)}`,
    });
  }
  return Number(value);
}

function wrongUnit(text: string, unit: string, quantity: Quantity): UsageError {
  const units = Object.keys(quantity.units);
  const number = text.slice(0, text.length - unit.length);
  if (unit === '') {
    return new UsageError(`${quoted(text)} has no unit`, {
      hint: `${quantity.what} is written with one of ${units.join(', ')}: ${quoted(number + unitOf(quantity.example))}`,
    });
  }
  const trimmed = unit.trim();
  if (units.includes(trimmed)) {
    return new UsageError(`${quoted(text)} has a space`, { hint: `write ${quoted(number + trimmed)}` });
  }
  const lower = trimmed.toLowerCase();
  const meant = Object.hasOwn(quantity.mistaken, lower)
    ? quantity.mistaken[lower]
    : (units.find((known) => known.toLowerCase() === lower) ?? nearest(trimmed, sameMagnitude(units, lower)));
  return new UsageError(`${quoted(text)} has no unit of ${quantity.what}: ${quoted(trimmed)}`, {
    hint: meant === undefined ? `the units are ${units.join(', ')}` : `write ${meant}`,
  });
}

/** Units with the same first letter: it says how large they are, so that PiB is no misspelt KiB. */
function sameMagnitude(units: readonly string[], lower: string): string[] {
  return units.filter((known) => known[0]!.toLowerCase() === lower[0]);
}

function unitOf(written: string): string {
  return written.replace(/^[0-9.]+/, '');
}

/** Units are tried from the largest down; of `MB` and `MiB`, the one that divides. */
function formatQuantity(value: number, quantity: Quantity): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not ${quantity.what}: ${value}`);
  const units = Object.entries(quantity.units).sort(([, a], [, b]) => (a < b ? 1 : -1));
  const [unit, factor] = units.find(([, size]) => value !== 0 && BigInt(value) % size === 0n) ?? units.at(-1)!;
  return `${BigInt(value) / factor}${unit}`;
}
