/**
 * The agent's socket: taken by exactly one agent at a time, found stale when its agent was killed.
 */
import { chmodSync, linkSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentLog, type Paths } from './paths.js';

/**
 * Listens at `path`, or answers false when another agent does. Binds under a name of its own and links it into place,
 * so that of two agents that start at once exactly one serves.
 */
export async function listenOnce(server: Server, path: string): Promise<boolean> {
  const own = `${path}.${process.pid}`;
  rmSync(own, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(own, resolve);
  });
  chmodSync(own, 0o600);
  for (;;) {
    try {
      linkSync(own, path);
      rmSync(own);
      return true;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    }
    if (await answers(path)) {
      rmSync(own, { force: true });
      server.close();
      return false;
    }
    // Stale, unless another agent has just replaced it: what is taken away is looked at once more.
    const aside = `${own}.stale`;
    try {
      renameSync(path, aside);
      if (await answers(aside)) linkSync(aside, path);
    } catch (cause) {
      // Another agent was quicker at the same: the next round sees what it did.
      if (!['ENOENT', 'EEXIST'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
    }
    rmSync(aside, { force: true });
  }
}

/** Whether a process listens on this socket. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

/** Whether nobody listens on this socket, or will any more in a moment. */
export async function closes(path: string, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (await answers(path)) {
    if (performance.now() > end) return false;
    await sleep(2);
  }
  return true;
}

/**
 * Nothing runs any more: an agent's own files go too, those that a killed one left included. Folders that hold anything
 * else stay.
 */
export function removeAgentFiles(paths: Paths): void {
  rmSync(agentLog(paths), { force: true });
  for (const directory of [paths.state, paths.runtime]) {
    try {
      for (const name of readdirSync(directory))
        if (name.startsWith('agent.sock')) rmSync(join(directory, name), { force: true });
      rmdirSync(directory);
    } catch (cause) {
      if (!['ENOTEMPTY', 'ENOENT', 'EBUSY'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
    }
  }
}
