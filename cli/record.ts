/**
 * `luthier record NETWORK`: what comes into the emulated links of a running network, and what becomes of it, for
 * `luthier simulate --replay`.
 */
import { type Command, Option } from 'commander';
import type { StreamEnd } from '../control/http.js';
import { StateError, UsageError } from '../model/errors.js';
import { bounded, formatSize, parseSize } from '../model/units.js';
import { CaptureFile, CaptureStream, type CaptureTarget } from './capture-file.js';
import { runningAgent, untilInterrupted } from './connection.js';
import { resolveLink, resolveNetwork } from './names.js';
import { counted, STANDARD_OUTPUT } from './output.js';
import { ENDED_EARLY, StreamEnding } from './stream-end.js';
import { positiveInteger, syntax } from './syntax.js';

interface RecordOptions {
  readonly write?: string;
  readonly link: readonly string[];
  readonly machine?: string;
  readonly seconds?: number;
  readonly limit: string;
}

/** What a recording has come to. */
export interface Recorded {
  readonly frames: number;
  /** Of directions that never were idle. */
  readonly waiting: number;
  /** Why it ended by itself. */
  readonly ended?: 'full' | 'missed' | 'broken';
  readonly missed: number;
}

const limit = bounded(parseSize, formatSize, {
  least: [65_536, 'less holds no frame of every kind'],
  // A string of more, Node does not make.
  most: [512e6, 'a replay reads no longer recording'],
});

export function command(): Command {
  return syntax('record', 'write down what comes into emulated links and what becomes of it, until ^C', [
    ['luthier record -w run.jsonl', 'all emulated links of the only network that runs'],
    ['luthier record two-lans --link h1--s1 --seconds 60 -w run.jsonl', 'one of them, for a minute'],
    ['luthier simulate net.yaml --replay run.jsonl', 'the same again, in virtual time, to the nanosecond'],
  ])
    .argument('[network]', 'name of a network (default: the only one that runs)')
    .option('-w, --write <file>', 'write to this file (default: standard output)')
    .addOption(
      new Option('-l, --link <link>', 'this link; may be given several times (default: all that are emulated)')
        .default([], '')
        .argParser((name: string, before: string[]) => [...before, name]),
    )
    .option('-m, --machine <machine>', 'where the links send from; needed in a network of several machines')
    .option('-s, --seconds <seconds>', 'end after so many seconds', positiveInteger)
    .option('--limit <size>', 'end when it is so long', '256MiB')
    .action(async (wanted: string | undefined, options: RecordOptions) => {
      const limitBytes = limit(options.limit);
      const file = options.write === '-' ? undefined : options.write;
      if (file === undefined && process.stdout.isTTY)
        throw new UsageError('a recording is not written to a terminal', {
          hint: 'write it to a file with -w FILE',
        });
      tell(await untilInterrupted((interrupted) => record(wanted, file, options, limitBytes, interrupted)), options);
    });
}

async function record(
  wanted: string | undefined,
  file: string | undefined,
  { link, machine, seconds }: RecordOptions,
  limitBytes: number,
  interrupted: AbortSignal,
): Promise<Recorded> {
  const agent = await runningAgent();
  const network = await resolveNetwork(agent, wanted);
  const links = await Promise.all(link.map(async (name) => (await resolveLink(agent, `${network}/${name}`)).link));
  const machines = (await agent.network(network)).switchProcesses.map((process) => process.machine);
  const on = machineOf(network, machines, machine);
  const ending = new StreamEnding(interrupted, seconds);
  const target =
    file === undefined
      ? new CaptureStream(process.stdout, STANDARD_OUTPUT, ending.signal)
      : await CaptureFile.open(file);
  try {
    const stream = await agent.record(network, on, links, ending);
    await target.begin();
    process.stderr.write(`recording links of ${network}, ^C to end\n`);
    return await writeLines(ending.following(stream), target, limitBytes, ending);
  } finally {
    ending.now(); // the switch process records until its reader has gone
    await target.close();
  }
}

/** Each direction is emulated, and so recorded, where it sends from: one recording is of one engine and its clock. */
function machineOf(network: string, machines: readonly string[], wanted: string | undefined): string {
  if (wanted !== undefined) {
    if (machines.includes(wanted)) return wanted;
    throw new UsageError(`${network} has no machine ${wanted}`, { hint: `its machines: ${machines.join(', ')}` });
  }
  const [only, ...more] = machines;
  if (only === undefined || more.length > 0)
    throw new UsageError(`${network} is on ${machines.length} machines, and a recording is of one`, {
      hint: `name it, and record the others beside it: --machine ${machines.join(', --machine ')}`,
    });
  return only;
}

/** Copies whole lines until the stream ends, `signal` aborts, or there are too many. One that ends before `until` broke off. */
export async function writeLines(
  stream: AsyncIterable<Uint8Array>,
  target: Pick<CaptureTarget, 'write'>,
  limitBytes: number,
  { until, signal }: StreamEnd,
): Promise<Recorded> {
  let [frames, waiting, missed, written] = [0, 0, 0, 0];
  let rest = Buffer.alloc(0);
  let isWhole = false;
  try {
    for await (const chunk of stream) {
      const bytes = Buffer.concat([rest, chunk]);
      const lineEnd = bytes.lastIndexOf('\n') + 1;
      rest = bytes.subarray(lineEnd);
      if (lineEnd === 0) continue;
      if (written + lineEnd > limitBytes) return { frames, waiting, missed, ended: 'full' };
      await target.write(bytes.subarray(0, lineEnd));
      signal.throwIfAborted();
      written += lineEnd;
      for (const line of bytes.toString('latin1', 0, lineEnd).split('\n')) {
        // Nothing but a key stands between such quotes: names are without them, and so is base64.
        if (line.includes('"came":"')) frames++;
        else if (line.includes('"end":true')) waiting = Number(/"waiting":(\d+)/.exec(line)?.[1] ?? 0);
        else if (line.startsWith('{"missed":')) missed = (JSON.parse(line) as { missed: number }).missed;
      }
    }
    isWhole = until.aborted;
  } catch (error) {
    // The file's errors are the user's; the connection's say no more than that it broke off.
    if (!signal.aborted && (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
  if (missed > 0) return { frames, waiting, missed, ended: 'missed' };
  return { frames, waiting, missed, ...(isWhole ? {} : { ended: 'broken' }) };
}

function tell({ frames, waiting, missed, ended }: Recorded, { limit: limitText }: RecordOptions): void {
  process.stderr.write(`${counted(frames, 'frame')}\n`);
  if (waiting > 0)
    process.stderr.write(
      `not in it: ${counted(waiting, 'direction')} of links that never were idle; record before there is traffic\n`,
    );
  if (ended === 'full') process.stderr.write(`it ended before it was longer than --limit ${limitText}\n`);
  if (ended === 'missed')
    throw new StateError(
      `the recording ended early: frames came faster than they were written down (missed: ${missed})`,
      { hint: 'what is before that is whole and can be replayed; record fewer links (--link), or to a faster disk' },
    );
  if (ended === 'broken')
    throw new StateError(`the recording ended early: ${ENDED_EARLY}`, {
      hint: 'what is before that is whole and can be replayed',
    });
}
