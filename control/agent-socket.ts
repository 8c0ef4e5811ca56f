/**
 * The agent's socket: taken by exactly one agent at a time, found stale when its agent was killed.
 */
import { chmodSync, existsSync, linkSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolders } from './folders.js';
import { agentLog, agentSocket, type Paths } from './paths.js';
import { processId } from './process.js';

/**
 * Listens at the agent's socket, or answers false when another agent does. Binds under a name of its own and links it into
 * place, so that of two agents that start at once exactly one serves.
 */
export async function listenOnce(server: Server, paths: Paths): Promise<boolean> {
  const path = agentSocket(paths);
  const own = `${path}.${process.pid}`;
  for (;;) {
    try {
      makeFolders(paths);
      await listenAs(server, own);
      for (;;) {
        if (linked(own, path)) return true;
        if (await answers(path)) break;
        await removeStaleSocket(path);
      }
      rmSync(own, { force: true });
      server.close();
      return false;
    } catch (cause) {
      // An agent that ended at this moment took the empty folder away (libuv's bind then says EACCES).
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT' && existsSync(paths.runtime)) throw cause;
      server.close();
    }
  }
}

async function listenAs(server: Server, own: string): Promise<void> {
  rmSync(own, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(own, () => {
      server.off('error', reject);
      resolve();
    });
  });
  chmodSync(own, 0o600);
}

/** False when there is one already. */
function linked(own: string, path: string): boolean {
  try {
    linkSync(own, path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw cause;
  }
  rmSync(own);
  return true;
}

/** What is taken away is looked at once more: another agent may just have put its own in the place. */
async function removeStaleSocket(path: string): Promise<void> {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
    if (await answers(aside)) linkSync(aside, path);
  } catch (cause) {
    // Somebody else was quicker at the same.
    if (!['ENOENT', 'EEXIST'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
  }
  rmSync(aside, { force: true });
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
 * else stay, and so does what belongs to an agent that starts at this moment.
 */
export async function removeAgentFiles(paths: Paths): Promise<void> {
  if (await answers(agentSocket(paths))) return;
  await removeStaleSocket(agentSocket(paths));
  for (const name of namesIn(paths.runtime)) {
    const [, pid] = /^agent\.sock\.(\d+)/.exec(name) ?? [];
    if (pid !== undefined && processId(Number(pid)) === undefined) rmSync(join(paths.runtime, name), { force: true });
  }
  rmSync(agentLog(paths), { force: true });
  for (const directory of [paths.state, paths.runtime]) {
    try {
      rmdirSync(directory);
    } catch (cause) {
      if (!['ENOTEMPTY', 'ENOENT', 'EBUSY'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cause;
  }
}
