/**
 * From a recording's rings, one of each engine, to lines of JSON on an HTTP response, until the client goes or its request
 * ends (`http-stream.ts`). Called by `control.ts`.
 *
 * A client that is too slow ends the recording and never holds up an engine: its last line says how much was missed.
 */
import type { ServerResponse } from 'node:http';
import type { LinkProperties } from '../../model/emulation.js';
import { DROP_REASONS } from '../drops.js';
import type { EngineThread } from '../engine-thread.js';
import { stream } from '../http-stream.js';
import type { Timer } from '../timer.js';
import { frameHash, type RecordedNetwork, RecordingWriter } from './lines.js';
import { MergedRecords } from './merged-records.js';
import { RecordKind, RecordReader, type TakenRecord } from './record-ring.js';

/** Between two marks: so much of the end of a recording that breaks off is not of use. */
const MARK_MS = 100;
/** Of a chunk of the response, more or less. */
const CHUNK_CHARACTERS = 1 << 18;

export interface RecordingOptions {
  /** Of this process, never used before. */
  readonly id: number;
  readonly network: RecordedNetwork;
  readonly timer: Timer;
  /** Of what came until it aborts, all is written. */
  readonly until: AbortSignal;
}

/** The engines that have the links, each with its own. */
export type RecordedEngines = readonly {
  readonly thread: Pick<EngineThread, 'call'>;
  readonly links: readonly string[];
}[];

export async function streamRecording(
  engines: RecordedEngines,
  response: ServerResponse,
  { id, network, timer, until }: RecordingOptions,
): Promise<void> {
  const sources = engines.map(({ links }) => ({ reader: new RecordReader(), links }));
  const records = new MergedRecords(sources);
  const lines = new RecordingLines(records, network);
  const all = (command: 'markRecording' | 'stopRecording'): Promise<unknown> =>
    Promise.all(engines.map(({ thread }) => thread.call(command, id)));
  const mark = (): void => {
    // Where the engine has ended, so does the process.
    all('markRecording').catch(() => undefined);
    timer.wakeAt(timer.nowMs() + MARK_MS, mark);
  };
  const stop = async (): Promise<void> => {
    timer.wakeAt(Infinity, mark);
    await all('stopRecording');
    records.end();
  };
  const started = await Promise.allSettled(
    engines.map(({ thread, links }, i) => {
      const ring = sources[i]!.reader.buffer;
      return thread.call('startRecording', { id, links, ring });
    }),
  );
  const refused = started.find((one) => one.status === 'rejected');
  if (refused !== undefined) {
    await stop();
    throw refused.reason;
  }
  timer.wakeAt(timer.nowMs() + MARK_MS, mark);
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  await stream(response, { reader: records, next: () => (lines.over ? undefined : lines.next()), stop }, until);
}

/** The lines of a recording. */
export class RecordingLines {
  /** Something was missed, and the last line has said so. */
  over: boolean;
  readonly #records: MergedRecords;
  readonly #writer: RecordingWriter;
  #text: string;

  constructor(records: MergedRecords, network: RecordedNetwork) {
    this.over = false;
    this.#records = records;
    this.#text = '';
    this.#writer = new RecordingWriter((line) => (this.#text += line), network);
  }

  /** Some of them, whole; empty when there are none now. */
  next(): string {
    while (this.#text.length < CHUNK_CHARACTERS) {
      const record = this.#records.next();
      if (record === undefined) {
        const { missed } = this.#records;
        if (missed > 0 && !this.over) {
          this.over = true;
          this.#writer.missed(missed);
        }
        break;
      }
      this.#write(record);
    }
    const text = this.#text;
    this.#text = '';
    return text;
  }

  #write(record: TakenRecord): void {
    const { kind, at, since, direction, reason, gsoSize, checksum, body } = record;
    if (kind === RecordKind.settled) {
      this.#writer.end(at, direction);
      return;
    }
    const of = { link: this.#records.links[direction >> 1]!, way: (direction & 1) as 0 | 1 };
    if (kind === RecordKind.came) {
      const frame = {
        bytes: body,
        ...(gsoSize > 0 ? { gsoSize } : {}),
        ...(checksum[0] === 0 ? {} : { checksum }),
      };
      this.#writer.cause({ ...of, at, frame });
    } else if (kind === RecordKind.left) {
      this.#writer.outcome({ ...of, at, since, left: frameHash(body, gsoSize, checksum) });
    } else if (kind === RecordKind.dropped) {
      const frame = body.byteLength === 0 ? '' : frameHash(body, gsoSize, checksum);
      this.#writer.outcome({ ...of, dropped: DROP_REASONS[reason]!, frame });
    } else if (kind === RecordKind.gone) {
      this.#writer.gone(at, of);
    } else {
      const properties = JSON.parse(Buffer.from(body).toString()) as LinkProperties;
      this.#writer.cause({
        ...of,
        at,
        ...(kind === RecordKind.begun ? { begun: properties } : { changed: properties }),
      });
    }
  }
}
