/**
 * `npm start`: a first network, in one go. Brings up scenarios/two-lans, sends real traffic through it, takes it down
 * and looks whether anything was left. It does what the commands do, with their code. Whatever fails, or ^C, the network
 * is taken down; the exit status is then 1.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AgentClient } from '../control/client.js';
import { execArguments, execute } from '../control/exec.js';
import { LuthierError, StateError } from '../model/errors.js';
import type { NetworkState, NodeAccess } from '../model/messages.js';
import { ownPaths, startedAgent, untilInterrupted } from './connection.js';
import { bringDown } from './down.js';
import { failureOf, renderFailure } from './failure.js';
import { footprintOf, leftOf, withAgent, type Footprint } from './leftovers.js';
import { colors, print } from './output.js';
import { progressView } from './progress.js';
import { requireMachine } from './requirements.js';
import { bringUp, loadForUp } from './up.js';

const SCENARIO = fileURLToPath(new URL('../../scenarios/two-lans/scenario.yaml', import.meta.url));
const PINGS = 3;
const TCP_SECONDS = 3;

/** Where the traffic goes: over the router, from one machine to the other. */
const FROM = 'h1';
const TO = 'h3';

async function demonstrate(): Promise<void> {
  const scenario = await loadForUp(SCENARIO);
  const name = scenario.raw.name;
  await requireMachine();
  const paths = await ownPaths();
  const agent = await startedAgent();
  if ((await agent.networks()).some((network) => network.name === name))
    throw new StateError(`a network ${name} runs already`, { hint: `take it down first: bin/luthier down ${name}` });

  title(`luthier up ${relative(process.cwd(), SCENARIO)}`);
  const { ms: upMs } = await bringUp(agent, scenario, progressView());
  let results: string[];
  let downMs: number;
  let footprint: Footprint;
  try {
    const network = await agent.network(name);
    footprint = footprintOf(network, paths);
    if ((await agent.networks()).length === 1) footprint = withAgent(footprint, network, paths);
    results = await untilInterrupted((signal) => sendTraffic(agent, name, signal));
  } finally {
    title(`luthier down ${name}`);
    ({ ms: downMs } = await bringDown(agent, name, progressView()));
  }

  const left = await leftOf(footprint);
  if (left.length > 0) throw new StateError(`the network is down, but this is left: ${left.join(', ')}`);

  title('summary');
  print(`up in ${Math.round(upMs)} ms, down in ${Math.round(downMs)} ms`);
  for (const result of results) print(result);
  print('nothing is left: no process, namespace, interface, mount, cgroup or record');
}

/** Returns a line for the summary from each measurement. */
async function sendTraffic(agent: AgentClient, name: string, signal: AbortSignal): Promise<string[]> {
  const network = await agent.network(name);
  const from = await agent.access(name, FROM);
  const to = await agent.access(name, TO);
  const results = [await ping(from, TO, 4, signal)];
  const peer6 = peerOver6(network);
  if (peer6 !== undefined) results.push(await ping(from, peer6, 6, signal));
  results.push(await traceroute(from, signal));
  results.push(await measureTcp(from, to, signal));
  return results;
}

async function ping(from: NodeAccess, target: string, family: 4 | 6, signal: AbortSignal): Promise<string> {
  const argv = ['ping', `-${family}`, '-n', '-c', String(PINGS), '-i', '0.2', '-w', '5', target];
  const output = await runShown(from, argv, signal);
  const average = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1];
  return `ping ${from.node} → ${target} over IPv${family}: ${average ?? '?'} ms on average`;
}

/** Throws unless there are exactly two hops: the router, and the target. */
async function traceroute(from: NodeAccess, signal: AbortSignal): Promise<string> {
  const output = await runShown(from, ['traceroute', '-4', '-n', '-q', '1', '-w', '2', TO], signal);
  const hops = output.split('\n').flatMap((line) => /^\s*\d+\s+(\S+)/.exec(line)?.[1] ?? []);
  if (hops.length !== 2) throw new LuthierError('E_DEMO', `traceroute shows ${hops.length} hops where there are 2`);
  return `traceroute ${from.node} → ${TO}: 2 hops, ${hops.join(' and ')}`;
}

async function measureTcp(from: NodeAccess, to: NodeAccess, signal: AbortSignal): Promise<string> {
  const { file, args } = execArguments(to, ['iperf3', '-s', '-1', '--forceflush']);
  const server = spawn(file, args, {
    env: { ...process.env, ...to.env },
    stdio: ['ignore', 'pipe', 'ignore'],
    signal,
  });
  const ended = once(server, 'exit').catch(() => undefined); // aborted: the client's own abort tells it
  await Promise.race([once(server.stdout, 'data'), ended]); // its first words are that it listens
  try {
    const argv = ['iperf3', '-c', TO, '-t', String(TCP_SECONDS), '-f', 'm', '-J'];
    title(`luthier exec ${from.node} -- ${argv.slice(0, -1).join(' ')}`);
    const { end } = JSON.parse(await runIn(from, argv, signal)) as {
      end: { sum_received: { bits_per_second: number } };
    };
    const rate = `${(end.sum_received.bits_per_second / 1e9).toFixed(2)} Gbit/s`;
    print(`${rate} received`);
    return `TCP ${from.node} → ${TO}: ${rate} for ${TCP_SECONDS} s`;
  } finally {
    server.kill();
    await ended;
  }
}

/** A host that shares an IPv6 LAN with the first, or is routed to; the target itself where it has an address. */
function peerOver6(network: NetworkState): string | undefined {
  const with6 = network.nodes.filter(
    ({ kind, name, ports }) =>
      kind === 'host' &&
      name !== FROM &&
      ports.some(({ addresses }) => addresses.some((address) => address.includes(':'))),
  );
  return with6.find(({ name }) => name === TO)?.name ?? with6[0]?.name;
}

/** Shows the command as a user would type it, and what it prints. */
async function runShown(from: NodeAccess, argv: readonly string[], signal: AbortSignal): Promise<string> {
  title(`luthier exec ${from.node} -- ${argv.join(' ')}`);
  const output = await runIn(from, argv, signal);
  print(output.trimEnd());
  return output;
}

async function runIn(from: NodeAccess, argv: readonly string[], signal: AbortSignal): Promise<string> {
  const { code, stdout, stderr } = await execute(from, argv, { signal, env: { PATH: process.env.PATH ?? '' } });
  if (code === 0) return stdout;
  throw new LuthierError('E_DEMO', `'${argv.join(' ')}' on ${from.node} ended with status ${code}`, {
    hint: (stderr.trim() || stdout.trim()).split('\n').slice(-3).join('\n  '),
  });
}

function title(text: string): void {
  print(`\n${colors.bold(`$ ${text}`)}`);
}

try {
  await demonstrate();
} catch (error) {
  process.stderr.write(renderFailure(failureOf(error), process.stderr.isTTY));
  process.exitCode = 1;
}
