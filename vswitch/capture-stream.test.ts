/** A capture on a real HTTP connection whose client reads when it likes. */
import { once } from 'node:events';
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Arena } from './arena.js';
import { CapturePoint } from './capture-ring.js';
import { streamCapture } from './capture-stream.js';
import type { CommandName, Commands } from './commands.js';
import { bodyEnd } from './http-stream.js';

const FRAME_BYTES = 60_000;
const EPB_DROPCOUNT = 4;
const ISB_IFDROP = 5;

interface Block {
  readonly type: number;
  readonly options: ReadonlyMap<number, Buffer>;
}

/** The whole blocks of a capture that may go on. */
function blocksOf(bytes: Buffer): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at + 8 <= bytes.byteLength;) {
    const type = bytes.readUInt32LE(at);
    const end = at + bytes.readUInt32LE(at + 4);
    if (end > bytes.byteLength) break;
    const options = new Map<number, Buffer>();
    let option = at + 8;
    if (type === 6) option += 20 + Math.ceil(bytes.readUInt32LE(at + 20) / 4) * 4;
    else if (type === 5) option += 12;
    else option = end;
    for (; option + 4 < end && bytes.readUInt16LE(option) !== 0;) {
      const length = bytes.readUInt16LE(option + 2);
      options.set(bytes.readUInt16LE(option), bytes.subarray(option + 4, option + 4 + length));
      option += 4 + Math.ceil(length / 4) * 4;
    }
    blocks.push({ type, options });
    at = end;
  }
  return blocks;
}

describe('a capture stream', () => {
  const arena = new Arena(new Uint8Array(2 ** 18));
  const called: CommandName[] = [];
  let server: Server;
  let response: ServerResponse;
  let client: IncomingMessage;
  let point: CapturePoint;
  let ended: Promise<void>;

  const engine = {
    call: <Name extends CommandName>(name: Name, given: Commands[Name][0]): Promise<Commands[Name][1]> => {
      called.push(name);
      if (name === 'startCapture') {
        const { id, ring, channel } = given as Commands['startCapture'][0];
        point = new CapturePoint(id, ring, channel);
      }
      return Promise.resolve(undefined as Commands[Name][1]);
    },
  };

  /** Frames that passed the port; returns how many. */
  function pass(count: number): number {
    for (let i = 0; i < count; i++) {
      const frame = arena.write(new Uint8Array(FRAME_BYTES));
      point.record(arena, frame, 0, 0, 1e9);
      arena.release(frame);
    }
    return count;
  }

  beforeEach(async () => {
    called.length = 0;
    server = createServer((asked, answer) => {
      const of = { id: 1, device: 'tap:h1:eth0', channel: -1, unixNs: BigInt };
      response = answer;
      ended = streamCapture(engine, answer, { ...of, until: bodyEnd(asked) });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  async function ask(headers: Record<string, string> = {}): Promise<ClientRequest> {
    const { port } = server.address() as AddressInfo;
    const asking = request({ port, host: '127.0.0.1', agent: false, headers });
    if (headers['transfer-encoding'] === undefined) asking.end();
    else asking.flushHeaders();
    [client] = (await once(asking, 'response')) as [IncomingMessage];
    client.on('error', () => undefined);
    return asking;
  }

  afterEach(async () => {
    client.destroy();
    await ended;
    expect(called).toEqual(['startCapture', 'stopCapture']);
    server.close();
  });

  it('says how many frames a slow client lost, and where', async () => {
    await ask();
    // More than the ring holds, at once: the reader runs on this thread and cannot take any meanwhile.
    let passed = pass(100);
    const chunks: Buffer[] = [];
    client.on('data', (chunk: Buffer) => chunks.push(chunk));
    const blocks = (): Block[] => blocksOf(Buffer.concat(chunks));
    const told = (type: number, option: number): number[] =>
      blocks()
        .filter((block) => block.type === type && block.options.has(option))
        .map(({ options }) => Number(options.get(option)!.readBigUInt64LE()));
    const packets = (): number => blocks().filter(({ type }) => type === 6).length;
    await expect.poll(() => told(5, ISB_IFDROP)).toHaveLength(1);
    const lost = told(5, ISB_IFDROP)[0]!;
    expect(lost).toBeGreaterThan(0);
    expect(packets()).toBe(passed - lost);
    expect(told(6, EPB_DROPCOUNT)).toEqual([]);

    passed += pass(1);
    await expect.poll(packets).toBe(passed - lost);
    expect(told(6, EPB_DROPCOUNT)).toEqual([lost]);
  });

  it('waits for its client again and again without adding up listeners', async () => {
    await ask();
    const listeners = response.listenerCount('close');
    let waits = 0;
    response.on('drain', () => waits++);
    let received = 0;
    client.on('data', (chunk: Buffer) => (received += chunk.byteLength));
    for (let round = 0; waits < 20; round++) {
      const wanted = received + pass(20) * FRAME_BYTES;
      await expect.poll(() => received).toBeGreaterThan(wanted);
    }
    await expect.poll(() => response.listenerCount('close')).toBeLessThanOrEqual(listeners);
  });

  it('has all that passed before the body of its request ended, however slow its client, and ends', async () => {
    const asking = await ask({ 'transfer-encoding': 'chunked' });
    const passed = pass(60);
    asking.end();
    await expect.poll(() => called).toContain('stopCapture');
    const chunks: Buffer[] = [];
    for await (const chunk of client) chunks.push(chunk as Buffer);
    expect(blocksOf(Buffer.concat(chunks)).filter(({ type }) => type === 6)).toHaveLength(passed);
  });
});
