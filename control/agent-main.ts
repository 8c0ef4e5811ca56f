/** The background agent's entry. */
import { runAgent } from './agent.js';
import { agentOptionsFrom } from './agent-options.js';

// A log that cannot be written, on a full disk, is no reason to end.
process.stderr.on('error', () => undefined);
await runAgent(agentOptionsFrom(process.env, process.getuid!()));
process.exit(0);
