import { expect, it } from 'vitest';
import { UsageError } from '../model/errors.js';
import { requireEngines } from './engine-count.js';

const MIB = 2 ** 20;

it.each([
  [1, 4, 1],
  [2, 16, 2],
  [8, 64, 64],
])('takes %i engines with %i MiB on %i processors', (engines, mib, processors) => {
  expect(() => requireEngines(engines, mib * MIB, processors)).not.toThrow();
});

it.each([
  [0, 64, 4, 'on this machine it takes 1 to 4'],
  [1.5, 64, 4, 'on this machine it takes 1 to 4'],
  [NaN, 64, 4, 'on this machine it takes 1 to 4'],
  [5, 64, 4, 'on this machine it takes 1 to 4'],
  [2, 64, 1, 'on this machine it takes 1'],
  [9, 256, 64, 'on this machine it takes 1 to 8'],
  [4, 16, 4, '4 engines need 32 MiB for frames, and --memory is 16 MiB'],
])('refuses %d engines with %i MiB on %i processors', (engines, mib, processors, message) => {
  const asked = (): void => requireEngines(engines, mib * MIB, processors);
  expect(asked).toThrow(UsageError);
  expect(asked).toThrow(message);
});
