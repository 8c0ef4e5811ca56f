/**
 * `luthier agent`: the agent in the foreground, an ordinary user's in a user namespace. `luthier up` starts it in the
 * background where none runs.
 */
import type { Command } from 'commander';
import { isMachineRoot } from '../control/privileges.js';
import { ownPaths } from './connection.js';
import { runAttached } from './inside.js';
import { syntax } from './syntax.js';

export function command(): Command {
  return syntax('agent', 'run the agent of this machine in the foreground', [
    ['luthier agent', "seldom needed: 'luthier up' starts it, the last 'down' ends it"],
  ]).action(async () => {
    if (isMachineRoot()) {
      const [{ runAgent }, { agentOptionsFrom }] = await Promise.all([
        import('../control/agent.js'),
        import('../control/agent-options.js'),
      ]);
      await runAgent(agentOptionsFrom(process.env, process.getuid!()));
    } else {
      const [{ agentCommand, agentEnvironment }, paths] = await Promise.all([
        import('../control/user-namespace.js'),
        ownPaths(),
      ]);
      const [file, ...args] = agentCommand(paths);
      process.exitCode = await runAttached({ file, args, env: agentEnvironment(paths, process.env) });
    }
  });
}
