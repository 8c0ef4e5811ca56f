/**
 * The normal distribution and its inverse, in place: a double that was passed or returned would be garbage. Called by
 * `jitter.ts`.
 */

/** Coefficients of a polynomial's quotient, lowest power first. */
interface Quotient {
  readonly numerator: Float64Array;
  readonly denominator: Float64Array;
}

function quotient(numerator: number[], denominator: number[]): Quotient {
  return { numerator: Float64Array.from(numerator), denominator: Float64Array.from(denominator) };
}

// Wichura 1988, "Algorithm AS 241: The Percentage Points of the Normal Distribution", PPND16: about 1 part in 10¹⁶.
// Each coefficient is written as the double nearest to his.
const CENTRE = quotient(
  [
    3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987, 67265.7709270087,
    33430.57558358813, 2509.0809287301227,
  ],
  [
    1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271,
    28729.085735721943, 5226.495278852854,
  ],
);
const TAIL = quotient(
  [
    1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684,
    0.2417807251774506, 0.022723844989269184, 0.0007745450142783414,
  ],
  [
    1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457,
    0.0005475938084995345, 1.0507500716444169e-9,
  ],
);
const FAR_TAIL = quotient(
  [
    6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124,
    0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7,
  ],
  [
    1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133, 1.8463183175100548e-5,
    1.421511758316446e-7, 2.0442631033899397e-15,
  ],
);

/** Replaces a chance, between 0 and 1, by the number that a standard normal variable is below with that chance. */
export function toNormal(values: Float64Array, at: number): void {
  const chance = values[at]!;
  const q = chance - 0.5;
  let { numerator, denominator } = CENTRE;
  let x: number;
  if (Math.abs(q) <= 0.425) {
    x = 0.180625 - q * q;
  } else {
    const r = Math.sqrt(-Math.log(q < 0 ? chance : 1 - chance));
    ({ numerator, denominator } = r <= 5 ? TAIL : FAR_TAIL);
    x = r <= 5 ? r - 1.6 : r - 5;
  }
  let above = 0;
  let below = 0;
  for (let i = 7; i >= 0; i--) {
    above = above * x + numerator[i]!;
    below = below * x + denominator[i]!;
  }
  const z = above / below;
  values[at] = Math.abs(q) <= 0.425 ? q * z : q < 0 ? -z : z;
}

// Hart et al. 1968, "Computer Approximations", 5666, for |z| < 7.07; beyond, a continued fraction: an error below 10⁻¹⁵,
// and below 10⁻⁸ of what is left of a tail.
const HART = quotient(
  [
    220.206867912376, 221.213596169931, 112.079291497871, 33.912866078383, 6.37396220353165, 0.700383064443688,
    0.0352624965998911, 0,
  ],
  [
    440.413735824752, 793.826512519948, 637.333633378831, 296.564248779674, 86.7807322029461, 16.064177579207,
    1.75566716318264, 0.0883883476483184,
  ],
);

/** Replaces a number by the chance of a standard normal variable to be below it. */
export function toChance(values: Float64Array, at: number): void {
  const z = values[at]!;
  const x = Math.abs(z);
  let tail = Math.exp((-x * x) / 2);
  if (x < 5 * Math.SQRT2) {
    let above = 0;
    let below = 0;
    for (let i = 7; i >= 0; i--) {
      above = above * x + HART.numerator[i]!;
      below = below * x + HART.denominator[i]!;
    }
    tail *= above / below;
  } else {
    tail /= Math.sqrt(2 * Math.PI) * (x + 1 / (x + 2 / (x + 3 / (x + 4 / (x + 0.65)))));
  }
  values[at] = z < 0 ? tail : 1 - tail;
}
