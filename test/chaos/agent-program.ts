/** An agent of the test's own: started as the client starts the agent, and reached as any other. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { answers } from '../../control/agent-socket.js';
import { makeFolders } from '../../control/folders.js';
import { agentLog, agentSocket, type Paths } from '../../control/paths.js';
import { agentCommand, agentEnvironment } from '../../control/user-namespace.js';

/** Starts it in the background; resolves with its pid once it listens, or has died as it was told to. */
export async function startAgentProgram(
  file: string,
  paths: Paths,
  env: Readonly<Record<string, string>>,
): Promise<number> {
  makeFolders(paths);
  const log = openSync(agentLog(paths), 'a', 0o600);
  const [program, ...args] = agentCommand(paths, file);
  const child = spawn(program, args, {
    detached: true,
    cwd: '/',
    env: { ...agentEnvironment(paths, process.env), ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  while (!(await answers(agentSocket(paths)))) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    await sleep(3);
  }
  return child.pid!;
}
