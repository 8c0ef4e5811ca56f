/**
 * The addon against the kernel: errors, memory, time, UDP, and what data-path calls must refuse. TAPs: tap.test.ts.
 */
import { once } from 'node:events';
import { existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { native, nativeDirectory, UdpRefusal, ENDPOINT_BYTES, VNET_HDR_BYTES } from './binding.js';
import { failure, HEADROOM_BYTES, Io, isRoot, KeeperFixture, own, releaseAll, SLOT_BYTES } from './fixture.js';

const { EBADF, EINVAL, ECONNREFUSED, EMSGSIZE } = constants.errno;

afterEach(releaseAll);

/** Two sockets on the loopback, each connected to the other. */
function udpPair(address = '127.0.0.1'): [number, number] {
  const first = native.udpOpen({ bind: { address, port: 0 } });
  const at = native.udpAddress(first);
  const second = own(native.udpOpen({ bind: { address, port: 0 }, connect: at }));
  native.close(first);
  return [own(native.udpOpen({ bind: at, connect: native.udpAddress(second) })), second];
}

const LATENCY_DEVICE = '/dev/cpu_dma_latency';

const canAsk = isRoot && existsSync(LATENCY_DEVICE);

it.runIf(canAsk)(`asks processors to be awake, until it takes that back (root, ${LATENCY_DEVICE})`, async () => {
  const fd = own(openSync(LATENCY_DEVICE, 'r+'));
  /** The least that anybody asks for. */
  const askedUs = (): number => {
    const us = new Int32Array(1);
    readSync(fd, us, 0, 4, 0);
    return us[0]!;
  };
  expect(native.requestLatency(fd, 0)).toBe(0);
  expect(askedUs()).toBe(0);
  expect(native.requestLatency(fd, -1)).toBe(0);
  // Engines of other tests ask, too, for moments.
  await expect.poll(askedUs).toBeGreaterThan(0);
  expect(native.requestLatency(1_000_000, 0)).toBe(-EBADF);
});

describe('set-up calls', () => {
  it('carry syscall and errno in their errors', () => {
    expect(failure(() => native.seqpacketConnect('/no/such/socket'))).toEqual({
      name: 'Error',
      message: 'connect: No such file or directory',
      syscall: 'connect',
      errno: 'ENOENT',
    });
    expect(failure(() => native.close(1_000_000))).toMatchObject({ syscall: 'close', errno: 'EBADF' });
  });

  it('refuse arguments of another shape, by name', () => {
    const anything = native as unknown as Record<string, (...values: unknown[]) => unknown>;
    expect(failure(() => anything['close']!('3'))).toMatchObject({
      name: 'TypeError',
      message: 'fd: a number is needed',
    });
    expect(failure(() => anything['close']!(-1)).name).toBe('RangeError');
    expect(failure(() => anything['close']!(1.5)).message).toBe('fd: 1.5 is no integer from 0 to 2147483647');
    expect(failure(() => anything['close']!()).name).toBe('TypeError');
    expect(failure(() => anything['seqpacketConnect']!('x'.repeat(108))).message).toMatch(
      /108 bytes, and 107 is the most/,
    );
    expect(failure(() => anything['seqpacketConnect']!('a\0b')).message).toMatch(/NUL/);
    expect(failure(() => anything['tapOpen']!()).message).toBe('options: an object is needed');
    expect(failure(() => anything['tapOpen']!({ name: 'tap%d' })).message).toBe('name: not an interface name');
    expect(failure(() => anything['tapOpen']!({ name: '' })).message).toBe('name: not an interface name');
    expect(failure(() => anything['tapOpen']!({ name: 'sixteen-bytes-xx' })).message).toMatch(/16 bytes, and 15/);
    expect(failure(() => anything['tapOpen']!({ name: 't', mac: '02:00:00' })).message).toMatch(/^mac: /);
    expect(failure(() => anything['tapOpen']!({ name: 't', offload: 1 })).message).toBe('offload: needs vnetHdr');
    expect(failure(() => anything['tapOpen']!({ name: 't', vnetHdr: 1 })).message).toMatch(/^vnetHdr: true or false/);
    const bind = { address: '127.0.0.1', port: 0 };
    expect(failure(() => anything['udpOpen']!({ bind: { address: 'localhost', port: 0 } })).message).toMatch(
      /^bind: not/,
    );
    expect(failure(() => anything['udpOpen']!({ bind, connect: { address: '::1', port: 1 } })).message).toMatch(
      /family/,
    );
    expect(failure(() => anything['udpOpen']!({ bind, connect: { address: '127.0.0.1', port: 0 } })).name).toBe(
      'RangeError',
    );
    expect(failure(() => anything['ioCreate']!({ arena: new Uint16Array(1) })).message).toMatch(
      /^arena: not the typed/,
    );
    expect(failure(() => anything['arenaCreate']!(2 ** 31)).name).toBe('RangeError');
    expect(failure(() => anything['sendMessage']!(0, [1], [], 0)).message).toMatch(/^data: a Uint8Array/);
  });

  it('make descriptors that no child inherits, unless told to', () => {
    const fd = own(native.eventfd());
    const flags = () => /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!;
    const O_CLOEXEC = 0o2000000;
    expect(parseInt(flags(), 8) & O_CLOEXEC).toBe(O_CLOEXEC);
    native.setCloexec(fd, false);
    expect(parseInt(flags(), 8) & O_CLOEXEC).toBe(0);
    native.setCloexec(fd, true);
    expect(parseInt(flags(), 8) & O_CLOEXEC).toBe(O_CLOEXEC);
    expect(own(native.dup(fd))).toBeGreaterThan(2);
  });

  it('give sockets that a net.Server listens on', async () => {
    await using keeper = await KeeperFixture.start();
    const path = keeper.path('http.sock');
    const fd = native.unixListen(path, 8);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(failure(() => native.unixListen(path, 8))).toMatchObject({ syscall: 'bind', errno: 'EADDRINUSE' });
    const server = createServer((socket) => socket.end('hello')).listen({ fd });
    const client = connect(path);
    expect((await once(client, 'data')).toString()).toBe('hello');
    server.close();
  });

  it('wait for a message no longer than they were told', async () => {
    await using keeper = await KeeperFixture.start();
    const fd = own(native.seqpacketConnect(keeper.socket));
    expect(failure(() => native.receiveMessage(fd, 0)).errno).toBe('ETIMEDOUT');
    expect(failure(() => native.receiveMessage(fd, 5)).errno).toBe('ETIMEDOUT');
    expect(failure(() => native.sendMessage(fd, Buffer.alloc(0), [], 5)).errno).toBe('EMSGSIZE');
    expect(failure(() => native.sendMessage(fd, Buffer.alloc(131073), [], 5)).errno).toBe('EMSGSIZE');
    expect(failure(() => native.sendMessage(fd, Buffer.alloc(1), Array(65).fill(fd) as number[], 5)).name).toBe(
      'RangeError',
    );
    keeper.process.kill('SIGTERM');
    await keeper.ended();
    expect(failure(() => native.receiveMessage(fd, 1000)).errno).toBe('ECONNRESET');
    expect(failure(() => native.sendMessage(fd, Buffer.alloc(1), [], 5)).errno).toBe('EPIPE');
  });
});

describe('memory and time', () => {
  it('gives zeroed memory of exactly the size asked for', () => {
    const memory = native.arenaCreate(3 * SLOT_BYTES + 5);
    expect(memory.byteLength).toBe(3 * SLOT_BYTES + 5);
    expect(new Uint8Array(memory).every((byte) => byte === 0)).toBe(true);
  });

  it('accepts arrays over shared memory', () => {
    const shared = <T>(make: new (buffer: SharedArrayBuffer) => T, bytes: number) =>
      new make(new SharedArrayBuffer(bytes));
    const clock = shared(Float64Array, 40);
    const io = native.ioCreate({
      came: shared(Float64Array, 64 * 8),
      arena: shared(Uint8Array, SLOT_BYTES),
      iov: shared(Int32Array, 64),
      slots: shared(Int32Array, 64),
      lengths: shared(Int32Array, 64),
      cuts: shared(Int32Array, 64),
      ecn: shared(Uint8Array, 64),
      sources: shared(Int32Array, 64),
      endpoint: shared(Uint8Array, ENDPOINT_BYTES),
      vnet: shared(Uint8Array, 120),
      ready: shared(Int32Array, 64),
      clock,
    });
    expect(native.tick(io)).toBe(0);
    expect(clock[0]).toBeGreaterThan(0);
    native.ioDestroy(io);
    expect(native.tick(io)).toBe(-EINVAL);
    expect(failure(() => native.ioDestroy(io)).message).toBe('io: no such handle');
  });

  it('has clocks that count from the same moment, which is not to come', () => {
    const { arrays } = new Io(1);
    const zeroNs = Number(process.hrtime.bigint()) - 5e9;
    const now = [0, 1].map(() => {
      const io = native.ioCreate(arrays, zeroNs);
      native.tick(io);
      native.ioDestroy(io);
      return arrays.clock[0]!;
    });
    expect(now[0]).toBeGreaterThanOrEqual(5e9);
    expect(now[1]).toBeGreaterThanOrEqual(now[0]!);
    for (const wrong of [zeroNs + 1e15, -1, 0.5, NaN])
      expect(failure(() => native.ioCreate(arrays, wrong)).message).toContain('zeroNs');
  });

  it('waits until a descriptor is ready', () => {
    const { arrays, handle } = new Io(1);
    arrays.clock[1] = Infinity;
    const epoll = own(native.epollCreate());
    const [first, second] = [own(native.eventfd()), own(native.eventfd())];
    native.epollAdd(epoll, first, 7, 1);
    native.epollAdd(epoll, second, -8, 1);
    expect(native.eventfdSignal(second)).toBe(0);
    expect(native.wait(handle, epoll)).toBe(1);
    expect(arrays.ready[0]).toBe(-8);
    native.eventfdSignal(first);
    expect(native.wait(handle, epoll)).toBe(2);
    expect([...arrays.ready.subarray(0, 2)].sort()).toEqual([-8, 7]);
    expect(native.eventfdDrain(second)).toBe(1);
    expect(native.eventfdDrain(second)).toBe(0);
    native.epollModify(epoll, first, 9, 5);
    expect(native.wait(handle, epoll)).toBe(1);
    expect(arrays.ready[0]).toBe(9);
    native.epollRemove(epoll, first);
    arrays.clock[1] = 0;
    expect(native.wait(handle, epoll)).toBe(0);
    expect(failure(() => native.epollRemove(epoll, first))).toMatchObject({ syscall: 'epoll_ctl', errno: 'ENOENT' });
  });

  describe('where something is always ready', () => {
    const [paceNs, saved] = [40_000, 32];

    /** Waits so often, each time as it is made ready; nanoseconds. */
    const waits = (
      count: number,
      ready: (i: number, io: Io, fds: readonly number[]) => void,
      pace = paceNs,
    ): number => {
      const io = new Io(1);
      io.arrays.clock[3] = pace;
      const epoll = own(native.epollCreate());
      const fds = [own(native.eventfd()), own(native.eventfd())];
      fds.forEach((fd, i) => {
        native.epollAdd(epoll, fd, i + 1, 1);
      });
      native.tick(io.handle);
      const startNs = io.arrays.clock[0]!;
      let woken = 0;
      for (let i = 0; i < count; i++) {
        io.arrays.clock[1] = Infinity;
        ready(i, io, fds);
        woken += native.wait(io.handle, epoll);
      }
      expect(woken).toBe(count);
      return io.arrays.clock[0]! - startNs;
    };

    it('is woken at its pace by one side, but for what it has saved up', () => {
      const more = 100;
      const ns = waits(saved + more, (_, __, [one]) => {
        native.eventfdSignal(one!);
      });
      expect(ns).toBeGreaterThanOrEqual((more - 1) * paceNs);
    });

    /** Takes a millisecond or two: less than a thread is given at once on a machine that is busy. */
    const count = 500;
    it.each<[string, Parameters<typeof waits>]>([
      ['where it has none', [count, (_, __, [one]) => native.eventfdSignal(one!), 0]],
      [
        'where two sides wait for each other',
        [
          count,
          (i, _, fds) => {
            native.eventfdDrain(fds[1 - (i & 1)]!);
            native.eventfdSignal(fds[i & 1]!);
          },
        ],
      ],
      [
        'for what is due sooner, and owes nothing for it',
        [
          count,
          (i, { arrays }, [one]) => {
            native.eventfdSignal(one!);
            if (i < count - 1) arrays.clock[1] = arrays.clock[0]! + 1;
          },
        ],
      ],
    ])('has no pace %s', (_, given) => {
      // On a machine that is busy, the shortest of some is what it takes.
      const ns = Math.min(...Array.from({ length: 10 }, () => waits(...given)));
      expect(ns).toBeLessThan(0.9 * (count - saved) * paceNs);
    });
  });

  it('knows its thread', () => {
    expect(existsSync(`/proc/self/task/${native.threadId()}`)).toBe(true);
  });

  it('waits until its deadline, never less', () => {
    native.setTimerSlackNs(1);
    const { arrays, handle } = new Io(1);
    const epoll = own(native.epollCreate());
    for (const awakeNs of [0, 60_000, 1e9]) {
      arrays.clock[2] = awakeNs;
      for (const ns of [1, 999, 1_000_000, 3_000_000]) {
        native.tick(handle);
        const deadline = arrays.clock[0]! + ns;
        arrays.clock[1] = deadline;
        expect(native.wait(handle, epoll)).toBe(0);
        expect(arrays.clock[0]).toBeGreaterThanOrEqual(deadline);
      }
    }
    // What it says of ten waits of a millisecond; some may be over before they began.
    const waits = (awakeNs: number) =>
      Array.from({ length: 10 }, () => {
        native.tick(handle);
        const beganNs = arrays.clock[0]!;
        [arrays.clock[1], arrays.clock[2]] = [beganNs + 1e6, awakeNs];
        native.wait(handle, epoll);
        const [endedNs, , wasAwakeNs, , lateNs] = arrays.clock;
        return { tookNs: endedNs! - beganNs, wasAwakeNs: wasAwakeNs!, lateNs: lateNs! };
      });
    // It says how long it was awake: of a second before, all the time.
    const awake = waits(1e9);
    expect(awake.some(({ wasAwakeNs }) => wasAwakeNs > 0)).toBe(true);
    for (const { tookNs, wasAwakeNs, lateNs } of awake) {
      expect(wasAwakeNs).toBeLessThanOrEqual(tookNs);
      // It did not sleep; where it does, it says how late that ended.
      expect(lateNs).toBe(-1);
    }
    const asleep = waits(0);
    expect(asleep.some(({ lateNs }) => lateNs >= 0)).toBe(true);
    for (const { tookNs, lateNs } of asleep) expect(lateNs).toBeLessThanOrEqual(tookNs - 1e6);
    // Whoever becomes ready while it is awake is not kept waiting.
    const wake = own(native.eventfd());
    native.epollAdd(epoll, wake, 7, 1);
    native.eventfdSignal(wake);
    [arrays.clock[1], arrays.clock[2]] = [Infinity, 60_000];
    expect(native.wait(handle, epoll)).toBe(1);
    native.eventfdDrain(wake);
    arrays.clock[1] = 0;
    // It has passed by now: it only looks.
    expect(native.wait(handle, epoll)).toBe(0);
    expect(native.wait(handle, 1_000_000)).toBe(-EBADF);
    expect(native.wait(handle + 1, epoll)).toBe(-EINVAL);
    arrays.clock[2] = NaN;
    expect(native.wait(handle, epoll)).toBe(-EINVAL);
    [arrays.clock[1], arrays.clock[2]] = [NaN, 0];
    expect(native.wait(handle, epoll)).toBe(-EINVAL);
  });

  it('names a thread, and says how it shares time', async () => {
    // In one of its own: this one belongs to who runs the tests.
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { readFileSync } = require('node:fs');
      const native = require(workerData);
      const refused = (call) => { try { call(); } catch (error) { return error.errno ?? error.name; } };
      native.setThreadName('engine');
      native.setSliceNs(native.threadId(), 100_000);
      native.setSliceNs(0, 0);
      const task = '/proc/self/task/' + native.threadId();
      parentPort.postMessage({
        name: readFileSync(task + '/comm', 'utf8'),
        refused: [
          refused(() => native.setThreadName('sixteen letters!')),
          refused(() => native.setSliceNs(native.threadId(), 99_999)),
          refused(() => native.setSliceNs(2 ** 31 - 1, 100_000)),
          refused(() => native.setRealtime(native.threadId(), 100)),
          refused(() => native.setRealtime(2 ** 31 - 1, 1)),
        ],
        isRealtime: refused(() => native.setRealtime(native.threadId(), 1)) ?? policyOf(task),
        isShared: refused(() => native.setRealtime(native.threadId(), 0)) ?? policyOf(task),
      });
      function policyOf(task) {
        const stat = readFileSync(task + '/stat', 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
      }`;
    const worker = new Worker(source, { eval: true, workerData: join(nativeDirectory, 'luthier.napi.node') });
    const ended = once(worker, 'exit');
    const [said] = (await once(worker, 'message')) as [{ isRealtime: number | string; isShared: number }];
    await ended;
    expect(said).toMatchObject({
      name: 'engine\n',
      refused: ['RangeError', 'RangeError', 'ESRCH', 'RangeError', 'ESRCH'],
    });
    // SCHED_RR is 2 and SCHED_OTHER 0 (proc_pid_stat(5), field 41).
    expect([2, 'EPERM']).toContain(said.isRealtime);
    expect(said.isShared).toBe(0);
  });

  it('runs in worker threads, each with its own handles', async () => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const native = require(workerData);
      const clock = Float64Array.of(0, Infinity, 0, 0, 0);
      const arrays = () => ({ arena: new Uint8Array(native.arenaCreate(2048)), iov: new Int32Array(8),
        slots: new Int32Array(8), lengths: new Int32Array(8), cuts: new Int32Array(8), ecn: new Uint8Array(8), sources: new Int32Array(8), came: new Float64Array(8),
        endpoint: new Uint8Array(18), vnet: new Uint8Array(96), ready: new Int32Array(8), clock });
      const io = native.ioCreate(arrays());
      const epoll = native.epollCreate();
      const event = native.eventfd();
      native.epollAdd(epoll, event, 1, 1);
      for (let i = 0; i < 100; i++) native.ioCreate(arrays());
      parentPort.postMessage({ io, event });
      const ready = native.wait(io, epoll);
      parentPort.postMessage({ ready });
      for (const fd of [epoll, event]) native.close(fd);`;
    const library = join(nativeDirectory, 'luthier.napi.node');
    const run = async () => {
      const worker = new Worker(source, { eval: true, workerData: library });
      const end = once(worker, 'exit');
      const [{ io, event }] = (await once(worker, 'message')) as [{ io: number; event: number }];
      const woken = once(worker, 'message');
      native.eventfdSignal(event);
      return [io, await woken, await end];
    };
    // Handles count from 1 in each thread.
    const expected = [1, [{ ready: 1 }], [0]];
    expect(await Promise.all([run(), run(), run()])).toEqual([expected, expected, expected]);
  });
});

describe('UDP', () => {
  it('gathers and scatters batches of datagrams', () => {
    const [sender, receiver] = udpPair();
    const { arrays, handle } = new Io(16);
    arrays.arena.set(Buffer.from('one|two|three and twenty-four'), 5 * SLOT_BYTES);
    const at = 5 * SLOT_BYTES;
    arrays.iov.set([at, 3, at + 4, 3, at + 3, 1, at + 8, 21, at, 0]);
    arrays.lengths.set([9, 1, 3, 1]);
    expect(native.udpWrite(handle, sender, 1, 0, 3, 0, 0, 0, 0)).toBe(3);
    arrays.slots.set([3, 0, 2, 1]);
    const buffers = native.udpReceiverCreate(1);
    // Shorter than a header: said, and no slot taken.
    expect(native.udpRead(handle, buffers, receiver, 4, 0, 0)).toBe(3);
    expect([...arrays.lengths.subarray(0, 3)]).toEqual([-UdpRefusal.badDatagram, 25, -UdpRefusal.badDatagram]);
    expect(Buffer.from(arrays.arena.buffer, 3 * SLOT_BYTES + HEADROOM_BYTES, 25).toString()).toBe(
      'two|three and twenty-four',
    );
    expect(native.udpRead(handle, buffers, receiver, 4, 0, 0)).toBe(0);
    expect(native.udpMore(buffers)).toBe(0);
    native.udpReceiverDestroy(buffers);
  });

  it('lays a long datagram out as a frame, and keeps one that finds no room', () => {
    const [sender, receiver] = udpPair('::1');
    const { arrays, handle } = new Io(16);
    const data = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));
    arrays.arena.set(data, 8 * SLOT_BYTES);
    arrays.iov.set([8 * SLOT_BYTES, 5000, 8 * SLOT_BYTES, 5000, 8 * SLOT_BYTES, 1920]);
    arrays.lengths.set([1, 1, 1]);
    expect(native.udpWrite(handle, sender, 0, 0, 3, 0, 1, 0, 0)).toBe(3);
    arrays.slots.set([4, 1, 2, 3, 0, 5]);
    const buffers = native.udpReceiverCreate(1);
    expect(native.udpRead(handle, buffers, receiver, 5, 0, 0)).toBe(1);
    expect(native.udpMore(buffers)).toBe(2);
    expect(arrays.lengths[0]).toBe(5000);
    const read = (slot: number, bytes: number) =>
      Buffer.from(arrays.arena.buffer, slot * SLOT_BYTES + HEADROOM_BYTES, bytes);
    const whole = Buffer.concat([
      read(4, SLOT_BYTES - HEADROOM_BYTES),
      Buffer.from(arrays.arena.buffer, SLOT_BYTES, SLOT_BYTES),
      Buffer.from(arrays.arena.buffer, 2 * SLOT_BYTES, 5000 - (SLOT_BYTES - HEADROOM_BYTES) - SLOT_BYTES),
    ]);
    expect(whole.equals(data)).toBe(true);
    expect(native.udpRead(handle, buffers, receiver, 2, 0, 0)).toBe(0);
    expect(native.udpMore(buffers)).toBe(2);
    expect(native.udpRead(handle, buffers, receiver, 4, 0, 0)).toBe(2);
    expect([...arrays.lengths.subarray(0, 2)]).toEqual([5000, 1920]);
    native.udpReceiverDestroy(buffers);
  });

  it('hears nobody but its peer, and says when the peer is not there', () => {
    const [first, second] = udpPair();
    const stranger = own(
      native.udpOpen({ bind: { address: '127.0.0.1', port: 0 }, connect: native.udpAddress(first) }),
    );
    const { arrays, handle } = new Io(4);
    arrays.iov.set([0, 100]);
    arrays.lengths.set([1]);
    // The kernel refuses the stranger with an ICMP error, which its next call tells.
    expect(native.udpWrite(handle, stranger, 0, 0, 1, 0, 0, 0, 0)).toBe(1);
    expect(native.udpWrite(handle, stranger, 0, 0, 1, 0, 0, 0, 0)).toBe(-ECONNREFUSED);
    expect(native.udpWrite(handle, second, 0, 0, 1, 0, 0, 0, 0)).toBe(1);
    arrays.slots.set([0, 1]);
    const buffers = native.udpReceiverCreate(1);
    expect(native.udpRead(handle, buffers, first, 2, 0, 0)).toBe(1);
    expect(arrays.lengths[0]).toBe(100);
    native.udpReceiverDestroy(buffers);
  });

  it('never fragments', () => {
    const [sender] = udpPair();
    const { arrays, handle } = new Io(40);
    arrays.iov.set([0, 65_508]);
    arrays.lengths.set([1]);
    expect(native.udpWrite(handle, sender, 0, 0, 1, 0, 0, 0, 0)).toBe(-EMSGSIZE);
  });

  it('has the receive buffer that was asked for, where the machine allows it', () => {
    const bytes = (ask: number) => {
      const fd = own(native.udpOpen({ bind: { address: '127.0.0.1', port: 0 }, receiveBufferBytes: ask }));
      return native.udpReceiveBufferBytes(fd);
    };
    // The kernel doubles it, for its own bookkeeping: socket(7).
    expect(bytes(100_000)).toBe(200_000);
    if (isRoot) expect(bytes(16 << 20)).toBe(32 << 20);
  });
});

