/** `luthier logs NODE`: what the node's `command` has printed. */
import { on } from 'node:events';
import { createReadStream, existsSync, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { StateError } from '../model/errors.js';
import { runningAgent, untilInterrupted } from './connection.js';
import { resolveHost } from './names.js';
import { STANDARD_OUTPUT, writeTo } from './output.js';
import { syntax } from './syntax.js';

export function command(): Command {
  return syntax('logs', "print what a node's command has printed", [
    ['luthier logs h3', 'all of it'],
    ['luthier logs h3 -f', 'and what it goes on to print, until ^C or the end of the network'],
  ])
    .argument('<node>', '[network/]node')
    .option('-f, --follow', 'go on with what is printed from now on')
    .action(async (text: string, options: { follow?: true }) => {
      const agent = await runningAgent();
      const { network, node } = await resolveHost(agent, text);
      const { logFile } = await agent.access(network, node);
      if (!existsSync(logFile))
        throw new StateError(`${node} has no log`, { hint: `a node has one when its scenario gives it a 'command'` });
      if (options.follow) await untilInterrupted((signal) => follow(logFile, process.stdout, signal));
      else await copy(logFile, 0, process.stdout);
    });
}

/** Copies the file as it grows, until the signal aborts or the file is removed. */
export async function follow(file: string, out: NodeJS.WritableStream, signal: AbortSignal): Promise<void> {
  // Watched before it is first read, so that nothing can be written unseen between the two.
  const watcher = watch(file);
  const changes = on(watcher, 'change', { signal }) as AsyncIterable<[eventType: string]>;
  try {
    let position = await copy(file, 0, out);
    for await (const [eventType] of changes) {
      if (eventType === 'rename' && !existsSync(file)) return;
      position = await copy(file, position, out);
    }
  } catch (error) {
    if (!signal.aborted && (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  } finally {
    watcher.close();
  }
}

/** Copies from a position on, and returns the position after the last byte. A file cut short starts anew. */
async function copy(file: string, from: number, out: NodeJS.WritableStream): Promise<number> {
  const { size } = await stat(file);
  const start = size < from ? 0 : from;
  if (size === start) return size;
  // No `pipeline`: it would leave its listeners on a stream that it does not end, more of them with each copy.
  for await (const piece of createReadStream(file, { start, end: size - 1 }))
    await writeTo(out, piece as Buffer, STANDARD_OUTPUT);
  return size;
}
