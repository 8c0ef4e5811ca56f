/**
 * `bench lan`: two hosts on one switch, beside two on a kernel bridge.
 *
 *     h1 ── TAP ── s1 ── TAP ── h2           k1 ── veth ── lan (in `hub`) ── veth ── k2
 */
import type { RawScenario } from '../model/scenario.js';
import { StageNetwork, type Arm, type Place, type Stage } from './stage.js';
import type { Way } from './traffic.js';

export const KERNEL_HOSTS = [
  { name: 'k1', port: 'p1', address: '10.0.1.1' },
  { name: 'k2', port: 'p2', address: '10.0.1.2' },
] as const;

const ADDRESS = '10.0.0.2';

/** As drawn above; `bench link` has the same. */
export function lanScenario(name: string): RawScenario {
  return {
    name,
    nodes: {
      s1: { kind: 'switch', subnet: '10.0.0.0/24' },
      h1: { kind: 'host' },
      h2: { kind: 'host' },
      k1: { kind: 'host' },
      k2: { kind: 'host' },
      hub: { kind: 'host' },
    },
    links: [{ endpoints: ['h1', 's1'] }, { endpoints: [{ node: 'h2', address: `${ADDRESS}/24` }, 's1'] }],
  };
}

export interface LanOptions {
  /** No frame is larger than the MTU: hosts neither leave segmentation and checksums to others, nor put together. */
  readonly mtuSized: boolean;
}

/** Arguments of `ethtool -K DEV`. */
const WITHOUT_OFFLOADS = ['tso', 'off', 'gso', 'off', 'gro', 'off', 'tx', 'off'];

export async function lanStage(place: Place, { mtuSized }: LanOptions, signal: AbortSignal): Promise<Stage> {
  const network = await StageNetwork.up(place, lanScenario('bench-lan'), signal);
  try {
    await network.configure(kernelBridge(network));
    if (mtuSized) await endOffloads(network);
    return {
      arms: await armsOf(network),
      underlays: [undefined],
      setUnderlay: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => network[Symbol.asyncDispose](),
    };
  } catch (cause) {
    await network[Symbol.asyncDispose]();
    throw cause;
  }
}

/** Joins hosts k1 and k2 in host `hub`. */
export function kernelBridge(network: StageNetwork): string[] {
  const lines = [network.section('host:hub'), 'link add name lan type bridge', 'link set dev lan up'];
  for (const { name, port } of KERNEL_HOSTS) {
    const { pid } = network.process(`host:${name}`);
    lines.push(`link add name ${port} type veth peer name eth0 netns ${pid}`, `link set dev ${port} master lan up`);
  }
  for (const { name, address } of KERNEL_HOSTS)
    lines.push(network.section(`host:${name}`), `addr add ${address}/24 dev eth0`, 'link set dev eth0 up');
  return lines;
}

async function endOffloads(network: StageNetwork): Promise<void> {
  const ports = [
    ...['h1', 'h2', 'k1', 'k2'].map((host) => [host, 'eth0'] as const),
    ...KERNEL_HOSTS.map(({ port }) => ['hub', port] as const),
  ];
  await Promise.all(
    ports.map(([host, port]) => network.output(`host:${host}`, ['ethtool', '-K', port, ...WITHOUT_OFFLOADS])),
  );
}

/** From h1 to h2, and from k1 to k2. */
export async function lanWays(network: StageNetwork): Promise<{ readonly ours: Way; readonly kernel: Way }> {
  const [h1, h2, k1, k2] = await Promise.all(['h1', 'h2', 'k1', 'k2'].map((node) => network.access(node)));
  return {
    ours: { from: h1!, to: h2!, address: ADDRESS },
    kernel: { from: k1!, to: k2!, address: KERNEL_HOSTS[1].address },
  };
}

async function armsOf(network: StageNetwork): Promise<Arm[]> {
  const { ours, kernel } = await lanWays(network);
  const { processes, switches } = network;
  return [
    {
      name: 'kernel-bridge',
      title: 'kernel bridge, veth',
      isReference: true,
      way: kernel,
      processes: [],
      switches: [],
    },
    {
      name: 'luthier',
      title: 'Luthier, one switch',
      isReference: false,
      way: ours,
      processes,
      switches,
    },
  ];
}
