/**
 * An agent as any other, but for its end: it kills itself before or after the n-th change of a record, as the power cut
 * of a test. `kill-steps.test.ts` bundles it and starts it in place of the agent's own entry.
 *
 *   LUTHIER_TEST_DIES=before:5     n counts from 0, over all records of this agent; without it, the agent lives on
 *   LUTHIER_TEST_DIES='after:made {"processes":{"host:h1"'     … of the first change that begins so
 *   LUTHIER_TEST_RECORDS=FILE      a line for each change of a record: `before 5 make keeper`
 */
import { appendFileSync } from 'node:fs';
import { runAgent } from '../../control/agent.js';
import { agentOptionsFrom } from '../../control/agent-options.js';
import type { OnRecord } from '../../control/journal.js';

const { LUTHIER_TEST_DIES: dies, LUTHIER_TEST_RECORDS: records } = process.env;
let index = 0;

const onRecord: OnRecord = (when, what) => {
  if (records !== undefined) appendFileSync(records, `${when} ${index} ${nameOf(what)}\n`);
  // To oneself a signal is delivered before kill(2) returns: nothing after this line happens.
  if (dies === `${when}:${index}` || `${when}:${nameOf(what)}`.startsWith(dies ?? 'never'))
    process.kill(process.pid, 'SIGKILL');
  if (when === 'after') index++;
};

function nameOf(what: Parameters<OnRecord>[1]): string {
  if (typeof what === 'string') return what;
  if (!('op' in what)) return 'header';
  const { op, ...rest } = what;
  return `${op} ${JSON.stringify(rest)}`;
}

await runAgent({ ...agentOptionsFrom(process.env, process.getuid!()), onRecord });
process.exit(0);
