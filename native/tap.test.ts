/**
 * TAPs in hosts of a keeper: opened from outside, and joined by a loop of a few lines that real traffic crosses. Frames
 * pass by system calls one by one, and by io_uring.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { native, TapOffload, VNET_HDR_BYTES } from './binding.js';
import {
  disown,
  failure,
  HEADROOM_BYTES,
  Io,
  isRoot,
  KeeperFixture,
  nsrunPath,
  own,
  releaseAll,
  SLOT_BYTES,
} from './fixture.js';

const { EINVAL, EIO } = constants.errno;

afterEach(releaseAll);

/** A TAP `eth0` with an address, up, in a new host. */
function port(keeper: KeeperFixture, name: string, number: number, offload?: number): { pid: number; fd: number } {
  const pid = keeper.host(name);
  const fd = native.tapOpen({
    netns: `/proc/${pid}/ns/net`,
    name: 'eth0',
    persist: true,
    mac: `02:00:00:00:00:0${number}`,
    mtuBytes: 1400,
    ...(offload === undefined ? {} : { vnetHdr: true, offload }),
  });
  keeper.client.put(`tap:${name}`, fd);
  return { pid, fd: own(fd) };
}

/** Runs a command in a host; its status, and its output on both streams. */
async function run(pid: number, argv: readonly string[], input = ''): Promise<[number, string]> {
  const child = spawn(nsrunPath, ['exec', String(pid), '--', ...argv]);
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  // A command that ends without reading its input says by its status why.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number];
  return [status, output];
}

async function up(pid: number, address: string): Promise<void> {
  const script = `addr add ${address} dev eth0\nlink set dev eth0 up\n`;
  expect(await run(pid, ['ip', '-batch', '-'], script)).toEqual([0, '']);
}

const MAX_SLOTS = 33;

type By = 'calls' | 'io_uring';

function ioBy(by: By, ...sizes: ConstructorParameters<typeof Io>): Io {
  const io = new Io(...sizes);
  if (by === 'io_uring') expect(native.ringStart(io.handle)).toBe(0);
  return io;
}

/** Whether this process may have a ring: containers often forbid it. */
const ways: readonly By[] = native.ringStart(new Io(1).handle) === 0 ? ['calls', 'io_uring'] : ['calls'];

/** Moves frames between two TAPs until the work is done. Returns the largest gso_size that was seen. */
async function joinTaps(
  first: number,
  second: number,
  [by, ahead]: readonly [By, number],
  vnet: 0 | 1,
  work: Promise<unknown>,
): Promise<number> {
  const io = ioBy(by, 8 * MAX_SLOTS, 8, 16 * MAX_SLOTS);
  const { iov, lengths, vnet: headers } = io.arrays;
  const epoll = own(native.epollCreate());
  native.epollAdd(epoll, first, 0, 1);
  native.epollAdd(epoll, second, 1, 1);
  const state = { done: false };
  let gsoSize = 0;
  void work.finally(() => (state.done = true));
  const forward = (from: number, to: number) => {
    io.offerSlots(8 * MAX_SLOTS);
    const frames = native.tapRead(io.handle, from, 8 * MAX_SLOTS, vnet === 1 ? MAX_SLOTS : 1, 8, vnet, ahead);
    expect(frames).toBeGreaterThanOrEqual(0);
    let [slot, entry] = [0, 0];
    for (let i = 0; i < frames; i++) {
      gsoSize = Math.max(gsoSize, headers[i * VNET_HDR_BYTES + 4]! | (headers[i * VNET_HDR_BYTES + 5]! << 8));
      let left = lengths[i]!;
      const start = entry;
      for (let offset = HEADROOM_BYTES; left > 0; offset = 0) {
        const bytes = Math.min(left, SLOT_BYTES - offset);
        iov.set([slot * SLOT_BYTES + offset, bytes], 2 * entry);
        left -= bytes;
        slot++;
        entry++;
      }
      lengths[i] = entry - start;
    }
    let [written, at] = [0, 0];
    while (written < frames) {
      const more = native.tapWrite(io.handle, to, written, at, frames - written, vnet);
      expect(more).toBeGreaterThan(0);
      for (let i = 0; i < more; i++) at += lengths[written + i]!;
      written += more;
    }
  };
  while (!state.done) {
    native.tick(io.handle);
    io.arrays.clock[1] = io.arrays.clock[0]! + 1e6;
    native.wait(io.handle, epoll);
    forward(first, second);
    forward(second, first);
    await new Promise(setImmediate);
  }
  return gsoSize;
}

