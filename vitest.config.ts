import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** A busy machine is no failure. */
const PATIENCE = { timeout: 20_000 };

// Two projects: `unit` runs beside the code and touches at most namespaces of its own; `e2e` drives the compiled command
// and runs one file at a time, because it counts what is left on the machine afterwards.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{model,native,vswitch,vhost,vrouter,control,measure,simulate,cli}/**/*.test.ts',
            'test/{compliance,emulation}/**/*.test.ts',
          ],
          setupFiles: ['test/properties.ts'],
          expect: { poll: PATIENCE },
          testTimeout: process.env.FUZZ_RUNS === undefined ? 30_000 : 600_000,
          // Some wait until a tunnel takes its peer for dead, which is seconds, or start a lab.
          hookTimeout: 30_000,
          // A file of them takes a second, and a process of its own for it half a second more.
          isolate: false,
          // Some wait most of their time.
          maxWorkers: Math.max(2, availableParallelism() - 1),
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          // As above.
          isolate: false,
          expect: { poll: PATIENCE },
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
