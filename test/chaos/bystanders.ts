/**
 * What is none of a round's business, and must not notice it: another Luthier with a network of its own, in which a TCP
 * connection never stands, and a network namespace with interfaces that no Luthier ever made.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentClient } from '../../control/client.js';
import { execArguments } from '../../control/exec.js';
import { loadText } from '../../control/scenario/index.js';
import { pathsFrom } from '../../control/paths.js';
import { isMachineRoot } from '../../control/privileges.js';
import { isAlive, processId, type ProcessId } from '../../control/process.js';
import { agentPidOf } from '../e2e/census.js';
import { QUICK, run, speaks } from '../e2e/command.js';
import type { Bundle } from './bundle.js';

const SCENARIO = loadText(
  `
name: bystander
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host${isMachineRoot() ? ', cpu: 0.5' : ''} }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`,
  'bystander.yaml',
);
const PORT = '7000';

export class Bystanders implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'lt-bystander-'));
  readonly #paths = pathsFrom(
    { LUTHIER_RUNTIME_DIR: join(this.#directory, 'run'), LUTHIER_STATE_DIR: join(this.#directory, 'state') },
    process.getuid!(),
  );
  readonly #processes: { role: string; id: ProcessId }[] = [];
  #heart: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #said = '';
  #stranger: ChildProcess | undefined;

  static async start(bundle: Bundle): Promise<Bystanders> {
    const all = new Bystanders();
    await all.#startLuthier(bundle);
    await all.#startStranger();
    return all;
  }

  /** What has happened to them, in words; empty when nothing has. */
  async harm(): Promise<string[]> {
    const dead = this.#processes.filter(({ id }) => !isAlive(id)).map(({ role }) => `${role} is dead`);
    const links = await this.#strangersLinks();
    const [network] = await (await AgentClient.connect(this.#paths)).networks();
    return [
      ...dead,
      ...(network?.status === 'running' ? [] : [`the network is ${network?.status ?? 'gone'}`]),
      ...(links === 'lo v0 v1' ? [] : [`the stranger's interfaces are ${links}`]),
      ...(this.#heart?.exitCode === null && this.#heart.signalCode === null ? [] : [this.#said.trim()]),
    ];
  }

  /** Ends them; returns what became of the TCP connection. */
  async end(): Promise<{ beats: number; longestGapMs: number }> {
    this.#heart!.kill('SIGTERM');
    await this.#ended;
    const last = this.#said.trim().split('\n').at(-1)!;
    return JSON.parse(last) as { beats: number; longestGapMs: number };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#heart?.kill('SIGKILL');
    if (this.#stranger !== undefined) {
      const ended = once(this.#stranger, 'close');
      this.#stranger.kill('SIGKILL');
      await ended;
    }
    const agent = await AgentClient.tryConnect(this.#paths);
    for (const { name } of (await agent?.networks()) ?? []) await agent?.down(name);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #startLuthier(bundle: Bundle): Promise<void> {
    const agent = await AgentClient.connect(this.#paths);
    await agent.up(SCENARIO, QUICK);
    const { nodes, switchProcesses } = await agent.network('bystander');
    const [h1, h2] = nodes.filter(({ kind }) => kind === 'host');
    const keeper = Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${h1!.pid!}/status`, 'utf8'))![1]);
    const pids = { h1: h1!.pid!, h2: h2!.pid!, keeper, agent: agentPidOf(this.#directory)! };
    for (const [role, pid] of Object.entries(pids)) this.#watch(`the bystander's ${role}`, pid);
    for (const { pid } of switchProcesses) this.#watch("the bystander's switch", pid);
    const inside = async (node: string, ...argv: string[]): Promise<ChildProcess> => {
      const access = await agent.access('bystander', node);
      const { file, args } = execArguments(access, [process.execPath, bundle.file('heartbeat'), ...argv]);
      return spawn(file, args, { env: access.env, stdio: ['ignore', 'pipe', 'inherit'] });
    };
    const server = await inside('h2', 'serve', PORT);
    await speaks(server);
    this.#heart = await inside('h1', 'connect', '10.0.1.2', PORT);
    this.#ended = once(this.#heart, 'close');
    this.#heart.stdout!.on('data', (data: Buffer) => (this.#said += data.toString()));
    await speaks(this.#heart);
  }

  async #startStranger(): Promise<void> {
    const kinds = isMachineRoot() ? ['--net'] : ['--user', '--map-root-user', '--net'];
    const script = 'ip link add v0 type veth peer name v1 && echo ready && exec sleep infinity';
    this.#stranger = spawn('unshare', [...kinds, 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await speaks(this.#stranger);
    this.#watch('a process of no Luthier', this.#stranger.pid!);
  }

  async #strangersLinks(): Promise<string> {
    const kinds = isMachineRoot() ? ['--net'] : ['--user', '--preserve-credentials', '--net'];
    const links = await run('nsenter', [...kinds, '--target', String(this.#stranger!.pid), 'ip', '-j', 'link']);
    const names = (JSON.parse(links.stdout) as { ifname: string }[]).map(({ ifname }) => ifname);
    return names.sort().join(' ');
  }

  #watch(role: string, pid: number): void {
    this.#processes.push({ role: `${role} (pid ${pid})`, id: processId(pid)! });
  }
}