describe('data-path calls', () => {
  it('refuse what lies outside the arrays', () => {
    const [sender, receiver] = udpPair();
    const { arrays, handle } = new Io(4, 8, 16);
    const write = (iov: number[], lengths: number[], first = 0, entry = 0, count = lengths.length) => {
      arrays.iov.set(iov);
      arrays.lengths.set(lengths);
      return native.udpWrite(handle, sender, first, entry, count, 0, 1, 0, 0);
    };
    expect(write([0, 1], [1])).toBe(1);
    expect(write([4 * SLOT_BYTES - 1, 1], [1])).toBe(1);
    expect(write([4 * SLOT_BYTES - 1, 2], [1])).toBe(-EINVAL);
    expect(write([-1, 2], [1])).toBe(-EINVAL);
    expect(write([0, -1], [1])).toBe(-EINVAL);
    expect(write([0x7fffffff, 0x7fffffff], [1])).toBe(-EINVAL);
    expect(write([0, 1], [0])).toBe(-EINVAL);
    expect(write([0, 1], [-1])).toBe(-EINVAL);
    expect(write([0, 1], [9])).toBe(-EINVAL);
    expect(write([0, 1], [1], 0, 8)).toBe(-EINVAL);
    expect(write([0, 1], [1], 0, -1)).toBe(-EINVAL);
    expect(write([0, 1], [1], -1)).toBe(-EINVAL);
    expect(write([0, 1], [1], 8)).toBe(-EINVAL);
    expect(write([0, 1], [1], 0, 0, 9)).toBe(-EINVAL);
    expect(write([0, 1], [1], 0x7fffffff, 0, 0x7fffffff)).toBe(-EINVAL);
    // The good datagrams before a bad one are sent.
    expect(write([0, 1, 0, 1, -1, 1], [1, 1, 1])).toBe(2);

    const buffers = native.udpReceiverCreate(1);
    const read = (slots: number[], count: number, keyring = 0) => {
      arrays.slots.set(slots);
      return native.udpRead(handle, buffers, receiver, count, keyring, 0);
    };
    expect(read([4], 1)).toBe(-EINVAL);
    expect(read([-1], 1)).toBe(-EINVAL);
    expect(read([0], 17)).toBe(-EINVAL);
    expect(read([0], -1)).toBe(-EINVAL);
    expect(read([0], 0x7fffffff)).toBe(-EINVAL);
    expect(read([0], 1, 99)).toBe(-EINVAL);
    expect(native.udpRead(handle, 99, receiver, 1, 0, 0)).toBe(-EINVAL);
    // Datagrams of one byte: taken, and refused by length.
    expect(read([0, 1, 2, 3], 4)).toBe(4);
    native.udpReceiverDestroy(buffers);

    for (const [vnet, ahead] of [
      [0, 0],
      [1, 0],
      [0, 8],
      [1, 8],
    ] as const) {
      expect(native.tapRead(handle, receiver, 17, 1, 1, vnet, ahead)).toBe(-EINVAL);
      expect(native.tapRead(handle, receiver, 4, 0, 1, vnet, ahead)).toBe(-EINVAL);
      expect(native.tapRead(handle, receiver, 4, 1, 9, vnet, ahead)).toBe(-EINVAL);
      expect(native.tapRead(handle, receiver, -1, 1, 1, vnet, ahead)).toBe(-EINVAL);
      expect(native.tapWrite(handle, sender, 0, 0, 9, vnet)).toBe(-EINVAL);
      expect(native.tapWrite(handle, sender, -1, 0, 1, vnet)).toBe(-EINVAL);
      expect(native.tapRead(handle, 1_000_000, 4, 1, 1, vnet, ahead)).toBe(-EBADF);
    }
    const anything = native as unknown as Record<string, (...values: unknown[]) => number>;
    for (const name of [
      'tick',
      'wait',
      'ringStart',
      'ringError',
      'tapRead',
      'tapWrite',
      'udpRead',
      'udpWrite',
      'eventfdSignal',
      'eventfdDrain',
    ]) {
      expect(anything[name]!()).toBe(-EINVAL);
      expect(anything[name]!({}, 'x', null)).toBe(-EINVAL);
    }
    expect(native.eventfdSignal(1_000_000)).toBe(-EBADF);
  });

  it.each(['calls', 'io_uring'])('touch nothing but the slots they were given, whatever the numbers: by %s', (by) => {
    const [sender, receiver] = udpPair();
    const pattern = 0xa5;
    const guarded = new Uint8Array(12 * SLOT_BYTES).fill(pattern);
    const arena = guarded.subarray(4 * SLOT_BYTES, 8 * SLOT_BYTES);
    const arrays = {
      arena,
      iov: new Int32Array(12),
      slots: new Int32Array(12),
      lengths: new Int32Array(6),
      cuts: new Int32Array(6),
      ecn: new Uint8Array(6),
      sources: new Int32Array(6),
      came: new Float64Array(6),
      endpoint: new Uint8Array(ENDPOINT_BYTES),
      vnet: new Uint8Array(6 * VNET_HDR_BYTES),
      ready: new Int32Array(4),
      clock: new Float64Array(5),
    };
    const io = native.ioCreate(arrays);
    if (by === 'io_uring') native.ringStart(io);
    const ring = native.keyringCreate();
    native.keyringAdd(ring, {
      epoch: 1,
      lane: 0,
      algorithm: 'aes-256-gcm',
      seals: true,
      secret: new Uint8Array(44),
    });
    const buffers = native.udpReceiverCreate(1);
    const number = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: -2, max: 16 }) }, fc.integer());
    const list = (length: number) => fc.array(number, { minLength: length, maxLength: length });
    // Mostly in its range, so that what is behind the check is reached.
    const fields = fc.array(fc.oneof({ weight: 20, arbitrary: fc.nat(3) }, fc.nat(255)), {
      minLength: 6,
      maxLength: 6,
    });
    fc.assert(
      fc.property(
        list(12),
        list(12),
        list(6),
        list(6),
        fields,
        list(5),
        fc.nat(3),
        (iov, slots, lengths, cuts, ecn, [a, b, c, d, e], call) => {
          arrays.iov.set(iov);
          arrays.slots.set(slots);
          arrays.lengths.set(lengths);
          arrays.cuts.set(cuts);
          arrays.ecn.set(ecn);
          const result =
            call === 0
              ? native.udpWrite(io, sender, a!, b!, c!, d! & 1 ? ring : 0, e! & 1, 0, 0)
              : call === 1
                ? native.udpRead(io, buffers, receiver, a!, b! & 1 ? ring : 0, 0)
                : call === 2
                  ? native.tapRead(io, receiver, a!, b!, c!, d! & 1, e!)
                  : native.tapWrite(io, sender, a!, b!, c!, e! & 1);
          expect(Number.isInteger(result) && result <= 6).toBe(true);
          expect(guarded.subarray(0, 4 * SLOT_BYTES).every((byte) => byte === pattern)).toBe(true);
          expect(guarded.subarray(8 * SLOT_BYTES).every((byte) => byte === pattern)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
    native.ioDestroy(io);
    native.keyringDestroy(ring);
    native.udpReceiverDestroy(buffers);
  });
});
