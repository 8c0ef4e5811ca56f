/**
 * Round trips and TCP through one switch beside two programs that compute, by the way in which its engine's thread gets a
 * processor (ADR 17), in turns with a kernel bridge.
 *
 *   npx tsx bench/busy.ts [--turns 3] [--seconds 5]      as root, after scripts/build; takes its network down again
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AgentClient } from '../control/client.js';
import { pathsFrom } from '../control/paths.js';
import { engineThreads } from '../control/realtime.js';
import { besideBusyLoops } from '../measure/busy-loops.js';
import { lanStage } from '../measure/lan-stage.js';
import type { Arm } from '../measure/stage.js';
import { median, quantile } from '../measure/statistics.js';
import { roundTrips, transfer } from '../measure/traffic.js';
import { native } from '../native/binding.js';

const { values: options } = parseArgs({
  options: { turns: { type: 'string', default: '3' }, seconds: { type: 'string', default: '5' } },
});
const TURNS = Number(options.turns);
const SECONDS = Number(options.seconds);
if (!(TURNS >= 1) || !(SECONDS > 0)) throw new RangeError('--turns and --seconds take numbers above 0');

const BUSY_PROGRAMS = 2;
const SLICE_NS = 100_000;
const { PRIORITY_HIGHEST, PRIORITY_NORMAL } = constants.priority;

/** How an engine's thread gets a processor; `realtime`: priority of SCHED_RR, 0 for time sharing. */
interface Scheduling {
  readonly title: string;
  readonly realtime: number;
  readonly sliceNs: number;
  readonly nice: number;
}

const ALL: readonly Scheduling[] = [
  { title: 'time sharing as it is', realtime: 0, sliceNs: 0, nice: PRIORITY_NORMAL },
  { title: 'slice of 0.1 ms', realtime: 0, sliceNs: SLICE_NS, nice: PRIORITY_NORMAL },
  { title: 'nice -20', realtime: 0, sliceNs: 0, nice: PRIORITY_HIGHEST },
  { title: 'both', realtime: 0, sliceNs: SLICE_NS, nice: PRIORITY_HIGHEST },
  { title: 'real time', realtime: 1, sliceNs: SLICE_NS, nice: PRIORITY_NORMAL },
];

function schedule(thread: number, { realtime, sliceNs, nice }: Scheduling): void {
  native.setRealtime(thread, 0);
  setPriority(thread, nice);
  native.setSliceNs(thread, sliceNs);
  if (realtime > 0) native.setRealtime(thread, realtime);
}

interface Sample {
  readonly us: readonly number[];
  readonly rateBps: number;
}

async function sample({ way }: Arm, signal: AbortSignal): Promise<Sample> {
  const { us } = await roundTrips(way, { seconds: SECONDS }, signal);
  const { bytes, seconds } = await transfer(way, { streams: 1, seconds: SECONDS, omitSeconds: 1 }, signal);
  return { us, rateBps: (bytes * 8) / seconds };
}

function row(title: string, samples: readonly Sample[]): string {
  const us = [0.5, 0.9, 0.99].map((share) =>
    median(samples.map((one) => quantile(one.us, share)))
      .toFixed(0)
      .padStart(6),
  );
  const rate = (median(samples.map(({ rateBps }) => rateBps)) / 1e9).toFixed(1);
  return `${title.padEnd(24)} ${us.join(' ')} ${rate.padStart(8)}`;
}

const directory = mkdtempSync(join(tmpdir(), 'luthier-bench-'));
Object.assign(process.env, {
  LUTHIER_RUNTIME_DIR: join(directory, 'run'),
  LUTHIER_STATE_DIR: join(directory, 'state'),
});
const paths = pathsFrom(process.env, process.getuid!());
const stop = new AbortController();
process.once('SIGINT', () => {
  stop.abort(new Error('interrupted'));
});
try {
  const place = { agent: await AgentClient.connect(paths), paths, path: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  await using stage = await lanStage(place, { mtuSized: false }, stop.signal);
  const [bridge, ours] = stage.arms as readonly [Arm, Arm];
  const thread = engineThreads(ours.switches[0]!)[0]!;
  const kernel: Sample[] = [];
  const samples = ALL.map((): Sample[] => []);
  await besideBusyLoops(BUSY_PROGRAMS, async () => {
    for (let turn = 0; turn < TURNS; turn++) {
      kernel.push(await sample(bridge, stop.signal));
      for (const [i, scheduling] of ALL.entries()) {
        schedule(thread, scheduling);
        samples[i]!.push(await sample(ours, stop.signal));
      }
    }
  });
  console.log(`beside ${BUSY_PROGRAMS} busy loops: RTT, µs   p50    p90    p99   Gbit/s`);
  console.log(row('kernel bridge', kernel));
  ALL.forEach(({ title }, i) => {
    console.log(row(title, samples[i]!));
  });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
