import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { answers, listenOnce, removeAgentFiles } from './agent-socket.js';
import { agentSocket, type Paths } from './paths.js';

let directory: string;
let paths: Paths;
const servers: Server[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'luthier-socket-'));
  paths = { runtime: join(directory, 'run'), state: join(directory, 'state') };
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(directory, { recursive: true, force: true });
});

function server(): Server {
  const made = createServer();
  servers.push(made);
  return made;
}

it('serves one agent, and refuses another while it does', async () => {
  expect(await listenOnce(server(), paths)).toBe(true);
  expect(readdirSync(paths.runtime)).toEqual(['agent.sock']);
  expect(await listenOnce(server(), paths)).toBe(false);
  expect(await answers(agentSocket(paths))).toBe(true);
});

it('takes the place of a socket that nobody listens on any more', async () => {
  mkdirSync(paths.runtime);
  writeFileSync(agentSocket(paths), ''); // refuses connections just as the socket of a killed agent
  expect(await listenOnce(server(), paths)).toBe(true);
  expect(await answers(agentSocket(paths))).toBe(true);
});

it('leaves alone what belongs to an agent that runs or starts, and removes what killed ones left', async () => {
  expect(await listenOnce(server(), paths)).toBe(true);
  await removeAgentFiles(paths);
  expect(await answers(agentSocket(paths))).toBe(true);

  rmSync(agentSocket(paths));
  const starting = `agent.sock.${process.pid}`;
  for (const name of [starting, 'agent.sock.4194305', 'agent.sock.4194305.stale'])
    writeFileSync(join(paths.runtime, name), '');
  await removeAgentFiles(paths);
  expect(readdirSync(paths.runtime)).toEqual([starting]);

  rmSync(join(paths.runtime, starting));
  await removeAgentFiles(paths);
  expect([paths.runtime, paths.state].filter((path) => existsSync(path))).toEqual([]);
});

it('starts while another that ends takes the empty folders away, again and again', async () => {
  const over = new AbortController();
  const ending = (async () => {
    while (!over.signal.aborted) {
      for (const path of [paths.runtime, paths.state])
        try {
          // Only what is empty, as an agent that ends does.
          if (readdirSync(path).length === 0) rmSync(path, { recursive: true });
        } catch {
          // not there
        }
      await turn();
    }
  })();
  for (let i = 0; i < 50; i++) {
    const agent = server();
    expect(await listenOnce(agent, paths)).toBe(true);
    rmSync(agentSocket(paths), { force: true });
    agent.close();
  }
  over.abort();
  await ending;
});
