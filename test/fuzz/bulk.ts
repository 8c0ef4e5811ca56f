/**
 * Has `luthier validate` read bulk texts until the time is up, each in a process of its own whose heap is bounded, and
 * prints what each took. One that ends in any other way than with success or a place in the file, or takes more than 2 s
 * of a processor or 500 MB, is kept and ends it.
 *
 *   npx tsx test/fuzz/bulk.ts [SECONDS] [SEED]       needs the build
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../chaos/random.js';
import { LUTHIER } from '../e2e/command.js';
import { bulkText } from './bulk-text.js';

const MOST_CPU_MS = 2_000;
const MOST_BYTES = 500e6;
/** Without a message of ours, a process that needs more ends by SIGABRT. */
const HEAP_MIB = 500;
/** Of a process that hangs. */
const HANGS_MS = 60_000;

/** Prints, at the end of the process that it is loaded into, what that process took. */
const METER = `data:text/javascript,${encodeURIComponent(
  `import { writeSync } from 'node:fs';
   process.on('exit', () => {
     const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
     writeSync(3, JSON.stringify({ cpuMs: (userCPUTime + systemCPUTime) / 1000, bytes: maxRSS * 1024 }));
   });`,
)}`;

const seconds = Number(process.argv[2] ?? 60);
let seed = Number(process.argv[3] ?? Date.now() % 1e9);
const until = performance.now() + seconds * 1000;
const directory = mkdtempSync(join(tmpdir(), 'lt-bulk-'));
const file = join(directory, 'bulk.yaml');
const most = { cpuMs: 0, bytes: 0 };
let texts = 0;
for (; performance.now() < until; seed++, texts++) {
  const { kind, text } = bulkText(new Random(seed));
  writeFileSync(file, text);
  const argv = ['--import', METER, `--max-old-space-size=${HEAP_MIB}`, LUTHIER];
  const child = spawnSync(process.execPath, [...argv, 'validate', file], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    encoding: 'utf8',
    timeout: HANGS_MS,
    maxBuffer: 64 << 20,
  });
  const fail = (why: string): never => {
    console.log(`seed ${seed} (${kind}): ${why}; the text is ${file}`);
    process.exit(1);
  };
  // 1: it is right, and more than this version runs.
  const ended =
    child.status === 0 || ((child.status === 1 || child.status === 2) && / \S+:\d+:\d+: /.test(child.stderr));
  if (!ended) fail(`status ${child.status ?? child.signal}: ${child.stderr.slice(-2000)}`);
  const { cpuMs, bytes } = JSON.parse(child.output[3]!) as typeof most;
  console.log(`seed ${seed}: ${(cpuMs / 1000).toFixed(2)} s ${(bytes / 1e6).toFixed(0)} MB  ${kind}: ${said(child)}`);
  if (cpuMs > MOST_CPU_MS) fail('it took too long');
  if (bytes > MOST_BYTES) fail('it took too much memory');
  most.cpuMs = Math.max(most.cpuMs, cpuMs);
  most.bytes = Math.max(most.bytes, bytes);
}
rmSync(directory, { recursive: true });
console.log(`${texts} texts: at most ${(most.cpuMs / 1000).toFixed(2)} s and ${(most.bytes / 1e6).toFixed(0)} MB`);

function said({ stderr, stdout }: { readonly stderr: string; readonly stdout: string }): string {
  return (stderr || stdout).split('\n')[0]!.slice(0, 150);
}
