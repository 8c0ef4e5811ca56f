/** When a host sent frames, as the kernel writes it down for whoever reads the TAP. Needs CAP_BPF, as in an agent of root. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { native } from './binding.js';
import { failure, Io, KeeperFixture, nsrunPath, own, releaseAll } from './fixture.js';

const HEADER_BYTES = 14 + 20 + 8;
const FRAMES = 64;
/** Of what a host sends by itself when an interface is new. */
const QUIET = ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'];

/** Whether this process may load a program: containers often forbid it to root, too. No event is a TAP, which is found out last. */
const refusal = failure(() => native.arrivalsOpen(own(native.eventfd()))).errno;
const mayLoad = refusal === 'ENOTTY';
releaseAll();

afterEach(releaseAll);

async function inHost(pid: number, argv: readonly string[]): Promise<void> {
  const child = spawn(nsrunPath, ['exec', String(pid), '--', ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });
  expect(await once(child, 'close')).toEqual([0, null]);
}

class Host {
  readonly io = new Io(4 * FRAMES, FRAMES);
  readonly fd: number;
  readonly arrivals: number;
  readonly #pid: number;

  private constructor(pid: number) {
    this.#pid = pid;
    this.fd = own(native.tapOpen({ netns: `/proc/${pid}/ns/net`, name: 'eth0', mtuBytes: 1400 }));
    this.arrivals = native.arrivalsCreate(own(native.arrivalsOpen(this.fd)));
  }

