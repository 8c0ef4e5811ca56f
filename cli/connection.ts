/**
 * The way to the agent, for every command that needs it. The client is imported here, when a command runs: `--help`
 * must work where nothing has been built or started.
 */
import { constants } from 'node:os';
import { StateError } from '../model/errors.js';
import type { AgentClient } from '../control/client.js';
import type { Paths } from '../control/paths.js';

/** Starts an agent where none runs: for `up`. */
export async function startedAgent(): Promise<AgentClient> {
  const { AgentClient } = await import('../control/client.js');
  return AgentClient.connect(await ownPaths());
}

/** Throws a StateError where nothing runs. */
export async function runningAgent(): Promise<AgentClient> {
  const agent = await agentIfAny();
  if (agent === undefined) throw nothingRuns();
  return agent;
}

/** `undefined` where nothing runs. */
export async function agentIfAny(): Promise<AgentClient | undefined> {
  const { AgentClient } = await import('../control/client.js');
  return AgentClient.tryConnect(await ownPaths());
}

/** Where nothing runs, what a killed agent left is cleared away. */
export async function removeStaleFiles(): Promise<void> {
  const { AgentClient } = await import('../control/client.js');
  await AgentClient.removeStaleFiles(await ownPaths());
}

/** Where this user's Luthier keeps its files, by the environment. */
export async function ownPaths(): Promise<Paths> {
  const { pathsFrom } = await import('../control/paths.js');
  return pathsFrom(process.env, process.getuid!());
}

export function nothingRuns(): StateError {
  return new StateError('no network runs', { hint: 'start one: luthier up FILE' });
}

/**
 * Runs `work` with a signal that ^C (or SIGTERM) aborts. A second ^C ends the process at once; what the agent does for
 * us, such as rolling back, goes on without us.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  // Not `once`: where nobody listens to SIGINT any more, libraries that restore the terminal end the process.
  const abort = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(128 + constants.signals[signal]);
    controller.abort();
  };
  process.on('SIGINT', abort);
  process.on('SIGTERM', abort);
  try {
    return await work(controller.signal);
  } finally {
    process.off('SIGINT', abort);
    process.off('SIGTERM', abort);
  }
}
