/**
 * Attacks a tunnel on loopback until the time is up, each time with other seeds; what breaks is printed with its seed, and
 * ends it.
 *
 *   npx tsx test/fuzz/tunnel.ts [SECONDS] [SEED]
 *   scripts/with-asan npx tsx test/fuzz/tunnel.ts [SECONDS] [SEED]
 */
import { native } from '../../native/binding.js';
import { Random } from '../chaos/random.js';
import { fuzzSegmenter, TunnelFuzz } from './tunnel-fuzz.js';

const BURSTS = 50;
const SEGMENTER_ROUNDS = 100;

const seconds = Number(process.argv[2] ?? 60);
let seed = Number(process.argv[3] ?? Date.now() % 1e9);

const until = performance.now() + seconds * 1000;
const drops = new Map<string, number>();
let [tunnels, datagrams, frames, openReads] = [0, 0, 0, 0];
console.log(`first seed ${seed}`);
for (; performance.now() < until; seed++) {
  try {
    fuzzSegmenter(new Random(seed), SEGMENTER_ROUNDS);
    for (const isSealed of [false, true]) {
      const fuzz = new TunnelFuzz(native, seed, isSealed);
      await fuzz.tunnel(BURSTS);
      tunnels++;
      datagrams += fuzz.tally.datagrams;
      frames += fuzz.tally.frames;
      openReads += fuzz.tally.openReads;
      for (const [reason, count] of fuzz.tally.drops) drops.set(reason, (drops.get(reason) ?? 0) + count);
    }
  } catch (error) {
    console.log(`seed ${seed}: ${(error as Error).stack}`);
    process.exit(1);
  }
}
const rssMiB = process.resourceUsage().maxRSS / 1024;
console.log(
  `${tunnels} tunnels, ${datagrams} datagrams, ${frames} frames, ${openReads} open reads; peak RSS ${rssMiB.toFixed(0)} MiB`,
);
for (const [reason, count] of [...drops].sort((a, b) => b[1] - a[1])) console.log(`  ${reason} ${count}`);
