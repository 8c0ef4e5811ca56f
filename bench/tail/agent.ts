/** An agent whose switch processes load one of the observers beside this file, named by its argument. Started by tail.ts. */
import { join } from 'node:path';
import { agentOptionsFrom } from '../../control/agent-options.js';
import { runAgent } from '../../control/agent.js';

const observer = join(import.meta.dirname, process.argv[2]!);
const options = agentOptionsFrom(process.env, process.getuid!());
await runAgent({ ...options, switchEnv: { ...options.switchEnv, NODE_OPTIONS: `--require ${observer}` } });
