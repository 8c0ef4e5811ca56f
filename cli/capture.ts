/** `luthier capture PORT`: the frames of a port as pcapng, to standard output or a file. */
import type { Command } from 'commander';
import { StateError, SyscallError, UsageError } from '../model/errors.js';
import { CaptureFile, CaptureStream, type CaptureTarget } from './capture-file.js';
import { runningAgent, untilInterrupted } from './connection.js';
import { resolvePort } from './names.js';
import { counted, STANDARD_OUTPUT } from './output.js';
import { pcapngBlocks } from './pcapng-blocks.js';
import { ENDED_EARLY, StreamEnding } from './stream-end.js';
import { positiveInteger, syntax } from './syntax.js';

interface CaptureOptions {
  readonly write?: string;
  readonly count?: number;
  readonly seconds?: number;
}

export function command(): Command {
  return syntax('capture', 'write the frames of a port as pcapng, until ^C', [
    ['luthier capture h1:eth0 -w h1.pcapng', 'to a file'],
    ['luthier capture h1:eth0 | tshark -r -', 'to another program'],
    ['luthier capture h1 --count 10 -w h1.pcapng', "ten frames of a host's only port"],
  ])
    .argument('<port>', '[network/]node:port; the port may be left out where the node has one')
    .option('-w, --write <file>', 'write to this file (default: standard output)')
    .option('-c, --count <frames>', 'end after so many frames', positiveInteger)
    .option('-s, --seconds <seconds>', 'end after so many seconds', positiveInteger)
    .action(async (text: string, options: CaptureOptions) => {
      const file = options.write === '-' ? undefined : options.write;
      if (file === undefined && process.stdout.isTTY)
        throw new UsageError('frames are not written to a terminal', {
          hint: 'write them to a file with -w FILE, or into a pipe: luthier capture PORT | tshark -r -',
        });
      const frames = await untilInterrupted((interrupted) => capture(text, file, options, interrupted));
      process.stderr.write(`${counted(frames, 'frame')}\n`);
    });
}

/** Returns how many frames were written. */
async function capture(
  text: string,
  file: string | undefined,
  { count = Infinity, seconds }: CaptureOptions,
  interrupted: AbortSignal,
): Promise<number> {
  const agent = await runningAgent();
  const { network, node, port } = await resolvePort(agent, text);
  const ending = new StreamEnding(interrupted, seconds);
  const { signal } = ending;
  const target =
    file === undefined ? new CaptureStream(process.stdout, STANDARD_OUTPUT, signal) : await CaptureFile.open(file);
  try {
    const stream = await agent.capture(network, node, port, ending);
    await target.begin();
    process.stderr.write(`capturing ${network}/${node}:${port}, ^C to end\n`);
    return await writeFrames(ending.following(stream), target, count, signal);
  } finally {
    ending.now(); // the agent captures until its reader has gone
    await target.close();
  }
}

/**
 * Copies whole blocks until the stream ends or `count` frames were written; returns the number of frames. What ends it
 * before is an error, which says how many were: the target's SyscallError, or a StateError when the stream broke off or
 * `signal` aborts.
 */
export async function writeFrames(
  stream: AsyncIterable<Uint8Array>,
  target: Pick<CaptureTarget, 'write'>,
  count: number,
  signal: AbortSignal,
): Promise<number> {
  let frames = 0;
  try {
    for await (const { bytes, packetEnds } of pcapngBlocks(stream)) {
      const wanted = packetEnds.slice(0, count - frames);
      const last = frames + wanted.length === count;
      await target.write(last ? bytes.subarray(0, wanted.at(-1)) : bytes);
      signal.throwIfAborted();
      frames += wanted.length;
      if (last) break;
    }
  } catch (error) {
    const details = { cause: error, hint: `written before: ${counted(frames, 'frame')}` };
    if (error instanceof SyscallError) throw new SyscallError(error.syscall, error.errno, error.message, details);
    if (signal.aborted || (error as NodeJS.ErrnoException).code === 'ECONNRESET')
      throw new StateError(`the capture ended early: ${ENDED_EARLY}`, details);
    throw error;
  }
  return frames;
}
