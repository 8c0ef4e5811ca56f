/**
 * The wire format, held by files: `test/golden/wire/*.hex`. Another implementation can test itself against them; a change
 * to them is a change of the format, and of its version. Written anew by
 *
 *   npx vitest run -u vswitch/tunnel/golden.test.ts
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  TestReceiver,
  TestSender,
  chunksOf,
  datagramsIn,
  describeFrame,
  hex,
  pattern,
  plainFrame,
  superFrame,
  type Frame,
} from '../../test/tunnel/fixture.js';
import { Checksum } from '../arena.js';
import { CHUNK_HEADER_BYTES, ChunkHeader } from './wire.js';

const DIRECTORY = join(import.meta.dirname, '../../test/golden/wire');
/** Short, so that the files are: 1280 leaves 1214 bytes to a chunk. */
const PATH_MTU_BYTES = 1280;
const LANE = 3;

const cases: readonly (readonly [string, string, readonly Frame[]])[] = [
  ['one-frame', 'One frame of 60 bytes on channel 1.', [plainFrame(60)]],
  [
    'small-frames',
    'Three frames on three channels share a datagram; the second says that its checksum was verified.',
    [plainFrame(60, 1, 1), { ...plainFrame(61, 2, 2), checksum: Checksum.valid }, plainFrame(62, 3, 65535)],
  ],
  [
    'cut-frame',
    'A frame of 1514 bytes does not fit: a full chunk, then the rest, which shares its datagram with the next frame.',
    [plainFrame(1514, 4), plainFrame(60, 5)],
  ],
  [
    'super-frame',
    'A TCP super-frame of segments of 1000 bytes, its checksum partial: the last chunk has a copy of the headers behind it.',
    [superFrame({ version: 4, protocol: 'tcp', payload: pattern(3000, 6) }, 1000, 7)],
  ],
  [
    'header-copy-alone',
    'A UDP super-frame over IPv6 whose last chunk leaves no room: the copy of the headers has a chunk without payload.',
    [superFrame({ version: 6, protocol: 'udp', payload: pattern(2 * 1214 - 62 - 20, 7) }, 1200, 7)],
  ],
];

function lines(bytes: Uint8Array, indent: string): string {
  const rows = hex(bytes).match(/.{1,64}/g) ?? [];
  return rows.map((row) => `${indent}${row}\n`).join('');
}

function chunkText(bytes: Uint8Array): string {
  const chunk = new ChunkHeader();
  chunk.parse(bytes, 0, bytes.byteLength);
  const { channel, payloadBytes, frameId, checksum, frameBytes, copyBytes, offset, gsoSize } = chunk;
  const payloadEnd = CHUNK_HEADER_BYTES + payloadBytes;
  return [
    `  # channel ${channel}, payload ${payloadBytes}, frame ${frameId}, checksum ${checksum}, length ${frameBytes}, `,
    `copy ${copyBytes}, offset ${offset}, gsoSize ${gsoSize}\n`,
    lines(bytes.subarray(0, CHUNK_HEADER_BYTES), '  '),
    lines(bytes.subarray(CHUNK_HEADER_BYTES, payloadEnd), '    '),
    copyBytes > 0 ? `    # header copy\n${lines(bytes.subarray(payloadEnd), '    ')}` : '',
  ].join('');
}

function fileText(title: string, datagrams: readonly Uint8Array[]): string {
  const texts = datagrams.map((datagram, i) => {
    const head = `# datagram ${i}, ${datagram.byteLength} bytes: version, type, flags, lane, network, epoch, counter\n`;
    return head + lines(datagram.subarray(0, 20), '') + chunksOf(datagram).map(chunkText).join('');
  });
  return `# ${title} Path MTU ${PATH_MTU_BYTES} over IPv4, lane ${LANE}.\n\n${texts.join('\n')}`;
}

describe.each(cases)('golden datagrams: %s', (name, title, frames) => {
  const file = join(DIRECTORY, `${name}.hex`);

  it('are what the sender makes', async () => {
    const datagrams = new TestSender(PATH_MTU_BYTES, LANE).send(frames);
    await expect(fileText(title, datagrams)).toMatchFileSnapshot(file);
  });

  it('are what the receiver understands', () => {
    const receiver = new TestReceiver().take(...datagramsIn(readFileSync(file, 'utf8')));
    expect(receiver.frames().map(describeFrame)).toEqual(frames.map(describeFrame));
    expect(receiver.context.drops.reasons).toEqual([]);
  });
});
