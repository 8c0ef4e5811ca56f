/**
 * Writes the scenario's JSON Schema beside the compiled code, where the package publishes it for editors. Runs in the
 * build, after the compiler: `node scripts/schema.mjs`.
 */
import { writeFileSync } from 'node:fs';
import { scenarioJsonSchema } from '../dist/model/scenario.js';

const target = new URL('../dist/scenario.schema.json', import.meta.url);
writeFileSync(target, `${JSON.stringify(scenarioJsonSchema(), null, 2)}\n`);
