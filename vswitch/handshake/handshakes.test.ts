/** Two processes' handshakes in this one, with real TLS, engines that only remember, and a clock that stands still. */
import { NO_INPUTS } from '../../model/emulation.js';
import { afterEach, describe, expect, it } from 'vitest';
import { makeIdentity } from '../../control/certificate.js';
import type { SwitchConfig, SwitchIdentity } from '../../model/messages.js';
import type { Timer } from '../timer.js';
import { Handshakes } from './handshakes.js';

const NAMES = ['a', 'b'] as const;
type Name = (typeof NAMES)[number];
const other = { a: 'b', b: 'a' } as const;
const STRANGER = makeIdentity('a');
const IDENTITIES = { a: makeIdentity('a'), b: makeIdentity('b') };

/** Time passes only when it is told to; what is due at once is done at once. */
class StandingTimer implements Timer {
  #nowMs = 0;
  #wake: { atMs: number; wake: () => void } | undefined;

  nowMs(): number {
    return this.#nowMs;
  }

  wakeAt(atMs: number, wake: () => void): void {
    this.#wake = atMs === Infinity ? undefined : { atMs, wake };
    if (atMs <= this.#nowMs) setImmediate(() => this.pass(0));
  }

  pass(ms: number): void {
    const endMs = this.#nowMs + ms;
    while (this.#wake !== undefined && this.#wake.atMs <= endMs) {
      const { atMs, wake } = this.#wake;
      this.#nowMs = Math.max(this.#nowMs, atMs);
      this.#wake = undefined;
      wake();
    }
    this.#nowMs = endMs;
  }
}

class Process {
  readonly timer = new StandingTimer();
  readonly handshakes: Handshakes;
  readonly log: string[] = [];
  /** By epoch: keys as hexadecimal text. */
  readonly installed = new Map<number, { send: string; receive: string }>();
  used: number | undefined;
  readonly marks: string[] = [];
  readonly dropped: number[] = [];
  isCut = false;
  /** Of the engine, to all keys. */
  refusal: string | undefined;

