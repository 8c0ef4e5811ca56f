/**
 * Hosts behind VXLAN devices of the kernel's own, in namespaces of the test's.
 *
 *   h1 ── s1 ── vx ── eth0 ── m0 [ lan ] v1 ── eth0 ── vx1 10.0.1.201
 *              machine a      underlay └─ v2 ── eth0 ── vx1 10.0.1.202
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles } from '../../control/journal.js';
import { processesOnRecord } from '../chaos/victims.js';
import { Bench, isRoot, LUTHIER, speaks, type Result } from './machine.js';
import { ipIn, VxlanPeer } from './vxlan-peer.js';

const scenario = (name: string, vxlan: string): string => `
name: ${name}
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24, machine: a }
  h1: { kind: host, machine: a }
  vx: { kind: vxlan, machine: a, vni: 100, ${vxlan} }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [s1, vx] }
`;

const MACHINE_A = '100.64.0.1';
const patience = { timeout: 30_000, interval: 100 };

/** A network, and as many namespaces on its underlay as are asked for. */
class Stage implements AsyncDisposable {
  readonly bench = new Bench();
  readonly peers: VxlanPeer[] = [];
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  async up(vxlan: string, peers: number): Promise<void> {
    await this.bench.ok('up', this.bench.scenario(this.name, scenario(this.name, vxlan)));
    for (let i = 1; i <= peers; i++) {
      const peer = await VxlanPeer.start();
      this.peers.push(peer);
      await peer.plug(this.pidOf('underlay'), `v${i}`, `100.64.77.${i}/16`);
      await ipIn(this.pidOf('underlay'), 'link', 'set', 'dev', `v${i}`, 'master', 'lan');
    }
  }

  pidOf(role: string): number {
    const record = journalFiles(this.bench.paths).flatMap(processesOnRecord);
    return record.find((process) => process.role === role)!.id.pid;
  }

  h1(...command: readonly string[]): Promise<Result> {
    return this.bench.luthier('exec', `${this.name}/h1`, '--', ...command);
  }

  async drops(): Promise<Readonly<Record<string, number>>> {
    const agent = await AgentClient.connect(this.bench.paths);
    return (await agent.network(this.name)).drops;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.peers) await peer[Symbol.asyncDispose]();
    await this.bench[Symbol.asyncDispose]();
  }
}

/** Pings until one is answered: a learned address, and ARP, take their time. */
async function answers(ping: () => Promise<Result>): Promise<void> {
  await expect.poll(async () => (await ping()).code, patience).toBe(0);
}

interface Iperf {
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
}

const bitsPerSecond = ({ code, stdout }: Result): number => {
  expect(code, stdout).toBe(0);
  return (JSON.parse(stdout) as Iperf).end.sum_received.bits_per_second;
};
const SERVER = ['iperf3', '-s', '-1', '--forceflush'] as const;

/** TCP from h1 to who is behind the VXLAN; bits per second. */
async function transferThere(stage: Stage, peer: VxlanPeer, address: string): Promise<number> {
  const server = peer.spawn(...SERVER);
  const ended = once(server, 'close');
  await speaks(server);
  const rate = bitsPerSecond(await stage.h1('iperf3', '-J', '-t2', '-c', address));
  await ended;
  return rate;
}

async function transferBack(stage: Stage, peer: VxlanPeer, address: string): Promise<number> {
  const server = spawn(LUTHIER, ['exec', `${stage.name}/h1`, '--', ...SERVER], { env: stage.bench.env });
  const ended = once(server, 'close');
  await speaks(server);
  const rate = bitsPerSecond(await peer.run('iperf3', '-J', '-t2', '-c', address));
  await ended;
  return rate;
}

