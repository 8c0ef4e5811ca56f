/**
 * Real hosts on a real switch process, for tests and benchmarks: a keeper, hosts as namespaces, a TAP in each, and a
 * compiled switch process that serves a configuration. Everything it makes is gone after `close`.
 */
import { NO_INPUTS, PLAIN } from '../../model/emulation.js';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SwitchConfig } from '../../model/messages.js';
import { native, nativeDirectory, TapOffload } from '../../native/binding.js';
import { KeeperClient } from '../../native/keeper.js';

const MAIN = join(import.meta.dirname, '../../dist/vswitch/main.js');
const MACHINE = 'local';
const OFFLOAD = TapOffload.csum | TapOffload.tso4 | TapOffload.tso6 | TapOffload.uso4 | TapOffload.uso6;

/** Why there can be no hosts with TAPs here; undefined when there can. */
export function labUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  return existsSync('/dev/net/tun') ? undefined : 'no /dev/net/tun';
}

/** Why there can be no switch process here either. */
export function switchUnavailable(): string | undefined {
  return labUnavailable() ?? (existsSync(MAIN) ? undefined : 'dist/vswitch/main.js is not built');
}

export interface LabHost {
  readonly name: string;
  readonly pid: number;
}

export interface TapOptions {
  readonly address?: string;
  readonly vnetHdr?: boolean;
  /** `TapOffload` bits; all by default. */
  readonly offload?: number;
  readonly mtuBytes?: number;
}

export class SwitchLab {
  readonly directory: string;
  readonly keeper: KeeperClient;
  readonly hosts = new Map<string, LabHost>();
  readonly #keeperProcess: ChildProcess;
  readonly #switches: ChildProcess[] = [];

  private constructor(directory: string, keeperProcess: ChildProcess, keeper: KeeperClient) {
    this.directory = directory;
    this.keeper = keeper;
    this.#keeperProcess = keeperProcess;
  }

  static async start(): Promise<SwitchLab> {
    const directory = mkdtempSync(join(tmpdir(), 'luthier-lab-'));
    const socket = join(directory, 'keeper');
    const keeper = spawn(join(nativeDirectory, 'keeper'), [socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(keeper.stdout, 'data');
    return new SwitchLab(directory, keeper, KeeperClient.connect(socket));
  }

  /** A host without ports. */
  bareHost(name: string): LabHost {
    writeFileSync(join(this.directory, 'hosts'), '127.0.0.1 localhost\n');
    writeFileSync(join(this.directory, 'hostname'), `${name}\n`);
    const host = { name, pid: this.keeper.host(name, name, this.directory) };
    this.hosts.set(name, host);
    return host;
  }

  /** Opens a TAP in a host; the caller owns the descriptor. */
  openTap(host: LabHost, name: string, mac: string, options: TapOptions): number {
    return native.tapOpen({
      netns: `/proc/${host.pid}/ns/net`,
      name,
      mac,
      mtuBytes: options.mtuBytes ?? 1500,
      ...(options.vnetHdr === true ? { vnetHdr: true, offload: options.offload ?? OFFLOAD } : {}),
    });
  }

  /** A host with eth0, a TAP whose descriptor the keeper holds as `local/tap:NAME:eth0`. */
  async host(name: string, options: TapOptions = {}): Promise<LabHost> {
    const host = this.bareHost(name);
    const mac = `02:00:00:00:00:${this.hosts.size.toString(16).padStart(2, '0')}`;
    const fd = this.openTap(host, 'eth0', mac, options);
    this.keeper.put(`${MACHINE}/tap:${name}:eth0`, fd);
    native.close(fd);
    await this.exec(name, 'sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=1');
    if (options.address !== undefined) await this.exec(name, 'ip', 'addr', 'add', options.address, 'dev', 'eth0');
    await this.exec(name, 'ip', 'link', 'set', 'eth0', 'up');
    return host;
  }

  /** A configuration of one switch with all hosts. */
  oneSwitch(vnetHdr = false, mtuBytes = 1500): SwitchConfig {
    const names = [...this.hosts.keys()];
    return {
      network: 'lab',
      networkNumber: 1,
      seed: 1,
      inputs: NO_INPUTS,
      machine: MACHINE,
      bridges: [{ name: 's1', transparent: false, ageingSeconds: 300, fdbLimit: 4096 }],
      devices: names.map((name) => ({ kind: 'tap', name: `tap:${name}:eth0`, mtuBytes, vnetHdr })),
      links: names.map((name) => ({
        name: `${name}--s1`,
        ends: [{ tap: `tap:${name}:eth0` }, { bridge: 's1' }],
        forward: PLAIN,
        reverse: PLAIN,
      })),
    };
  }

  /** Runs a command inside a host; resolves with its standard output. */
  async exec(host: string, ...command: readonly string[]): Promise<string> {
    const { pid } = this.hosts.get(host)!;
    const { stdout } = await promisify(execFile)(join(nativeDirectory, 'nsrun'), [
      'exec',
      String(pid),
      '--',
      ...command,
    ]);
    return stdout;
  }

  spawnIn(host: string, command: readonly string[]): ChildProcess {
    const { pid } = this.hosts.get(host)!;
    return spawn(join(nativeDirectory, 'nsrun'), ['exec', String(pid), '--', ...command], { stdio: 'pipe' });
  }

  /** `log`: where it writes its log, as `stdio` of `spawn` has it; a pipe: `LabSwitch.log`. */
  startSwitch(args: readonly string[] = [], log: 'pipe' | number = 'pipe'): LabSwitch {
    const path = join(this.directory, `switch${this.#switches.length}`);
    const listening = native.unixListen(path, 16);
    const keeper = native.seqpacketConnect(join(this.directory, 'keeper'));
    KeeperClient.on(keeper).restrict(`${MACHINE}/`);
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', log, listening, keeper] });
    native.close(listening);
    native.close(keeper);
    this.#switches.push(child);
    return new LabSwitch(child, path);
  }

  async close(): Promise<void> {
    for (const child of this.#switches) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    this.keeper.exit();
    this.keeper.close();
    if (this.#keeperProcess.exitCode === null) await once(this.#keeperProcess, 'exit');
    rmSync(this.directory, { recursive: true });
  }
}

export class LabSwitch {
  readonly process: ChildProcess;
  readonly path: string;
  /** What it wrote to its log so far. */
  log = '';

  constructor(child: ChildProcess, path: string) {
    this.process = child;
    this.path = path;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
  }

  /** The status and the parsed body. */
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: this.path, method, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode!, body: JSON.parse(text) as unknown });
        });
      });
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
