/**
 * The other end of a VXLAN as Linux makes it: a namespace of the test's own, joined to an underlay by a veth, with a VXLAN
 * device. Whoever is in it is behind that VXLAN.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';
import { run, speaks, type Result } from './command.js';

export class VxlanPeer implements AsyncDisposable {
  readonly pid: number;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
    this.pid = process.pid!;
  }

  static async start(): Promise<VxlanPeer> {
    const child = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep infinity']);
    await speaks(child);
    const peer = new VxlanPeer(child);
    await peer.ip('link', 'set', 'dev', 'lo', 'up');
    return peer;
  }

  /** Its `eth0`, to an interface in the namespace of `pid`, which is there then. */
  async plug(pid: number, name: string, address: string): Promise<void> {
    const far = ['peer', 'name', 'eth0', 'netns', String(this.pid)];
    await ipIn(pid, 'link', 'add', 'name', name, 'type', 'veth', ...far);
    await this.ip('address', 'add', address, 'dev', 'eth0', 'nodad');
    await this.ip('link', 'set', 'dev', 'eth0', 'up');
    await ipIn(pid, 'link', 'set', 'dev', name, 'up');
  }

  /** A VXLAN device with an address, and always the same MAC for it: hosts remember, and it may be made anew. */
  async device(name: string, address: string, ...options: readonly string[]): Promise<void> {
    const host = Number(/(\d+)\/\d+$/.exec(address)![1]);
    const mac = `02:76:78:00:00:${(host & 255).toString(16).padStart(2, '0')}`;
    await this.ip('link', 'add', 'name', name, 'address', mac, 'type', 'vxlan', ...options);
    await this.ip('address', 'add', address, 'dev', name);
    await this.ip('link', 'set', 'dev', name, 'up');
  }

  ip(...args: readonly string[]): Promise<string> {
    return ipIn(this.pid, ...args);
  }

  run(...command: readonly string[]): Promise<Result> {
    return run('nsenter', [`--net=/proc/${this.pid}/ns/net`, ...command], {});
  }

  spawn(...command: readonly string[]): ChildProcess {
    return spawn('nsenter', [`--net=/proc/${this.pid}/ns/net`, ...command], { stdio: 'pipe' });
  }

  /** With the namespace go its interfaces, at either end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit');
  }
}

export async function ipIn(pid: number, ...args: readonly string[]): Promise<string> {
  const result = await run('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', ...args], {});
  expect(result, `ip ${args.join(' ')}`).toMatchObject({ code: 0 });
  return result.stdout;
}
