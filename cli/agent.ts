/** `luthier agent`: the agent in the foreground. `luthier up` starts it in the background where none runs. */
import type { Command } from 'commander';
import { syntax } from './syntax.js';

export function command(): Command {
  return syntax('agent', 'run the agent of this machine in the foreground', [
    ['luthier agent', "seldom needed: 'luthier up' starts it, the last 'down' ends it"],
  ]).action(async () => {
    const [{ runAgent }, { agentOptionsFrom }] = await Promise.all([
      import('../control/agent.js'),
      import('../control/agent-options.js'),
    ]);
    await runAgent(agentOptionsFrom(process.env, process.getuid!()));
  });
}
