/**
 * From a capture ring to pcapng on an HTTP response, until the client goes or its request ends (`http-stream.ts`). Called by
 * `control.ts`.
 *
 * A client that is too slow loses frames, never holds up the engine. The capture itself says so: each packet, how many
 * were lost before it (epb_dropcount), and once all that was kept is written, how many in all (isb_ifdrop).
 */
import type { ServerResponse } from 'node:http';
import { Checksum, MAX_FRAME_BYTES } from './arena.js';
import { type CapturedFrame, CaptureReader } from './capture-ring.js';
import { PcapngWriter } from './device/pcapng.js';
import type { EngineThread } from './engine-thread.js';
import { stream } from './http-stream.js';
import { log } from './log.js';
import { completeChecksum } from './wire/checksum.js';

/** Frames that are written at once: a chunk of the response. */
const CHUNK_FRAMES = 256;

export interface CaptureOptions {
  /** Of this process, never used before. */
  readonly id: number;
  readonly device: string;
  /** -1: all of the device. */
  readonly channel: number;
  readonly unixNs: (nowNs: number) => bigint;
  /** Of what passed until it aborts, all is written. */
  readonly until: AbortSignal;
}

export async function streamCapture(
  engine: Pick<EngineThread, 'call'>,
  response: ServerResponse,
  { id, device, channel, unixNs, until }: CaptureOptions,
): Promise<void> {
  const reader = new CaptureReader();
  const blocks = new CaptureBlocks(reader, unixNs);
  await engine.call('startCapture', { id, device, channel, ring: reader.buffer });
  response.writeHead(200, { 'content-type': 'application/x-pcapng' });
  response.write(blocks.header(device));
  const next = (): Uint8Array => Buffer.concat(blocks.next());
  await stream(response, { reader, next, stop: () => engine.call('stopCapture', id) }, until);
  const { lostFrames } = reader;
  if (lostFrames > 0) (await log()).warn({ device, lostFrames }, 'a capture lost frames: its client was too slow');
}

/** The blocks of a capture, as the ring gives frames. */
class CaptureBlocks {
  readonly #reader: CaptureReader;
  readonly #writer: PcapngWriter;
  readonly #unixNs: (nowNs: number) => bigint;
  /** When the last frame passed, and how many lost ones the last statistics told of. */
  #lastNs: number;
  #toldLost: number;

  constructor(reader: CaptureReader, unixNs: (nowNs: number) => bigint) {
    this.#reader = reader;
    this.#writer = new PcapngWriter();
    this.#unixNs = unixNs;
    this.#lastNs = 0;
    this.#toldLost = 0;
  }

  header(device: string): Buffer {
    return this.#writer.header(device, MAX_FRAME_BYTES);
  }

  /** Packets while there are some; then, when frames were lost since it was last told, the statistics. */
  next(): Buffer[] {
    const blocks: Buffer[] = [];
    const { lostFrames } = this.#reader;
    while (blocks.length < CHUNK_FRAMES) {
      const frame = this.#reader.next();
      if (frame === undefined) break;
      completeFrame(frame);
      const direction = frame.direction === 0 ? 'in' : 'out';
      blocks.push(this.#writer.packet(frame.bytes, this.#unixNs(frame.nowNs), direction, frame.lostBefore));
      this.#lastNs = frame.nowNs;
    }
    if (blocks.length < CHUNK_FRAMES && lostFrames > this.#toldLost) {
      blocks.push(this.#writer.statistics(this.#unixNs(this.#lastNs), lostFrames));
      this.#toldLost = lostFrames;
    }
    return blocks;
  }
}

/** As it would be on a wire: what the sender's kernel left for the hardware to do is done. */
function completeFrame({ bytes, csumState, csumStart, csumOffset }: CapturedFrame): void {
  if (csumState === Checksum.partial) completeChecksum(bytes, csumStart, csumOffset);
}
