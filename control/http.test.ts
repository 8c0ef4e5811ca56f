import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import * as z from 'zod';
import { LuthierError } from '../model/errors.js';
import { readJson } from './http.js';

const shape = z.strictObject({ set: z.object({ delay: z.string() }), from: z.string().optional() });

let folder: string;
let socket: string;
let server: Server;
let read: unknown;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'luthier-http-'));
  socket = join(folder, 'socket');
  server = createServer((asked, response) => {
    readJson(asked, shape, 100).then(
      (value) => {
        read = value;
        response.end();
      },
      (error: unknown) => {
        read = error;
        response.end();
      },
    );
  });
  await once(server.listen(socket), 'listening');
});

afterEach(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

async function send(body: string): Promise<unknown> {
  const asking = request({ socketPath: socket, method: 'PATCH', path: '/networks/n/links/l', agent: false });
  asking.end(body);
  await once(asking, 'response');
  return read;
}

it('gives a body of the right shape', async () => {
  expect(await send('{"set":{"delay":"1ms"}}')).toEqual({ set: { delay: '1ms' } });
});

it.each([
  ['', 'not JSON'],
  ['{"set":', 'not JSON'],
  ['[]', 'expected object'],
  ['{"set":{"delay":1}}', 'set.delay: '],
  ['{"set":{"delay":"1ms"},"form":"h1"}', '"form"'],
])('refuses %j as wrong input: what, where, why, and what to do', async (body, why) => {
  const error = await send(body);
  expect(error).toBeInstanceOf(LuthierError);
  expect(error).toMatchObject({
    code: 'E_USAGE',
    message: expect.stringMatching(/^the body of PATCH \/networks\/n\/links\/l is wrong: /) as string,
    hint: expect.stringContaining('control/agent.ts') as string,
  });
  expect((error as Error).message).toContain(why);
});

it('reads no more than it may', async () => {
  expect(await send(' '.repeat(101))).toMatchObject({ code: 'E_TOO_LARGE' });
});
