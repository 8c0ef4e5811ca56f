/**
 * `bench tunnel`: two hosts on two machines, joined by a tunnel of Luthier's, beside the kernel's VXLAN between the same
 * machines, over the same underlay.
 *
 *     h1 ── TAP ── s1 (machine a) ══ UDP ══ s1 (machine b) ── TAP ── h2       Luthier
 *     v1: vx ══════════════════════ VXLAN ══════════════════════ vx :v2       kernel VXLAN, the device within the host
 *     k1 ── veth ── br ── vx ══════ VXLAN ══════ vx ── br ── veth ── k2       kernel VXLAN below bridges (`bridged`)
 *
 *     machine a:eth0 ── veth ── m… (underlay: a bridge) …m ── veth ── machine b:eth0
 *
 * A VXLAN device keeps the underlay of the namespace that it was made in when it is moved into a host.
 */
import { LuthierError } from '../model/errors.js';
import type { UnderlayName } from '../model/bench.js';
import type { RawScenario } from '../model/scenario.js';
import { StageNetwork, type Arm, type Place, type Stage } from './stage.js';
import { underlayFeatures } from './underlays.js';

export interface TunnelOptions {
  readonly underlays: readonly UnderlayName[];
  /** Measure VXLAN below bridges as well, the way containers use it. */
  readonly bridged: boolean;
}

/** `luthier` has all of the kernel's hosts too. */
const SCENARIO: RawScenario = {
  name: 'bench-tunnel',
  machines: ['a', 'b'],
  nodes: {
    s1: { kind: 'switch', subnet: '10.0.0.0/24' },
    h1: { kind: 'host', machine: 'a' },
    h2: { kind: 'host', machine: 'b' },
    v1: { kind: 'host', machine: 'a' },
    v2: { kind: 'host', machine: 'b' },
    k1: { kind: 'host', machine: 'a' },
    k2: { kind: 'host', machine: 'b' },
  },
  links: [{ endpoints: ['h1', 's1'] }, { endpoints: [{ node: 'h2', address: '10.0.0.2/24' }, 's1'] }],
};

/** RFC 7348 section 5: IPv4, UDP and VXLAN headers, and the inner frame's Ethernet header. */
const VXLAN_OVERHEAD_BYTES = 50;
const UNDERLAY_MTU_BYTES = 1500;

/** One VXLAN network for each of the kernel's arms. */
const DIRECT = { vni: 1, hosts: ['v1', 'v2'], addresses: ['10.0.1.1', '10.0.1.2'] } as const;
const BRIDGED = { vni: 2, hosts: ['k1', 'k2'], addresses: ['10.0.2.1', '10.0.2.2'] } as const;

export async function tunnelStage(place: Place, options: TunnelOptions, signal: AbortSignal): Promise<Stage> {
  const network = await StageNetwork.up(place, SCENARIO, signal);
  try {
    await network.configure(await kernelVxlan(network, options.bridged));
    return {
      arms: await armsOf(network, options.bridged),
      underlays: options.underlays,
      setUnderlay: (name) => setUnderlay(network, name),
      [Symbol.asyncDispose]: () => network[Symbol.asyncDispose](),
    };
  } catch (cause) {
    await network[Symbol.asyncDispose]();
    throw cause;
  }
}

async function kernelVxlan(network: StageNetwork, bridged: boolean): Promise<string[]> {
  const mtu = UNDERLAY_MTU_BYTES - VXLAN_OVERHEAD_BYTES;
  const outer = await Promise.all(['a', 'b'].map((machine) => underlayAddress(network, machine)));
  const lines: string[] = [];
  for (const [side, machine] of ['a', 'b'].entries()) {
    const vxlan = (name: string, vni: number): string =>
      `link add name ${name} mtu ${mtu} type vxlan id ${vni} local ${outer[side]!} remote ${outer[1 - side]!} dstport 4789 dev eth0`;
    const inHost = ({ hosts, addresses }: typeof DIRECT | typeof BRIDGED): string[] => [
      network.section(`host:${hosts[side]!}`),
      `addr add ${addresses[side]!}/24 dev eth0`,
      'link set dev eth0 up',
    ];
    const pidOf = (host: string): number => network.process(`host:${host}`).pid;
    lines.push(network.section(`machine:${machine}`), vxlan('vx1', DIRECT.vni));
    lines.push(`link set dev vx1 name eth0 netns ${pidOf(DIRECT.hosts[side]!)}`);
    if (bridged)
      lines.push(
        `link add name br mtu ${mtu} type bridge`,
        'link set dev br up',
        vxlan('vx2', BRIDGED.vni),
        'link set dev vx2 master br up',
        `link add name p mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${pidOf(BRIDGED.hosts[side]!)}`,
        'link set dev p master br up',
      );
    lines.push(...inHost(DIRECT), ...(bridged ? inHost(BRIDGED) : []));
  }
  return lines;
}

async function underlayAddress(network: StageNetwork, machine: string): Promise<string> {
  const text = await network.output(`machine:${machine}`, ['ip', '-j', '-4', 'addr', 'show', 'dev', 'eth0']);
  const [link] = JSON.parse(text) as { addr_info: { local: string }[] }[];
  const address = link?.addr_info[0]?.local;
  if (address === undefined) throw new LuthierError('E_BENCH', `machine ${machine} has no address on its underlay`);
  return address;
}

async function armsOf(network: StageNetwork, bridged: boolean): Promise<Arm[]> {
  const way = async (from: string, to: string, address: string): Promise<Arm['way']> => ({
    from: await network.access(from),
    to: await network.access(to),
    address,
  });
  const kernel = { processes: [], switches: [] };
  const arms: Arm[] = [
    {
      name: 'vxlan',
      title: 'kernel VXLAN',
      isReference: true,
      way: await way('v1', 'v2', DIRECT.addresses[1]),
      ...kernel,
    },
  ];
  if (bridged)
    arms.push({
      name: 'vxlan-bridged',
      title: 'kernel VXLAN, bridged',
      isReference: false,
      way: await way('k1', 'k2', BRIDGED.addresses[1]),
      ...kernel,
    });
  arms.push({
    name: 'unsealed',
    title: 'Luthier, unsealed',
    isReference: false,
    way: await way('h1', 'h2', '10.0.0.2'),
    processes: network.processes,
    switches: network.switches,
  });
  return arms;
}

// --- the underlay ----------------------------------------------------------------------------------------------------

/**
 * At both ends of every cable, as veth receives by GRO only what comes from an end without TSO (drivers/net/veth.c,
 * `veth_skb_is_eligible_for_gro`). The underlay's own ports never put together: a switch does not.
 */
async function setUnderlay(network: StageNetwork, name: UnderlayName): Promise<void> {
  const { cutting, gro } = underlayFeatures(name);
  const ports = JSON.parse(await network.output('underlay', ['ip', '-j', 'link', 'show', 'type', 'veth'])) as {
    ifname: string;
  }[];
  await Promise.all([
    ...['a', 'b'].map((machine) => network.output(`machine:${machine}`, ['ethtool', '-K', 'eth0', ...cutting, ...gro])),
    ...ports.map(({ ifname }) => network.output('underlay', ['ethtool', '-K', ifname, ...cutting])),
  ]);
}