describe.skipIf(!isRoot)('a TAP', () => {
  it.skipIf(ways.length === 2)('by io_uring: skipped, as it cannot be had here');

  it('opens one in a host, leaving the caller where it was', async () => {
    await using keeper = await KeeperFixture.start();
    const before = readlinkSync('/proc/thread-self/ns/net');
    const { pid } = port(keeper, 'h1', 1);
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(before);
    const [, link] = await run(pid, ['ip', '-j', '-d', 'link', 'show', 'dev', 'eth0']);
    expect((JSON.parse(link) as unknown[])[0]).toMatchObject({
      ifname: 'eth0',
      mtu: 1400,
      address: '02:00:00:00:00:01',
      linkinfo: { info_kind: 'tun', info_data: { type: 'tap', persist: true } },
    });
  });

  it('comes back from the other namespace when the rest fails, and leaves no device', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = keeper.host('h1');
    const netns = `/proc/${pid}/ns/net`;
    const before = readlinkSync('/proc/thread-self/ns/net');
    expect(failure(() => native.tapOpen({ netns, name: 'lo' }))).toMatchObject({
      syscall: 'TUNSETIFF',
      errno: 'EINVAL',
    });
    expect(
      failure(() => native.tapOpen({ netns, name: 'eth0', persist: true, mac: '01:00:00:00:00:01' })),
    ).toMatchObject({
      syscall: 'SIOCSIFHWADDR',
      errno: 'EADDRNOTAVAIL',
    });
    expect(failure(() => native.tapOpen({ netns: '/etc/passwd', name: 'eth0' }))).toMatchObject({ syscall: 'setns' });
    expect(failure(() => native.tapOpen({ netns: '/nowhere', name: 'eth0' })).message).toBe(
      'open network namespace: No such file or directory',
    );
    own(native.tapOpen({ netns, name: 'eth1' }));
    expect(failure(() => native.tapOpen({ netns, name: 'eth1' }))).toEqual({
      name: 'Error',
      message: 'TUNSETIFF: Device or resource busy',
      syscall: 'TUNSETIFF',
      errno: 'EBUSY',
    });
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(before);
    expect((await run(pid, ['ls', '/sys/class/net']))[1]).toBe('eth1\nlo\n');
  });

  it('opens UDP sockets there too', async () => {
    await using keeper = await KeeperFixture.start();
    const netnsOf = (name: string) => `/proc/${keeper.host(name)}/ns/net`;
    const [h1, h2] = [netnsOf('h1'), netnsOf('h2')];
    const bind = native.udpAddress(own(native.udpOpen({ netns: h1, bind: { address: '127.0.0.1', port: 0 } })));
    expect(failure(() => native.udpOpen({ netns: h1, bind }))).toMatchObject({ syscall: 'bind', errno: 'EADDRINUSE' });
    expect(native.udpAddress(own(native.udpOpen({ netns: h2, bind })))).toEqual(bind);
  });

  it.each(ways)('carries frames between two hosts, and the keeper’s duplicate keeps its carrier: by %s', async (by) => {
    await using keeper = await KeeperFixture.start();
    const [h1, h2] = [port(keeper, 'h1', 1), port(keeper, 'h2', 2)];
    await Promise.all([up(h1.pid, '10.9.9.1/24'), up(h2.pid, '10.9.9.2/24')]);
    const work = run(h1.pid, ['ping', '-c', '3', '-i', '0.01', '-s', '1300', '-w', '60', '10.9.9.2']);
    await joinTaps(h1.fd, h2.fd, [by, 8], 0, work);
    // More than three where the loop came late: answers that wait are all read. Fewer by the deadline are a status of their own.
    expect(await work).toEqual([0, expect.stringMatching(/ \d+ received/)]);
    disown(h1.fd);
    expect((await run(h1.pid, ['cat', '/sys/class/net/eth0/carrier']))[1]).toBe('1\n');
    const again = own(keeper.client.get('tap:h1'));
    native.tapSetCarrier(again, false);
    expect((await run(h1.pid, ['cat', '/sys/class/net/eth0/carrier']))[1]).toBe('0\n');
  });

  it.each([['calls', 0], ...ways.map((by) => [by, 8] as const)] as const)(
    'carries super-frames with their headers: by %s, %i small ones expected',
    async (by, ahead) => {
      await using keeper = await KeeperFixture.start();
      const offload = TapOffload.csum | TapOffload.tso4 | TapOffload.tso6;
      const [h1, h2] = [port(keeper, 'h1', 1, offload), port(keeper, 'h2', 2, offload)];
      await Promise.all([up(h1.pid, '10.9.9.1/24'), up(h2.pid, '10.9.9.2/24')]);
      const server = `require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
        const hash = require('node:crypto').createHash('sha256');
        socket.on('data', (data) => hash.update(data)).on('end', () => socket.end(hash.digest('hex')));
      }).listen(80, '10.9.9.2', function () {
        console.log('listening');
        this.once('connection', () => this.close());
      });`;
      const client = `const hash = require('node:crypto').createHash('sha256');
      const data = require('node:crypto').randomBytes(4 << 20);
      const socket = require('node:net').connect(80, '10.9.9.2');
      socket.end(data);
      socket.on('data', (d) => { process.exitCode = d.toString() === hash.update(data).digest('hex') ? 0 : 1; });`;
      const listening = spawn(nsrunPath, ['exec', String(h2.pid), '--', process.execPath, '-e', server]);
      await once(listening.stdout, 'data');
      const work = Promise.all([run(h1.pid, [process.execPath, '-e', client]), once(listening, 'close')]);
      const gsoSize = await joinTaps(h1.fd, h2.fd, [by, ahead], 1, work);
      expect((await work)[0]).toEqual([0, '']);
      expect(gsoSize).toBe(1400 - 20 - 32);
    },
  );

  it.each([['calls', 0], ...ways.map((by) => [by, 8] as const)] as const)(
    'stops reading at the last slot that a frame would fit: by %s, %i expected',
    async (by, ahead) => {
      await using keeper = await KeeperFixture.start();
      const { pid, fd } = port(keeper, 'h1', 1);
      const io = ioBy(by, 8);
      expect(native.tapRead(io.handle, fd, 4, 1, 4, 0, ahead)).toBe(0);
      // It says nothing by itself, and asks for each neighbour once.
      const quiet = ['net.ipv6.conf.eth0.disable_ipv6=1', 'net.ipv4.neigh.eth0.retrans_time_ms=60000'];
      expect(await run(pid, ['sysctl', '-qw', ...quiet])).toEqual([0, '']);
      await up(pid, '10.9.9.1/24');
      // Ten frames wait, ARP requests; room for two at a time, one slot kept back.
      await run(pid, ['sh', '-c', 'for i in 0 1 2 3 4 5 6 7 8 9; do ping -c1 -W0.001 10.9.9.10$i; done']);
      io.offerSlots(8);
      expect(native.tapRead(io.handle, fd, 2, 1, 4, 0, ahead)).toBe(2);
      expect(native.tapRead(io.handle, fd, 3, 2, 4, 0, ahead)).toBe(2);
      expect(native.tapRead(io.handle, fd, 1, 2, 4, 0, ahead)).toBe(0);
      const ethertype = io.arrays.arena.subarray(HEADROOM_BYTES + 12, HEADROOM_BYTES + 14);
      expect([...ethertype]).toEqual([0x08, 0x06]);
      // More asked for than there are: those that came, and then none.
      expect(native.tapRead(io.handle, fd, 8, 1, 8, 0, ahead)).toBeGreaterThan(0);
      expect(native.tapRead(io.handle, fd, 8, 1, 8, 0, ahead)).toBeLessThan(8);
      expect(native.tapRead(io.handle, fd, 8, 1, 8, 0, ahead)).toBe(0);
    },
  );

  it.each(ways)('refuses bad frames, and takes all others in their order: by %s', async (by) => {
    await using keeper = await KeeperFixture.start();
    const { pid, fd } = port(keeper, 'h1', 1);
    const io = ioBy(by, 16, 16);
    const { iov, lengths } = io.arrays;
    /** As a device does: what is refused is dropped. Returns which. */
    const write = (bytes: readonly number[]): number[] => {
      bytes.forEach((length, i) => {
        iov.set([i * SLOT_BYTES, length], 2 * i);
        lengths[i] = 1;
      });
      const refused: number[] = [];
      for (let at = 0; at < bytes.length;) {
        const written = native.tapWrite(io.handle, fd, at, at, bytes.length - at, 0);
        expect(written).not.toBe(0);
        if (written < 0) refused.push(at);
        else for (let i = at; i < at + written; i++) if (lengths[i]! < 0) refused.push(i);
        at += Math.max(1, written);
      }
      return refused;
    };
    lengths[0] = 1;
    iov.set([0, 100]);
    expect(native.tapWrite(io.handle, fd, 0, 0, 1, 0)).toBe(-EIO); // the interface is down
    expect(write([100, 100, 100, 100, 100])).toEqual([0, 1, 2, 3, 4]);
    await up(pid, '10.9.9.1/24');
    // A frame shorter than an Ethernet header: tun_get_user in drivers/net/tun.c.
    iov.set([0, 100, 0, 5]);
    lengths.set([1, 1]);
    expect(native.tapWrite(io.handle, fd, 0, 0, 2, 0)).toBe(1);
    expect(native.tapWrite(io.handle, fd, 1, 1, 1, 0)).toBe(-EINVAL);
    const before = await received(pid);
    expect(write([100, 101, 102, 5, 104, 105, 6])).toEqual([3, 6]);
    expect(write([5, 101, 102, 103, 104, 105])).toEqual([0]);
    expect(write([5, 5, 5, 5, 5])).toEqual([0, 1, 2, 3, 4]);
    expect((await received(pid)) - before).toBe(10);
  });
});

async function received(pid: number): Promise<number> {
  return Number((await run(pid, ['cat', '/sys/class/net/eth0/statistics/rx_packets']))[1]);
}