// Only root may enter the namespaces of machines that are played, and make others.
describe.runIf(isRoot)('a VXLAN to a device of the kernel', () => {
  const stage = new Stage('unicast');
  const peer = (): VxlanPeer => stage.peers[0]!;
  const overhead = ['id', '100', 'dstport', '4789', 'local', '100.64.77.1', 'remote', MACHINE_A];

  beforeAll(async () => {
    await stage.up('remote: 100.64.77.1', 1);
    await peer().device('vx1', '10.0.1.201/24', ...overhead);
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  it('carries pings both ways, of every length that has room', async () => {
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.201'));
    await answers(() => peer().run('ping', '-c1', '-i0.1', '-w1', '10.0.1.1'));
    const full = ['ping', '-c3', '-i0.2', '-W20', '-Mdo', '-s1422'];
    expect(await stage.h1(...full, '10.0.1.201')).toMatchObject({ code: 0 });
    expect(await peer().run(...full, '10.0.1.1')).toMatchObject({ code: 0 });
    expect((await stage.h1('cat', '/sys/class/net/eth0/mtu')).stdout).toBe('1450\n');
  });

  it('carries TCP both ways', async () => {
    expect(await transferThere(stage, peer(), '10.0.1.201')).toBeGreaterThan(0);
    expect(await transferBack(stage, peer(), '10.0.1.1')).toBeGreaterThan(0);
    expect(await stage.drops()).toEqual({});
  });

  it('carries what a host behind it sends in segmented sends of UDP', async () => {
    // The kernel encapsulates them uncut (UDP_SEGMENT inside of VXLAN), as between two namespaces there is no wire. Sent until
    // all have come: a socket has no room for what comes while nobody reads.
    const script = `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1000)
while True:
  for i in range(20): s.sendto(bytes([i]) * 9500, ("10.0.1.1", 5555)); time.sleep(0.02)`;
    const listen = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.1.1", 5555)); s.settimeout(20); print("ready", flush=True)
left, sizes, whole = [9500] * 20, set(), True
while max(left) > 0:
  d = s.recv(65535)
  left[d[0]] -= len(d); sizes.add(len(d)); whole = whole and len(set(d)) == 1
print(sorted(sizes), whole)`;
    const listening = spawn(LUTHIER, ['exec', 'unicast/h1', '--', 'python3', '-c', listen], { env: stage.bench.env });
    let said = '';
    listening.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = once(listening, 'close');
    await expect.poll(() => said, patience).toBe('ready\n');
    const sending = peer().spawn('python3', '-c', script);
    const sent = once(sending, 'close');
    await ended;
    sending.kill();
    await sent;
    expect(said).toBe('ready\n[500, 1000] True\n');
  });

  it('refuses what is not its own, counts it, and goes on', async () => {
    const before = await stage.drops();
    await peer().device('vx9', '10.9.9.1/24', 'id', '101', 'dstport', '4789', 'remote', MACHINE_A);
    await peer().ip('address', 'add', '100.64.77.9/16', 'dev', 'eth0');
    await peer().run('ping', '-c3', '-i0.2', '-W1', '10.9.9.2');
    const script = `
import socket
def send(source, data):
  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
  s.bind((source, 0)); s.sendto(bytes.fromhex(data), ("${MACHINE_A}", 4789)); s.close()
frame = "ffffffffffff0200000000aa88b5" + "00" * 46
for data in ["", "08", "0800000000006401" + frame, "0c00000000006400" + frame, "ff" * 200]: send("100.64.77.1", data)
send("100.64.77.1", "0800000000006400" + frame[:20])
send("100.64.77.9", "0800000000006400" + frame)`;
    expect(await peer().run('python3', '-c', script)).toMatchObject({ code: 0 });
    const since = async (reason: string): Promise<number> =>
      ((await stage.drops())[reason] ?? 0) - (before[reason] ?? 0);
    await expect.poll(() => since('badDatagram'), patience).toBe(5);
    await expect.poll(() => since('malformed'), patience).toBe(1);
    await expect.poll(() => since('stranger'), patience).toBe(1);
    await expect.poll(() => since('unknownVni'), patience).toBeGreaterThanOrEqual(3);
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.201'));
    await peer().ip('link', 'del', 'dev', 'vx9');
  });

  it('is shown by inspect', async () => {
    const text = await stage.bench.ok('inspect', 'unicast');
    expect(text).toMatch(/vx +vxlan +a +VNI 100 +100\.64\.77\.1:4789 +s1--vx +\d+/);
    expect((await stage.bench.luthier('exec', 'unicast/vx', '--', 'true')).stderr).toContain('is a VXLAN');
  });

  it('is back when the switch process was killed', async () => {
    const pid = stage.pidOf('switch:a');
    const ping = peer().spawn('ping', '-i0.2', '-w20', '10.0.1.1');
    const ended = once(ping, 'close');
    await speaks(ping);
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => stage.pidOf('switch:a'), patience).not.toBe(pid);
    await answers(() => peer().run('ping', '-c1', '-i0.1', '-w1', '10.0.1.1'));
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.201'));
    ping.kill('SIGINT');
    await ended;
  });

  it('follows its scenario: another VNI, a link that is slow, and back', async () => {
    const change = (text: string): Promise<string> =>
      stage.bench.ok(
        'up',
        stage.bench.scenario(
          'unicast',
          scenario('unicast', 'remote: 100.64.77.1').replace(...(text.split('→') as [string, string])),
        ),
      );
    await change('vni: 100→vni: 102');
    await peer().ip('link', 'del', 'dev', 'vx1');
    await peer().device('vx1', '10.0.1.201/24', 'id', '102', 'dstport', '4789', 'remote', MACHINE_A);
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.201'));
    await change('[s1, vx] }→[s1, vx], delay: 100ms }');
    await peer().ip('link', 'del', 'dev', 'vx1');
    await peer().device('vx1', '10.0.1.201/24', ...overhead);
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.201'));
    const [, ms] = /time=([\d.]+) ms/.exec((await stage.h1('ping', '-c1', '-W20', '10.0.1.201')).stdout)!;
    expect(Number(ms)).toBeGreaterThanOrEqual(200);
    // Another socket, at the same port: nothing is lost on the way.
    await change('vni: 100→vni: 100, ttl: 9');
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.201'));
  });
});

describe.runIf(isRoot)('a VXLAN over a multicast group', () => {
  const stage = new Stage('group');

  beforeAll(async () => {
    await stage.up('group: 239.1.1.1, device: eth0', 2);
    const options = ['id', '100', 'dstport', '4789', 'group', '239.1.1.1', 'dev', 'eth0'];
    for (const [i, peer] of stage.peers.entries()) await peer.device('vx1', `10.0.1.${201 + i}/24`, ...options);
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  it('reaches all members, and learns which of them an address is behind', async () => {
    const [first, second] = stage.peers as [VxlanPeer, VxlanPeer];
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.201'));
    await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', '10.0.1.202'));
    await answers(() => first.run('ping', '-c1', '-i0.1', '-w1', '10.0.1.1'));
    await answers(() => first.run('ping', '-c1', '-i0.1', '-w1', '10.0.1.202'));
    const heard = async (): Promise<number> => {
      const [{ stats64 }] = JSON.parse(await second.ip('-j', '-s', 'link', 'show', 'dev', 'vx1')) as [
        { readonly stats64: { readonly rx: { readonly packets: number } } },
      ];
      return stats64.rx.packets;
    };
    const before = await heard();
    expect(await stage.h1('ping', '-c200', '-i0.005', '-w60', '10.0.1.201')).toMatchObject({ code: 0 });
    // What hosts say to all by themselves, however long this takes, is far less.
    expect((await heard()) - before).toBeLessThan(100);
  });

  it('becomes one of named remotes in place', async () => {
    const remotes = 'remote: [100.64.77.1, 100.64.77.2]';
    await stage.bench.ok('up', stage.bench.scenario('group', scenario('group', remotes)));
    for (const [i, peer] of stage.peers.entries()) {
      await peer.ip('link', 'del', 'dev', 'vx1');
      await peer.device('vx1', `10.0.1.${201 + i}/24`, 'id', '100', 'dstport', '4789', 'remote', MACHINE_A);
      await answers(() => stage.h1('ping', '-c1', '-i0.1', '-w1', `10.0.1.${201 + i}`));
      await answers(() => peer.run('ping', '-c1', '-i0.1', '-w1', '10.0.1.1'));
    }
  });
});

describe.runIf(isRoot)('a VXLAN on this machine', () => {
  const bench = new Bench();
  // Of 2001:db8::/32 (RFC 3849): nobody has such an address.
  const text = (mtu: string): string => `
name: here
nodes:
  s1: { kind: switch, subnet6: "fd00:1::/64" }
  h1: { kind: host }
  vx: { kind: vxlan, vni: 7, port: 14789, remote: "2001:db8:77::2" }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [vx, s1]${mtu} }
`;
  afterAll(() => bench[Symbol.asyncDispose]());

  it('leaves by its routes, over IPv6 too, and is refused where the way is too narrow', async () => {
    await using peer = await VxlanPeer.start();
    const cable = `lvx${process.pid}`;
    await peer.plug(process.pid, cable, '2001:db8:77::2/64');
    await ipIn(process.pid, 'address', 'add', '2001:db8:77::1/64', 'dev', cable, 'nodad');
    await peer.device('vx1', 'fd00:1::201/64', 'id', '7', 'dstport', '14789', 'remote', '2001:db8:77::1');
    const refused = await bench.luthier('up', bench.scenario('here', text(', mtu: 1431')));
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toMatch(/here\.yaml:9:33: .*has an MTU of 1500, of which VXLAN leaves 1430/);

    await bench.ok('up', bench.scenario('here', text('')));
    const h1 = (...command: string[]): Promise<Result> => bench.luthier('exec', 'h1', '--', ...command);
    await answers(() => h1('ping', '-c1', '-i0.1', '-w1', 'fd00:1::201'));
    expect(await h1('ping', '-c2', '-i0.2', '-W20', '-s1382', '-Mdo', 'fd00:1::201')).toMatchObject({ code: 0 });
    await bench.ok('down', 'here');
  });

  it('says what has its port already', async () => {
    // The way there is whatever this machine has, or none.
    const socket = createSocket({ type: 'udp6', ipv6Only: true }).bind(14789);
    await once(socket, 'listening');
    const refused = await bench.luthier('up', bench.scenario('here', text(', mtu: 1280')));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('something has UDP port 14789 already');
    socket.close();
  });
});
