import { expect, it } from 'vitest';
import { type Echo, echoes, matched } from './pings.js';
import { readPackets } from './pcapng.js';

function block(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(body.length + 12, 4);
  return Buffer.concat([head, body, head.subarray(4)]);
}

function section(): Buffer {
  const body = Buffer.alloc(16, 0xff);
  body.writeUInt32LE(0x1a2b3c4d, 0);
  return block(0x0a0d0d0a, body);
}

/** With nanoseconds, after an option of three bytes. */
function networkInterface(): Buffer {
  const options = [2, 0, 3, 0, 97, 98, 99, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
  return block(1, Buffer.from([1, 0, 0, 0, 0, 0, 4, 0, ...options]));
}

function packet(atNs: bigint, bytes: Buffer): Buffer {
  const body = Buffer.alloc(20 + Math.ceil(bytes.length / 4) * 4);
  body.writeUInt32LE(Number(atNs >> 32n), 4);
  body.writeUInt32LE(Number(atNs & 0xffffffffn), 8);
  body.writeUInt32LE(bytes.length, 12);
  body.writeUInt32LE(bytes.length, 16);
  bytes.copy(body, 20);
  return block(6, body);
}

function echo(type: number, sequence: number, sentUs: bigint): Buffer {
  const frame = Buffer.alloc(98);
  frame[34] = type;
  frame.writeUInt16BE(sequence, 40);
  frame.writeBigUInt64LE(sentUs / 1_000_000n, 42);
  frame.writeBigUInt64LE(sentUs % 1_000_000n, 50);
  return frame;
}

const AT_NS = 1_700_000_000_000_002_000n;

it('reads packets with their times, up to a block that is not whole', () => {
  const whole = Buffer.concat([section(), networkInterface(), packet(AT_NS, Buffer.from('abc'))]);
  const expected = [{ atUs: 1_700_000_000_000_002, bytes: Buffer.from('abc') }];
  expect(readPackets(whole)).toEqual(expected);
  const more = packet(AT_NS, Buffer.from('next'));
  for (let length = 0; length < more.length; length++)
    expect(readPackets(Buffer.concat([whole, more.subarray(0, length)]))).toEqual(expected);
});

it('takes requests, or answers', () => {
  const frames = [echo(8, 7, 1_700_000_000_000_000n), echo(0, 7, 1_700_000_000_000_000n)];
  const data = Buffer.concat([section(), networkInterface(), ...frames.map((frame) => packet(AT_NS, frame))]);
  const seven = { sequence: 7, atUs: 1_700_000_000_000_002, sentUs: 1_700_000_000_000_000 };
  expect(echoes(data, 'requests')).toEqual([seven]);
  expect(echoes(data, 'answers')).toEqual([seven]);
});

it('has a round trip of each answer whose request was seen at both hosts', () => {
  const at = (sequence: number, atUs: number): Echo => ({ sequence, atUs, sentUs: 100 * sequence });
  const received = [
    { sequence: 2, atUs: 250 },
    { sequence: 1, atUs: 170 },
    { sequence: 3, atUs: 390 },
  ];
  const text = '4 packets transmitted, 3 received';
  const passed = {
    left: [at(1, 103), at(2, 204), at(3, 305)],
    came: [at(1, 133), at(2, 224)],
    back: [at(1, 165), at(2, 244), at(3, 380)],
  };
  expect(matched(received, passed, text)).toEqual({
    sent: 4,
    us: [50, 70],
    oneWayUs: [20, 30],
    interfaceUs: [40, 62],
  });
  expect(() => matched([], { left: [at(1, 103)], came: [], back: [] }, text)).toThrow('none of 4 pings');
});
