/** An agent whose switch processes observe their garbage collections (observe-gc.cjs). Started by tail.ts. */
import { join } from 'node:path';
import { agentOptionsFrom } from '../../control/agent-options.js';
import { runAgent } from '../../control/agent.js';

const observer = join(import.meta.dirname, 'observe-gc.cjs');
const options = agentOptionsFrom(process.env, process.getuid!());
await runAgent({ ...options, switchEnv: { ...options.switchEnv, NODE_OPTIONS: `--require ${observer}` } });
