/**
 * Numbers that stand in C and in TypeScript. They are compared as text: what is in the other language, or in a folder
 * that this one must not import, cannot be imported.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
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

it.each(['udp-send.c', 'udp-join.c'])('CHUNK_HEADER_BYTES is the same in %s and on the wire', (file) => {
  const value = number(file, /^#define CHUNK_HEADER_BYTES (\d+)$/m);
  expect(number('../vswitch/tunnel/wire.ts', /^export const CHUNK_HEADER_BYTES = (\d+);$/m)).toBe(value);
});

it.each([
  ['FEC_MAX_DATA', 'redundancy.ts'],
  ['FEC_MAX_ROWS', 'redundancy.ts'],
  ['PARITY_HEADER_BYTES', 'parity.ts'],
  ['COLUMN_HEADER_BYTES', 'parity.ts'],
  ['FEC_PAYLOAD_BYTES', 'parity.ts'],
])('%s is the same in the addon and in the tunnel', (name, file) => {
  const value = number('fec.h', new RegExp(`^#define ${name} (\\d+)$`, 'm'));
  expect(number(`../vswitch/tunnel/fec/${file}`, new RegExp(`^export const ${name} = (\\d+);$`, 'm'))).toBe(value);
});

it('the longest message is documented as it is', () => {
  const bytes = number('message.h', /^#define MESSAGE_BYTES (\d+)$/m);
  expect(number('binding.ts', /of 1 … (\d+) bytes/)).toBe(bytes);
  expect(number('keeper.ts', /at most\n \* (\d+) bytes/)).toBe(bytes);
});

const IPSEC_MB = '/usr/include/intel-ipsec-mb.h';
const noHeader = existsSync(IPSEC_MB) ? '' : ` (skipped: no ${IPSEC_MB}; Debian has it in libipsec-mb-dev)`;

it.skipIf(noHeader !== '')(`what is declared of libipsec-mb is as its header has it${noHeader}`, () => {
  const of = (name: string): number => number('aead-ipsec-mb.c', new RegExp(`^#define ${name} (\\d+)$`, 'm'));
  const bit = (name: string): number =>
    number('aead-ipsec-mb.c', new RegExp(`^#define ${name} \\(UINT64_C\\(1\\) << (\\d+)\\)$`, 'm'));
  const facts = [
    `offsetof(IMB_MGR, features) == ${of('FEATURES_AT')}`,
    `offsetof(IMB_MGR, gcm256_enc) == ${of('GCM256_ENC_AT')}`,
    `offsetof(IMB_MGR, gcm256_dec) == ${of('GCM256_DEC_AT')}`,
    `offsetof(IMB_MGR, gcm256_pre) == ${of('GCM256_PRE_AT')}`,
    `sizeof(struct gcm_key_data) <= ${of('GCM_KEY_BYTES')}`,
    `_Alignof(struct gcm_key_data) == ${of('GCM_KEY_ALIGN')}`,
    `sizeof(struct gcm_context_data) == ${of('GCM_CONTEXT_BYTES')}`,
    `IMB_FEATURE_AESNI == 1 << ${bit('FEATURE_AESNI')}`,
    `IMB_FEATURE_PCLMULQDQ == 1 << ${bit('FEATURE_PCLMULQDQ')}`,
    `IMB_FEATURE_SAFE_DATA == 1 << ${bit('FEATURE_SAFE_DATA')}`,
  ];
  const input = [
    '#include <stddef.h>',
    `#include "${IPSEC_MB}"`,
    ...facts.map((fact) => `_Static_assert(${fact}, "");`),
  ];
  const { status, stderr } = spawnSync('cc', ['-std=gnu11', '-DLINUX', '-fsyntax-only', '-x', 'c', '-'], {
    input: input.join('\n'),
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});
