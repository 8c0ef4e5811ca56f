/** The example of the package's documentation, run as a user's own program would run it. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Bench, ROOT, run } from './machine.js';

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

it('brings a network up from an object, runs a command in it, and takes it down', async () => {
  const program = bench.path('example.mjs');
  writeFileSync(
    program,
    `
import { writeFileSync } from 'node:fs';
import { load, up } from '${ROOT}/dist/index.js';

const net = await up(load({
  name: 'pair',
  nodes: {
    s1: { kind: 'switch', subnet: '10.0.0.0/24' },
    h1: { kind: 'host' },
    h2: { kind: 'host', command: ['sh', '-c', 'while ! [ -e ${bench.path('go')} ]; do sleep 0.05; done; exit 4'] },
  },
  links: [{ endpoints: ['h1', 's1'] }, { endpoints: ['h2', 's1'] }],
}));
try {
  const { stdout, code } = await net.node('h1').exec(['ping', '-c1', '-W20', 'h2']);
  console.log(code, stdout.includes('1 received'));
  console.log((await net.node('h2').exec(['cat'], { input: 'through' })).stdout);
  console.log((await net.trace('h1', 'h2')).reached);
  const events = net.events();
  const next = events.next();
  await net.inspect(); // asked after the first look of events(), answered after it
  writeFileSync('${bench.path('go')}', '');
  const { value } = await next;
  console.log(value.type, value.node, value.status, value.code);
} finally {
  await net.down();
}
`,
  );
  const result = await run(process.execPath, [program], { env: bench.env });
  expect(result).toMatchObject({ code: 0, stdout: '0 true\nthrough\ntrue\nexit h2 exited 4\n' });
  await bench.nothingLeft();
});
