/** `luthier simulate FILE`: a network in virtual time, with hosts that send; or a recording of one again. */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Command } from 'commander';
import { UsageError } from '../model/errors.js';
import type { Network } from '../model/network.js';
import { bounded, formatRate, formatSize, parseRate, parseSize } from '../model/units.js';
import type { Traffic } from '../simulate/flows.js';
import { print, printJson, writeError } from './output.js';
import { renderReplay, renderSimulation } from './simulate-view.js';
import { positiveInteger, syntax, withJson } from './syntax.js';
import { loadForUp, parseMemory } from './up.js';

interface SimulateOptions {
  readonly seconds: number;
  readonly pattern: string;
  readonly rate: string;
  readonly size: string;
  readonly ecn?: true;
  readonly memory: string;
  readonly record?: string;
  readonly replay?: string;
  readonly json?: true;
}

const MAX_DURATION_NS = 24 * 3600e9;
const size = bounded(parseSize, formatSize, {
  least: [60, 'Ethernet has no shorter frames, without their checksum'],
  most: [65_535, 'an IP packet has no more bytes'],
});
const rate = bounded(parseRate, formatRate, { most: [100e9, 'no link is faster'] });

export function command(): Command {
  return withJson(
    syntax('simulate', 'run a network in virtual time, without making anything, and say what its links did', [
      ['luthier simulate net.yaml', 'ten seconds; every host sends 1mbit to each other one of its LANs'],
      ['luthier simulate net.yaml --seconds 60 --rate 20mbit --size 1514B', 'longer, faster, with full frames'],
      ['luthier simulate net.yaml --record run.jsonl', 'write down what came into links, and what became of it'],
      ['luthier simulate net.yaml --replay run.jsonl', 'the same again, compared; exit status 1 where it differs'],
    ])
      .argument('<file>', 'scenario file')
      .option('--seconds <seconds>', 'virtual time', positiveInteger, 10)
      .option('--pattern <pattern>', 'of the times between frames: poisson or constant', 'poisson')
      .option('--rate <rate>', 'of each stream, from one host to another', '1mbit')
      .option('--size <bytes>', 'of each frame, without FCS', '1000B')
      .option('--ecn', 'frames that understand ECN')
      .option('--memory <size>', "for frames in each machine's switch", '64MiB')
      .option('--record <file>', 'write a recording')
      .option('--replay <file>', 'replay a recording, in place of hosts that send'),
  ).action(async (file: string, options: SimulateOptions) => {
    const durationNs = options.seconds * 1e9;
    if (durationNs > MAX_DURATION_NS)
      throw new UsageError(`--seconds is ${options.seconds}, and a simulation has at most a day`);
    const traffic = trafficOf(options);
    const memoryBytes = parseMemory(options.memory);
    if (options.record !== undefined && options.replay !== undefined)
      throw new UsageError('--record and --replay exclude each other', {
        hint: 'what is replayed is recorded already',
      });
    const scenario = await loadForUp(file);
    const { resolve } = await import('../control/scenario/index.js');
    const network = resolve(scenario);
    if (options.replay !== undefined) await replayFile(network, options.replay, memoryBytes, options.json);
    else await simulateNetwork(network, { durationNs, traffic, memoryBytes }, options);
  });
}

async function simulateNetwork(
  network: Network,
  run: { readonly durationNs: number; readonly traffic: Traffic; readonly memoryBytes: number },
  { record, json }: SimulateOptions,
): Promise<void> {
  const [{ simulate }, { RecordingWriter }] = await Promise.all([
    import('../simulate/simulation.js'),
    import('../simulate/recording.js'),
  ]);
  const out = record === undefined ? undefined : openRecording(record);
  try {
    const recording = out === undefined ? undefined : new RecordingWriter(out.write, network);
    const startNs = process.hrtime.bigint();
    const report = simulate(network, { ...run, ...(recording === undefined ? {} : { recording }) });
    recording?.end(report.durationNs);
    tellPace(report.durationNs, startNs);
    if (json) printJson({ luthier: 1, simulation: report });
    else print(renderSimulation(report));
  } finally {
    out?.close();
  }
}

async function replayFile(network: Network, file: string, memoryBytes: number, json?: true): Promise<void> {
  const [{ replay }, { readRecording }] = await Promise.all([
    import('../simulate/replay.js'),
    import('../simulate/recording.js'),
  ]);
  const recording = readRecording(file);
  const startNs = process.hrtime.bigint();
  const report = replay(network, recording, memoryBytes);
  tellPace(report.durationNs, startNs);
  if (json) printJson({ luthier: 1, replay: report });
  else print(renderReplay(report));
  if (report.difference !== undefined) process.exitCode = 1;
}

function trafficOf({ pattern, rate: rateText, size: sizeText, ecn }: SimulateOptions): Traffic {
  if (pattern !== 'poisson' && pattern !== 'constant')
    throw new UsageError(`there is no pattern ${pattern}`, { hint: 'write --pattern poisson or --pattern constant' });
  return { pattern, rateBps: rate(rateText), frameBytes: size(sizeText), ecn: ecn === true };
}

/** How long it took is no part of what it comes to. */
function tellPace(durationNs: number, startNs: bigint): void {
  const tookNs = Number(process.hrtime.bigint() - startNs);
  process.stderr.write(`${(tookNs / 1e9).toFixed(2)} s: ${(durationNs / tookNs).toPrecision(3)} times real time\n`);
}

/** Lines are gathered: most of them are short. */
function openRecording(file: string): { write: (line: string) => void; close: () => void } {
  const attempt = <Value>(what: () => Value): Value => {
    try {
      return what();
    } catch (error) {
      throw writeError(file, error);
    }
  };
  const fd = attempt(() => openSync(file, 'w'));
  let waiting: string[] = [];
  let waitingBytes = 0;
  const flush = (): void => {
    const text = waiting.join('');
    waiting = [];
    waitingBytes = 0;
    attempt(() => writeSync(fd, text));
  };
  return {
    write: (line) => {
      waiting.push(line);
      waitingBytes += line.length;
      if (waitingBytes >= 1 << 20) flush();
    },
    close: () => {
      flush();
      attempt(() => {
        closeSync(fd);
      });
    },
  };
}
