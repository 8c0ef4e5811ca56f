/** Commands at the same time: each does its work, or says what is in its way. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { loadText, type Scenario } from '../../control/scenario/index.js';
import { Bench, QUICK, processesOf } from './machine.js';

const text = (name: string, hosts = 2): string => {
  const names = Array.from({ length: hosts }, (_, i) => `h${i + 1}`);
  return `
name: ${name}
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
${names.map((host) => `  ${host}: { kind: host }\n`).join('')}
links:
${names.map((host) => `  - { endpoints: [${host}, s1] }\n`).join('')}
`;
};
const scenario = (name: string, hosts?: number): Scenario => loadText(text(name, hosts), `${name}.yaml`);

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

const connect = (): Promise<AgentClient> => AgentClient.connect(bench.paths);
const up = async (name: string): Promise<void> => (await connect()).up(scenario(name), QUICK);
const names = async (): Promise<string[]> => (await (await connect()).networks()).map(({ name }) => name);
const reasons = (results: readonly PromiseSettledResult<void>[]): string[] =>
  results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
const agents = (): number => processesOf(bench.directory).filter(({ line }) => line.includes('agent.js')).length;

it('of several up of one name one wins, and the others say so', async () => {
  // All of them are there before the first asks: it has not done its work before the last one does.
  const agents = await Promise.all([connect(), connect(), connect()]);
  const refused = reasons(await Promise.allSettled(agents.map((agent) => agent.up(scenario('one'), QUICK))));
  expect(refused).toHaveLength(2);
  for (const reason of refused) expect(reason).toMatch(/network 'one' is busy: another 'up' of it is under way/);
  expect(await names()).toEqual(['one']);
  await (await connect()).down('one');
  await bench.nothingLeft();
});

it('down interrupts an up that is under way, and returns when nothing is left of it', async () => {
  const agent = await connect();
  let begun: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (begun = resolve));
  // Of so many hosts that it takes far longer than to be told so.
  const coming = agent.up(scenario('short', 100), { ...QUICK, onProgress: begun });
  const outcome = coming.then(
    () => 'it came up',
    (cause: unknown) => String(cause),
  );
  await first;
  await agent.down('short');
  expect(await outcome).toMatch(/interrupted/);
  await bench.nothingLeft();
});

it('up of what goes down is refused, and works afterwards', async () => {
  await up('going');
  const agent = await connect();
  let begun: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (begun = resolve));
  const going = agent.down('going', { onProgress: begun });
  await first;
  const [refused] = reasons(await Promise.allSettled([up('going'), going]));
  // Where `down` was over before, `up` has made it anew.
  if (refused === undefined) await (await connect()).down('going');
  else expect(refused).toMatch(/network 'going' is busy: another 'down' of it is under way/);
  await bench.nothingLeft();
});

it('commands that find no agent and start one each end up with the same', async () => {
  const all = ['c1', 'c2', 'c3', 'c4'];
  await Promise.all(all.map((name) => bench.ok('up', '--memory', '8MiB', bench.scenario(name, text(name)))));
  expect((await names()).sort()).toEqual(all);
  await expect.poll(agents).toBe(1);
  await bench.ok('down', '--all');
  await bench.nothingLeft();
});

it('an agent that ends takes nothing from one that starts at the same moment', async () => {
  await up('old');
  for (let turn = 0; turn < 4; turn++) {
    const [older, newer] = turn % 2 === 0 ? (['old', 'new'] as const) : (['new', 'old'] as const);
    // Its agent ends with it, while the other command looks for one, at another moment each time.
    const going = (await connect()).down(older);
    await new Promise((resolve) => setTimeout(resolve, turn * 25));
    expect(reasons(await Promise.allSettled([going, up(newer)])), `turn ${turn}`).toEqual([]);
    expect(await names()).toEqual([newer]);
    // The other is still to end, perhaps.
    await expect.poll(agents).toBe(1);
  }
  await (await connect()).down('old');
  await bench.nothingLeft();
});
