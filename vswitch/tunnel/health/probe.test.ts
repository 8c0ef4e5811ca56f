import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../../test/properties.js';
import { datagramOf, datagramsIn, hex } from '../../../test/tunnel/fixture.js';
import { DATAGRAM_HEADER_BYTES, DatagramHeader, DatagramType } from '../wire.js';
import { PROBE_BYTES, Probe, ProbeKind } from './probe.js';

const count = fc.maxSafeNat();
const DIRECTORY = join(import.meta.dirname, '../../../test/golden/wire');
/** Of a packet over IPv4 without a seal, what is in front of the probe. */
const BEFORE_BYTES = 20 + 8 + DATAGRAM_HEADER_BYTES;

const golden: readonly (readonly [string, string, Partial<Probe>, number])[] = [
  [
    'probe-request',
    'A request of an end with a receive buffer of 16 MiB, padded until its packet has 1280 bytes.',
    { kind: ProbeKind.request, packetBytes: 1280, timeNs: 2 ** 40 + 5, sent: 2 ** 33 + 7, bufferBytes: 2 ** 24 },
    1280 - BEFORE_BYTES,
  ],
  [
    'probe-reply',
    'The reply to it, of a peer that had received five datagrams less than were sent.',
    { kind: ProbeKind.reply, packetBytes: 1280, timeNs: 2 ** 40 + 5, sent: 2 ** 33 + 7, received: 2 ** 33 + 2 },
    PROBE_BYTES,
  ],
];

describe('Probe', () => {
  it('is read as it was written', () => {
    const fields = fc.record({
      kind: fc.constant(ProbeKind.reply),
      packetBytes: fc.nat(65_535),
      timeNs: count,
      sent: count,
      received: count,
    });
    fc.assert(
      fc.property(fields, fc.nat(9), (given, at) => {
        const bytes = new Uint8Array(at + PROBE_BYTES);
        Object.assign(new Probe(), given).emit(bytes, at);
        const probe = new Probe();
        expect(probe.parse(bytes, at, PROBE_BYTES)).toBe(true);
        expect(probe).toMatchObject(given);
      }),
    );
  });

  it('is read as it was written when it asks, too', () => {
    fc.assert(
      fc.property(fc.nat(65_535), count, count, count, (packetBytes, timeNs, sent, bufferBytes) => {
        const bytes = new Uint8Array(PROBE_BYTES);
        const given = { kind: ProbeKind.request, packetBytes, timeNs, sent, bufferBytes, received: 0 };
        Object.assign(new Probe(), given).emit(bytes, 0);
        const probe = new Probe();
        expect(probe.parse(bytes, 0, PROBE_BYTES)).toBe(true);
        expect(probe).toMatchObject(given);
      }),
    );
  });

  it('is refused when it is cut short, of another kind, or has what must be zero', () => {
    const bytes = new Uint8Array(PROBE_BYTES);
    const probe = new Probe();
    probe.kind = ProbeKind.request;
    probe.emit(bytes, 0);
    expect(probe.parse(bytes, 0, PROBE_BYTES)).toBe(true);
    expect(probe.parse(bytes, 0, PROBE_BYTES - 1)).toBe(false);
    for (const [at, value] of [
      [0, 0],
      [0, 3],
      [1, 1],
    ] as const) {
      const wrong = bytes.slice();
      wrong[at] = value;
      expect(probe.parse(wrong, 0, PROBE_BYTES), `${value} at ${at}`).toBe(false);
    }
  });
});

describe.each(golden)('golden datagram: %s', (name, title, fields, payloadBytes) => {
  const file = join(DIRECTORY, `${name}.hex`);

  it('is what is written', async () => {
    const payload = new Uint8Array(payloadBytes);
    Object.assign(new Probe(), fields).emit(payload, 0);
    const datagram = datagramOf([payload], { type: DatagramType.probe, lane: 3 });
    const rows = (part: Uint8Array): string => hex(part).replace(/.{1,64}/g, '$&\n');
    const text = [
      `# ${title} Path MTU 1280 over IPv4, lane 3.\n\n`,
      `# ${datagram.byteLength} bytes: version, type, flags, lane, network, epoch, counter\n`,
      rows(datagram.subarray(0, DATAGRAM_HEADER_BYTES)),
      `# kind, flags, packet length, time, sent, ${name === 'probe-request' ? 'buffer' : 'received'}; padding\n`,
      rows(datagram.subarray(DATAGRAM_HEADER_BYTES, DATAGRAM_HEADER_BYTES + PROBE_BYTES)),
      rows(datagram.subarray(DATAGRAM_HEADER_BYTES + PROBE_BYTES)),
    ];
    await expect(text.join('')).toMatchFileSnapshot(file);
  });

  it('is understood', () => {
    const [datagram] = datagramsIn(readFileSync(file, 'utf8'));
    const header = new DatagramHeader();
    expect(header.parse(datagram!, 0, datagram!.byteLength)).toBe(true);
    expect(header.type).toBe(DatagramType.probe);
    const probe = new Probe();
    expect(probe.parse(datagram!, DATAGRAM_HEADER_BYTES, datagram!.byteLength - DATAGRAM_HEADER_BYTES)).toBe(true);
    expect(probe).toMatchObject(fields);
  });
});