  constructor(pair: () => Record<Name, Process>, name: Name) {
    const hex = (keys: readonly Uint8Array[]): string => Buffer.concat(keys).toString('hex');
    this.handshakes = new Handshakes(
      {
        lanesOf: () => 1,
        installKeys: (_, { epoch, send, receive }) => {
          if (this.refusal !== undefined) return Promise.reject(new Error(this.refusal));
          this.installed.set(epoch, { send: hex(send), receive: hex(receive) });
          return Promise.resolve();
        },
        useKeys: (_, epoch) => {
          this.used = epoch;
          return Promise.resolve();
        },
        dropKeys: (_, epoch) => {
          this.dropped.push(epoch);
          this.installed.delete(epoch);
        },
        markHandshakes: (_, mark) => this.marks.push(Buffer.from(mark).toString('hex')),
        sendHandshake: (_, payload, isSealed) => {
          const peer = pair()[other[name]];
          const isOpened = !isSealed || peer.installed.has(this.used!);
          if (!this.isCut && isOpened) setImmediate(() => peer.handshakes.received(`udp:${name}`, payload, isSealed));
        },
      },
      this.timer,
      {
        failed: (peer, reason) => this.log.push(`${peer}: ${reason}`),
        remarked: (peer, remark) => this.log.push(`${peer}: ${remark}`),
        recovered: (peer) => this.log.push(`${peer}: new keys`),
      },
    );
  }
}

function config(machine: Name, seal: 'required' | 'none' = 'required', networkNumber = 7): SwitchConfig {
  const peer = { address: '192.0.2.1', port: 7000 };
  const name = `udp:${other[machine]}` as const;
  const device = { kind: 'udp', name, peer, pathMtuBytes: 1500, ipHeaderBytes: 20, seal } as const;
  return {
    network: 'n',
    networkNumber,
    machine,
    bridges: [],
    devices: [device],
    links: [],
    seed: 1,
    inputs: NO_INPUTS,
  };
}

function identity(machine: Name, peer: { certificate: string } = IDENTITIES[other[machine]]): SwitchIdentity {
  return { ...IDENTITIES[machine], peers: { [other[machine]]: peer.certificate }, aesIsFast: true };
}

function processes(): Record<Name, Process> {
  const pair: Record<Name, Process> = {
    a: new Process(() => pair, 'a'),
    b: new Process(() => pair, 'b'),
  };
  return pair;
}

describe('the handshakes of a switch process', () => {
  let pair: Record<Name, Process>;
  const start = async (name: Name, peer?: { certificate: string }): Promise<void> => {
    await pair[name].handshakes.identify(identity(name, peer));
    pair[name].handshakes.configure(config(name), [`udp:${other[name]}`]);
  };
  const settled = (): Promise<unknown> => Promise.all(NAMES.map((name) => pair[name].handshakes.settled()));

  afterEach(() => {
    for (const name of NAMES) pair[name].handshakes.configure({ ...config(name), devices: [] }, []);
  });

  it('give both engines the same keys', async () => {
    pair = processes();
    await Promise.all(NAMES.map((name) => start(name)));
    await settled();
    const { a, b } = pair;
    expect(a.used).toBe(b.used);
    const [keysA, keysB] = [a.installed.get(a.used!)!, b.installed.get(b.used!)!];
    expect([keysA.send, keysA.receive]).toEqual([keysB.receive, keysB.send]);
    expect(keysA.send).not.toBe(keysA.receive);
    expect(a.marks).toEqual(b.marks);
    expect(a.marks[0]).toMatch(/^[0-9a-f]{16}$/);
    expect(a.handshakes.states).toEqual([
      { name: 'udp:b', peer: 'b', state: 'sealed', algorithm: 'aes-256-gcm', epochAgeSeconds: 0, rekeys: 0 },
    ]);
    expect(a.log).toEqual([]);
  });

  it('are made anew where a device was opened anew, and left alone else', async () => {
    pair = processes();
    await Promise.all(NAMES.map((name) => start(name)));
    await settled();
    const { a, b } = pair;
    const before = a.used;
    a.handshakes.configure(config('a'), []);
    expect(a.handshakes.states[0]!.state).toBe('sealed');
    a.handshakes.configure(config('a'), ['udp:b']);
    // The engine wiped them with the device, and would not know which they were.
    expect(a.dropped).toEqual([]);
    expect(a.handshakes.states[0]!.state).toBe('handshaking');
    expect(b.handshakes.states[0]!.state).toBe('sealed');
    await a.handshakes.settled();
    await expect.poll(() => b.used !== before && a.used === b.used).toBe(true);
  });

  it('say why there are no keys, once a minute, and that they came after all', async () => {
    pair = processes();
    // To b, a is somebody else.
    await Promise.all([start('a'), start('b', STRANGER)]);
    await expect.poll(() => NAMES.map((name) => pair[name].log.length)).toEqual([1, 1]);
    expect(pair.a.log).toEqual(['b: b gave the handshake up: its log says why']);
    expect(pair.b.log).toEqual(['a: a showed another certificate than the one that this machine has of it']);
    for (const name of NAMES) expect(pair[name].handshakes.states[0]!.state).toBe('failed');
    // It is tried again and again meanwhile, which nobody hears of.
    for (let seconds = 0; seconds < 59; seconds++) for (const name of NAMES) pair[name].timer.pass(1_000);
    expect(NAMES.map((name) => pair[name].log.length)).toEqual([1, 1]);
    await start('b');
    for (const name of NAMES) pair[name].handshakes.configure(config(name), [`udp:${other[name]}`]);
    await settled();
    await expect.poll(() => NAMES.map((name) => pair[name].log.at(-1))).toEqual(['b: new keys', 'a: new keys']);
  });

  it('say once a minute what comes of another version or network, and remark it beside a state that stays', async () => {
    pair = processes();
    await Promise.all(NAMES.map((name) => start(name)));
    await settled();
    const { timer, handshakes, log } = pair.a;
    // The last acknowledgements are on their way.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 100; i++) handshakes.foreign('udp:b', 2 + i, 0);
    handshakes.foreign('udp:b', 1, 9);
    expect(log).toEqual(['b: b speaks version 2 of the wire format (this machine 1)']);
    const remark = "b belongs to another network (number 9, this machine's is 7)";
    expect(handshakes.states).toMatchObject([{ state: 'sealed', remark }]);
    expect(handshakes.states[0]!.reason).toBeUndefined();
    timer.pass(60_000);
    expect(handshakes.states[0]!.remark).toBeUndefined();
    handshakes.foreign('udp:b', 1, 9);
    expect(log.slice(1)).toEqual([`b: ${remark}`]);
    // What fails has lines of its own.
    handshakes.spent('udp:b', pair.a.used!);
    expect(log[2]).toContain('sealed as much as they may');
    expect(handshakes.states[0]).toMatchObject({ state: 'failed', remark });
    await expect.poll(() => handshakes.states[0]!.state).toBe('sealed');
  });

  it('fail where the engine refuses the keys, and come when it does not', async () => {
    pair = processes();
    pair.b.refusal = 'no room';
    await Promise.all(NAMES.map((name) => start(name)));
    const reason = "this machine's switch does not take the keys: no room";
    await expect.poll(() => pair.b.log).toEqual([`a: ${reason}`]);
    expect(pair.b.handshakes.states).toMatchObject([{ state: 'failed', reason }]);
    pair.b.refusal = undefined;
    for (let i = 0; i < 6; i++) for (const name of NAMES) pair[name].timer.pass(1_000);
    await settled();
    expect(pair.a.handshakes.states).toMatchObject([{ state: 'sealed' }]);
  });

  it('of tunnels that are not to be sealed do nothing', async () => {
    pair = processes();
    for (const name of NAMES) pair[name].handshakes.configure(config(name, 'none'), [`udp:${other[name]}`]);
    await settled();
    expect(pair.a.handshakes.states).toEqual([{ name: 'udp:b', peer: 'b', state: 'unsealed' }]);
  });

  it('tell whoever waits how it stands when nothing comes of them', async () => {
    pair = processes();
    pair.a.handshakes.configure(config('a'), ['udp:b']);
    expect(pair.a.handshakes.states[0]).toMatchObject({
      state: 'failed',
      reason: 'this machine has no certificate of b',
    });
    pair.a.handshakes.configure({ ...config('a'), devices: [] }, []);
    await start('a');
    pair.a.isCut = true;
    const waiting = pair.a.handshakes.settled();
    pair.a.timer.pass(9_999);
    pair.a.timer.pass(1);
    expect(await waiting).toMatchObject([{ peer: 'b', state: 'failed', reason: 'b does not answer' }]);
  });
});
