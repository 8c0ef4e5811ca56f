/**
 * The agent is killed once a `set` is on record and before any switch process has been told: the next agent tells them. And
 * what is no request is refused as such.
 */
import { request } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { execute } from '../../control/exec.js';
import { readText, requestJson } from '../../control/http.js';
import { agentSocket } from '../../control/paths.js';
import { gone, processId } from '../../control/process.js';
import { loadText } from '../../control/scenario/index.js';
import type { RawLinkProperties } from '../../model/scenario.js';
import { startAgentProgram } from '../chaos/agent-program.js';
import { Bundle } from '../chaos/bundle.js';
import { agentPidOf, Bench } from './machine.js';

/** The link has an end on each machine: two processes are to be told. */
const SCENARIO = loadText(
  `
name: told
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24, machine: a }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`,
  'told.yaml',
);

let bench: Bench;
let bundle: Bundle;

beforeAll(async () => {
  bundle = await Bundle.of('dying-agent');
  bench = new Bench();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  bundle[Symbol.dispose]();
});

/** Asked once: a client asks the next agent again, which then would tell it for that. */
function set(link: string, properties: RawLinkProperties): Promise<unknown> {
  return requestJson({
    socket: agentSocket(bench.paths),
    method: 'PATCH',
    path: `/networks/told/links/${link}`,
    body: { set: properties },
    remote: 'the agent',
  });
}

async function leastRttMs(agent: AgentClient): Promise<number> {
  const ping = ['ping', '-q', '-c5', '-i0.05', '-w20', 'h2'];
  const { stdout } = await execute(await agent.access('told', 'h1'), ping, {});
  return Number(/= ([\d.]+)\//.exec(stdout)![1]);
}

it('after its record, the next agent tells the switch processes', async () => {
  const pid = await startAgentProgram(bundle.file('dying-agent'), bench.paths, { LUTHIER_TEST_DIES: 'after:link {' });
  await (await AgentClient.connect(bench.paths)).up(SCENARIO);
  const dying = processId(pid)!;
  await expect(set('h2--s1', { delay: '60ms' })).rejects.toMatchObject({ code: 'E_REMOTE' });
  expect(await gone(dying, 30_000)).toBe(true);
  const agent = await AgentClient.connect(bench.paths);
  const { linkStates } = await agent.network('told');
  expect(linkStates.find(({ name }) => name === 'h2--s1')).toMatchObject({
    forward: { delay: '60ms' },
    reverse: { delay: '60ms' },
  });
  // Both directions: one is the process's of a, the other that of b.
  expect(await leastRttMs(agent)).toBeGreaterThanOrEqual(120);
}, 120_000);

it('before its record, nothing has changed', async () => {
  const agent = await AgentClient.connect(bench.paths);
  await agent.setLink('told', 'h2--s1', { delay: 'none' });
  const living = processId(agentPidOf(bench.directory)!)!;
  process.kill(living.pid, 'SIGTERM');
  expect(await gone(living, 30_000)).toBe(true);
  const pid = await startAgentProgram(bundle.file('dying-agent'), bench.paths, { LUTHIER_TEST_DIES: 'before:link {' });
  const dying = processId(pid)!;
  await expect(set('h2--s1', { delay: '60ms' })).rejects.toMatchObject({ code: 'E_REMOTE' });
  expect(await gone(dying, 30_000)).toBe(true);
  const next = await AgentClient.connect(bench.paths);
  const { linkStates } = await next.network('told');
  expect(linkStates.find(({ name }) => name === 'h2--s1')).toMatchObject({ forward: {}, reverse: {} });
  await expect.poll(() => leastRttMs(next)).toBeLessThan(60);
}, 120_000);

it.each([
  ['', 'not JSON'],
  ['{"set":{"delay":"1ms"},"form":"h1"}', '"form"'],
  ['{"set":{"delay":10}}', 'delay'],
  ['{"set":{}}', 'sets nothing'],
])('a body that is none, %j, is wrong input: status 400, and says why', async (body, why) => {
  await AgentClient.connect(bench.paths);
  const asking = request({
    socketPath: agentSocket(bench.paths),
    method: 'PATCH',
    path: '/networks/told/links/h2--s1',
    agent: false,
  });
  asking.end(body);
  const [response] = (await once(asking, 'response')) as [Parameters<typeof readText>[0]];
  const { code, message, hint } = JSON.parse(await readText(response)) as Record<string, string>;
  expect([response.statusCode, code]).toEqual([400, 'E_USAGE']);
  expect(message).toContain(why);
  expect(hint).toEqual(expect.any(String));
});
