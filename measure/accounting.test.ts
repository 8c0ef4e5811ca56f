import { expect, it } from 'vitest';
import { busySeconds, cpuSeconds, rssBytes } from './accounting.js';

it('counts as busy what is neither idle, waiting nor stolen', () => {
  expect(busySeconds('cpu  100 20 300 4000 50 6 70 800 9 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n')).toBe(4.96);
  expect(busySeconds()).toBeGreaterThan(0);
});

it('has the CPU time and memory of a process, and nothing for one that has ended', () => {
  const before = cpuSeconds([process.pid]);
  let work = 0;
  while (cpuSeconds([process.pid]) < before + 0.005) work++;
  expect(work).toBeGreaterThan(0);
  expect(rssBytes([process.pid])).toBeGreaterThan(2 ** 20);
  expect([cpuSeconds([2 ** 22 + 1]), rssBytes([2 ** 22 + 1])]).toEqual([0, 0]);
});
