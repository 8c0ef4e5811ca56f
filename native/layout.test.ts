/**
 * Numbers that stand in C and in TypeScript. They are compared as text: what is in the other language, or in a folder
 * that this one must not import, cannot be imported.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ENDPOINT_BYTES, VNET_HDR_BYTES } from './binding.js';
import { HEADROOM_BYTES, SLOT_BYTES } from './fixture.js';

function number(file: string, pattern: RegExp): number {
  const found = pattern.exec(readFileSync(join(import.meta.dirname, file), 'utf8'))?.[1];
  expect(found, `${file}: ${pattern.source}`).toBeDefined();
  return Number(found);
}

it.each([
  ['SLOT_BYTES', SLOT_BYTES],
  ['HEADROOM_BYTES', HEADROOM_BYTES],
])('%s is the same in the addon, in the arena and in these tests', (name, value) => {
  expect(number('addon.h', new RegExp(`^#define ${name} (\\d+)$`, 'm'))).toBe(value);
  expect(number('../vswitch/arena.ts', new RegExp(`^export const ${name} = (\\d+);$`, 'm'))).toBe(value);
});

it('VNET_HDR_BYTES is the same in the addon and in its binding', () => {
  expect(number('addon.h', /^#define VNET_HDR_BYTES (\d+)$/m)).toBe(VNET_HDR_BYTES);
});

it('ENDPOINT_BYTES is the same everywhere', () => {
  expect(number('addon.h', /^#define ENDPOINT_BYTES (\d+)$/m)).toBe(ENDPOINT_BYTES);
  expect(number('../vswitch/tunnel/roaming/endpoint.ts', /^export const ENDPOINT_BYTES = (\d+);$/m)).toBe(
    ENDPOINT_BYTES,
  );
});

it.each(['WIRE_VERSION', 'DATAGRAM_HEADER_BYTES', 'NETWORK_AT', 'TAG_BYTES'])(
  '%s is the same in the addon and on the wire',
  (name) => {
    const value = number('aead.h', new RegExp(`^#define ${name} (\\d+)$`, 'm'));
    expect(number('../vswitch/tunnel/wire.ts', new RegExp(`^export const ${name} = (\\d+);$`, 'm'))).toBe(value);
  },
);

it.each(['udp-send.c', 'udp-receive.c'])('CHUNK_HEADER_BYTES is the same in %s and on the wire', (file) => {
  const value = number(file, /^#define CHUNK_HEADER_BYTES (\d+)$/m);
  expect(number('../vswitch/tunnel/wire.ts', /^export const CHUNK_HEADER_BYTES = (\d+);$/m)).toBe(value);
});

it('the longest message is documented as it is', () => {
  const bytes = number('message.h', /^#define MESSAGE_BYTES (\d+)$/m);
  expect(number('binding.ts', /of 1 … (\d+) bytes/)).toBe(bytes);
  expect(number('keeper.ts', /at most\n \* (\d+) bytes/)).toBe(bytes);
});
