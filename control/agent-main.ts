/** The background agent's entry. */
import { runAgent } from './agent.js';
import { agentOptionsFrom } from './agent-options.js';

await runAgent(agentOptionsFrom(process.env, process.getuid!()));
process.exit(0);
