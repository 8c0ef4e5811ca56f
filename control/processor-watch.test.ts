import { expect, it } from 'vitest';
import { ProcessorWatch } from './processor-watch.js';
import { parseSendDrops } from './run.js';

const stat = (user: number, idle: number, iowait = 0): string =>
  `cpu  ${user} 0 0 ${idle} ${iowait} 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n`;

it('keeps the seconds in which no processor was idle; who waits for a disk leaves it to others', () => {
  const watch = new ProcessorWatch();
  watch.look(1e9, stat(1000, 5000));
  watch.look(2e9, stat(1100, 5100));
  watch.look(3e9, stat(1298, 5102));
  watch.look(4e9, stat(1498, 5102));
  watch.look(5e9, stat(1508, 5102, 190));
  const [strain, ...others] = watch.read();
  expect(others).toEqual([]);
  expect(strain).toMatchObject({ fromNs: 2e9, toNs: 4e9, hardNs: 2e9 });
  expect(strain!.busyNs).toBeCloseTo(1.99e9, 0);
});

it('reads this machine', () => {
  const watch = new ProcessorWatch();
  watch.look();
  watch.look();
  for (const { busyNs, hardNs } of watch.read()) expect(busyNs / hardNs).toBeLessThanOrEqual(1);
});

it('finds what the kernel dropped of what a host sent', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
  eth0:85670088257 59686916    0    7    0     0          0         0 85670088257 59686916    0    190    0     0       0          0
`;
  expect(parseSendDrops(text)).toEqual(
    new Map([
      ['lo', 12],
      ['eth0', 190],
    ]),
  );
});
