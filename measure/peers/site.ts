/**
 * Where a peer is set up: two hosts of a network of Luthier's, and between them what the peer puts there. In one switch's
 * place stands a host between the two; on two machines the peer's programs run on the machines, and the devices that they
 * make are moved into the hosts, with their sockets left on the underlay.
 *
 *     NAME-1 ── … (in NAME) … ── NAME-2           NAME-1 ── … (on machine a) ══ underlay ══ (on machine b) … ── NAME-2
 *
 * Nothing of it outlives the network: processes end with their namespaces' first, and files are on a /run that is in
 * memory and only there.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execute } from '../../control/exec.js';
import { LuthierError } from '../../model/errors.js';
import type { RawScenario } from '../../model/scenario.js';
import type { Arm, StageNetwork } from '../stage.js';
import { underlayAddress } from '../tunnel-stage.js';
import type { Way } from '../traffic.js';
import { Daemon } from './daemon.js';
import type { Peer, PeerPlace } from './peer.js';

/** One end of what a peer makes. */
export interface Side {
  /** Role of the namespaces that the peer's programs run in: of the host between, or of the machine. */
  readonly at: string;
  /** Role of the host at this end. */
  readonly host: string;
  /** The host's, in a network of 24 bits that no other peer has. */
  readonly address: string;
  /** Of the machine, on the underlay; empty in one switch's place. */
  readonly underlay: string;
}

const PATIENCE_MS = 20_000;

/** The hosts that a peer is measured with, for a scenario. */
export function hostsOf({ name, place }: Peer): RawScenario['nodes'] {
  const machine = (side: 'a' | 'b'): { machine?: string } => (place === 'machines' ? { machine: side } : {});
  return {
    [`${name}-1`]: { kind: 'host', ...machine('a') },
    [`${name}-2`]: { kind: 'host', ...machine('b') },
    ...(place === 'switch' ? { [name]: { kind: 'host' } } : {}),
  };
}

export class Site {
  readonly sides: readonly [Side, Side];
  /** For what the peer keeps in files: on each side another one, in memory. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly #network: StageNetwork;
  readonly #peer: Peer;
  readonly #daemons: Daemon[] = [];

  private constructor(network: StageNetwork, peer: Peer, sides: readonly [Side, Side], signal: AbortSignal) {
    this.#network = network;
    this.#peer = peer;
    this.sides = sides;
    this.folder = `/run/${peer.name}`;
    this.signal = signal;
  }

  /** `index`: of the peer in its network, for its addresses. */
  static async prepare(network: StageNetwork, peer: Peer, index: number, signal: AbortSignal): Promise<Site> {
    const side = async (number: 1 | 2, machine: 'a' | 'b'): Promise<Side> => ({
      at: placeOf(peer.place, peer.name, machine),
      host: `host:${peer.name}-${number}`,
      address: `10.9.${index}.${number}`,
      underlay: peer.place === 'machines' ? await underlayAddress(network, machine) : '',
    });
    const site = new Site(network, peer, [await side(1, 'a'), await side(2, 'b')], signal);
    for (const at of new Set(site.sides.map((one) => one.at))) {
      await site.output(at, ['sh', '-c', MOUNT_RUN]);
      await site.output(at, ['mkdir', site.folder]);
    }
    return site;
  }

  /** Starts a program that runs until the site is ended. */
  async run(role: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Daemon> {
    const daemon = new Daemon(this.#network.inside(role), argv, env);
    this.#daemons.push(daemon);
    await daemon.pid();
    return daemon;
  }

  /** Of a program that ends. */
  async output(role: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const options = { signal: this.signal, env };
    const { code, stdout, stderr } = await execute(this.#network.inside(role), argv, options);
    if (code === 0) return stdout;
    const words = (stderr.trim() || stdout.trim()).split('\n').slice(-3).join('\n  ');
    throw new LuthierError(
      'E_BENCH',
      `'${argv.join(' ')}' ended with status ${code}`,
      words === '' ? {} : { hint: words },
    );
  }

  write(role: string, file: string, text: string): void {
    const path = this.path(role, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode: 0o600 });
  }

  /** A file of theirs, as this process finds it. */
  path(role: string, file: string): string {
    return `/proc/${this.#network.process(role).pid}/root${file}`;
  }

  pid(role: string): number {
    return this.#network.process(role).pid;
  }

  /** Runs `ip` commands there. */
  configure(role: string, lines: readonly string[]): Promise<void> {
    return this.#network.configure([this.#network.section(role), ...lines]);
  }

  /** A device, once it is there, becomes the host's. */
  async hand({ at, host, address }: Side, device: string): Promise<void> {
    await this.until(`${device} is there`, () => hasDevice(this.pid(at), device));
    await this.configure(at, [`link set dev ${device} name eth0 netns ${this.pid(host)}`]);
    await this.address(host, address);
  }

  async address(host: string, address: string): Promise<void> {
    await this.configure(host, ['link set dev eth0 up', `addr replace ${address}/24 dev eth0`]);
  }

  /** Waits for a state; throws when a program of the peer's has ended, or in the end. */
  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!(await holds())) {
      for (const daemon of this.#daemons) daemon.throwIfEnded();
      if (performance.now() > end)
        throw new LuthierError('E_BENCH', `waited ${PATIENCE_MS / 1000} s in vain: ${this.#peer.title}: ${what}`);
      await sleep(20, undefined, { signal: this.signal });
    }
  }

  /** Until the second host answers the first. */
  async answered(): Promise<void> {
    const [{ host }, { address }] = this.sides;
    const ping = ['ping', '-n', '-c', '1', '-W', '1', address];
    await this.until(`${address} answers`, async () => {
      const { code } = await execute(this.#network.inside(host), ping, { signal: this.signal });
      return code === 0;
    });
  }

  /** Tells once, of the first of its programs that ends by itself. */
  onEnd(listener: (failure: Error) => void): void {
    for (const daemon of this.#daemons) daemon.onEnd(listener);
  }

  async arm(): Promise<Arm> {
    const { name, title, version } = this.#peer;
    const [first, second] = this.sides;
    const way: Way = {
      from: await this.#network.access(nodeOf(first.host)),
      to: await this.#network.access(nodeOf(second.host)),
      address: second.address,
    };
    const processes = await Promise.all(this.#daemons.map((daemon) => daemon.pid()));
    const { stdout, stderr } = await execute(this.#network.inside(first.at), version, { signal: this.signal });
    const number = /\d+(?:\.\d+)+/.exec(stdout + stderr)?.[0];
    const known = number === undefined ? {} : { version: number };
    return { name, title, isReference: false, isPeer: true, ...known, way, processes, switches: processes };
  }

  /** The last first, as each may stand on those before. */
  async end(): Promise<void> {
    for (const daemon of this.#daemons.reverse()) await daemon.end();
  }
}

/** Once in each mount namespace, which has several peers on a machine. */
const MOUNT_RUN = 'grep -q "^luthier-bench /run " /proc/self/mounts || mount -t tmpfs luthier-bench /run';

function placeOf(place: PeerPlace, name: string, machine: 'a' | 'b'): string {
  return place === 'machines' ? `machine:${machine}` : `host:${name}`;
}

function nodeOf(role: string): string {
  return role.slice(role.indexOf(':') + 1);
}

/** /proc/PID/net/dev: an interface a line, after two of headings. */
function hasDevice(pid: number, name: string): boolean {
  const lines = readFileSync(`/proc/${pid}/net/dev`, 'utf8').split('\n');
  return lines.some((line) => line.trimStart().startsWith(`${name}:`));
}