  static async make(keeper: KeeperFixture): Promise<Host> {
    const host = new Host(keeper.host('h1'));
    await inHost(host.#pid, ['sysctl', '-qw', ...QUIET]);
    const commands = [
      'addr add 10.0.0.1/24 dev eth0',
      'link set dev eth0 up',
      'neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev eth0',
    ];
    for (const command of commands) await inHost(host.#pid, ['ip', ...command.split(' ')]);
    return host;
  }

  /** The TAP has so many frames at most for its reader. */
  async holdAtMost(frames: number): Promise<void> {
    await inHost(this.#pid, ['ip', 'link', 'set', 'dev', 'eth0', 'txqueuelen', String(frames)]);
  }

  /** Sends datagrams of so many bytes; all have been sent when it resolves. */
  async send(...bytes: number[]): Promise<void> {
    const source = `const s = require('node:dgram').createSocket('udp4');
      const next = ([first, ...rest]) => first === undefined ? s.close()
        : s.send(Buffer.alloc(first), 9, '10.0.0.2', () => next(rest));
      next(${JSON.stringify(bytes)});`;
    await inHost(this.#pid, [process.execPath, '-e', source]);
  }

  get nowNs(): number {
    native.tick(this.io.handle);
    return this.io.arrays.clock[0]!;
  }

  /** Reads at most so many frames: payload bytes of each, and when it came; 0: unknown. */
  read(most = FRAMES): [bytes: number, cameNs: number][] {
    const { io } = this;
    const { lengths, came } = io.arrays;
    io.offerSlots(most);
    const frames = native.tapRead(io.handle, this.fd, most, 1, most, 0, 0);
    expect(frames).toBeGreaterThanOrEqual(0);
    if (frames > 0) expect(native.arrivalTimes(io.handle, this.arrivals, frames)).toBe(0);
    return Array.from({ length: frames }, (_, i) => [lengths[i]! - HEADER_BYTES, came[i]!]);
  }

  [Symbol.dispose](): void {
    native.arrivalsDestroy(this.arrivals);
  }
}

describe.skipIf(!mayLoad)('when frames came', () => {
  it('is when their host sent them, not when they are read', async () => {
    await using keeper = await KeeperFixture.start();
    using host = await Host.make(keeper);
    const beganNs = host.nowNs;
    await host.send(100, 200, 100);
    const sentNs = host.nowNs;
    await sleep(50);
    const frames = host.read();
    expect(frames.map(([bytes]) => bytes)).toEqual([100, 200, 100]);
    const times = frames.map(([, cameNs]) => cameNs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times[0]).toBeGreaterThan(beganNs);
    expect(times[2]).toBeLessThan(sentNs);
  });

  it('is told of frames that are read one by one, from the first that left nothing behind', async () => {
    await using keeper = await KeeperFixture.start();
    using host = await Host.make(keeper);
    await host.send(1, 2, 3);
    expect([host.read(1), host.read(1)]).toEqual([[[1, 0]], [[2, 0]]]);
    expect(host.read()[0]![1]).toBeGreaterThan(0);
    await host.send(4, 5);
    const [[[, fourth]], [[, fifth]]] = [host.read(1), host.read(1)] as [[[number, number]], [[number, number]]];
    expect(fourth).toBeGreaterThan(0);
    expect(fifth).toBeGreaterThan(fourth);
  });

  it('is not told of more than wait at once, and is again after them', async () => {
    await using keeper = await KeeperFixture.start();
    using host = await Host.make(keeper);
    await host.send(1);
    expect(host.read()[0]![1]).toBeGreaterThan(0);
    const beganNs = host.nowNs;
    await host.send(...Array<number>(300).fill(20));
    const sentNs = host.nowNs;
    const frames = Array.from({ length: 6 }, () => host.read()).flat();
    expect(frames.length).toBe(300);
    for (const [, cameNs] of frames.filter(([, cameNs]) => cameNs !== 0)) {
      expect(cameNs).toBeGreaterThan(beganNs);
      expect(cameNs).toBeLessThan(sentNs);
    }
    expect(frames[0]![1]).toBe(0);
    const againNs = host.nowNs;
    await host.send(7);
    const [[bytes, cameNs]] = host.read() as [[number, number]];
    expect(bytes).toBe(7);
    expect(cameNs).toBeGreaterThan(againNs);
  });

  it('is not that of a frame which the TAP has dropped', async () => {
    await using keeper = await KeeperFixture.start();
    using host = await Host.make(keeper);
    await host.holdAtMost(4);
    await host.send(20);
    expect(host.read()[0]![1]).toBeGreaterThan(0);
    const beganNs = host.nowNs;
    await host.send(...Array<number>(5).fill(20));
    expect(host.read().map(([, cameNs]) => cameNs > beganNs)).toEqual([true, true, true, true]);
    await sleep(5);
    for (let n = 0; n < 3; n++) {
      const againNs = host.nowNs;
      await host.send(20);
      expect(host.read()[0]![1]).toBeGreaterThan(againNs);
    }
  });

  it('can be read by whoever is given its descriptor, and not be written', async () => {
    await using keeper = await KeeperFixture.start();
    using host = await Host.make(keeper);
    const second = own(native.arrivalsOpen(host.fd));
    const other = native.arrivalsCreate(second);
    await host.send(5);
    const { io } = host;
    io.offerSlots(8);
    expect(native.tapRead(io.handle, host.fd, 8, 1, 8, 0, 0)).toBe(1);
    // What was opened last is told: the TAP has one such program.
    native.arrivalTimes(io.handle, other, 1);
    expect(io.arrays.came[0]).toBeGreaterThan(0);
    native.arrivalTimes(io.handle, host.arrivals, 1);
    expect(io.arrays.came[0]).toBe(0);
    native.arrivalsDestroy(other);
  });
});

describe('what is amiss', () => {
  it('is said', () => {
    expect(['ENOTTY', 'EPERM']).toContain(refusal);
    const event = own(native.eventfd());
    expect(failure(() => native.arrivalsCreate(event)).syscall).toBe('mmap');
    expect(failure(() => native.arrivalsCreate(-1)).name).toBe('RangeError');
    expect(failure(() => native.arrivalsDestroy(99)).name).toBe('RangeError');
    const io = new Io(1);
    expect(native.arrivalTimes(io.handle, 99, 1)).toBeLessThan(0);
    expect(native.arrivalTimes(99, 1, 1)).toBeLessThan(0);
  });
});
