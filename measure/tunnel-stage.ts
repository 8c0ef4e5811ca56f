/**
 * `bench tunnel`: two hosts on two machines, joined by a tunnel of Luthier's, beside the kernel's VXLAN between the same
 * machines, over the same underlay. The unsealed tunnel is in a network of its own, on an underlay like that one.
 *
 *     h1 ── TAP ── s1 (machine a) ══ UDP ══ s1 (machine b) ── TAP ── h2       Luthier
 *     v1: vx ══════════════════════ VXLAN ══════════════════════ vx :v2       kernel VXLAN, the device within the host
 *     k1 ── veth ── br ── vx ══════ VXLAN ══════ vx ── br ── veth ── k2       kernel VXLAN below bridges (`bridged`)
 *
 *     machine a:eth0 ── veth ── m… (underlay: a bridge) …m ── veth ── machine b:eth0
 *
 * A VXLAN device keeps the underlay of the namespace that it was made in when it is moved into a host.
 */
import { LuthierError, StateError } from '../model/errors.js';
import type { UnderlayName } from '../model/bench.js';
import type { RawScenario } from '../model/scenario.js';
import { StageNetwork, type Arm, type Place, type Stage } from './stage.js';
import { underlayFeatures } from './underlays.js';

export interface TunnelOptions {
  readonly underlays: readonly UnderlayName[];
  /** Measure VXLAN below bridges as well, the way containers use it. */
  readonly bridged: boolean;
  /** Further hosts, for what is measured beside on the same machines. */
  readonly guests?: RawScenario['nodes'];
}

export interface TunnelStage extends Stage {
  /** The one with the kernel's hosts, and the guests. */
  readonly network: StageNetwork;
}

/** Luthier's tunnels, a network each. The first has the kernel's hosts and devices as well. */
const TUNNELS = [
  { arm: 'sealed', title: 'Luthier, sealed', network: 'bench-tunnel', seal: 'auto' },
  { arm: 'unsealed', title: 'Luthier, unsealed', network: 'bench-tunnel-unsealed', seal: 'none' },
] as const;

const ADDRESS = '10.0.0.2';
const KERNEL_HOSTS: RawScenario['nodes'] = {
  v1: { kind: 'host', machine: 'a' },
  v2: { kind: 'host', machine: 'b' },
  k1: { kind: 'host', machine: 'a' },
  k2: { kind: 'host', machine: 'b' },
};

function scenario({ network, seal }: (typeof TUNNELS)[number], guests: RawScenario['nodes']): RawScenario {
  return {
    name: network,
    machines: ['a', 'b'],
    seal,
    nodes: {
      s1: { kind: 'switch', subnet: '10.0.0.0/24' },
      h1: { kind: 'host', machine: 'a' },
      h2: { kind: 'host', machine: 'b' },
      ...(network === TUNNELS[0].network ? { ...KERNEL_HOSTS, ...guests } : {}),
    },
    links: [{ endpoints: ['h1', 's1'] }, { endpoints: [{ node: 'h2', address: `${ADDRESS}/24` }, 's1'] }],
  };
}

/** RFC 7348 section 5: IPv4, UDP and VXLAN headers, and the inner frame's Ethernet header. */
const VXLAN_OVERHEAD_BYTES = 50;
const UNDERLAY_MTU_BYTES = 1500;

/** One VXLAN network for each of the kernel's arms. */
const DIRECT = { vni: 1, hosts: ['v1', 'v2'], addresses: ['10.0.1.1', '10.0.1.2'] } as const;
const BRIDGED = { vni: 2, hosts: ['k1', 'k2'], addresses: ['10.0.2.1', '10.0.2.2'] } as const;

export async function tunnelStage(place: Place, options: TunnelOptions, signal: AbortSignal): Promise<TunnelStage> {
  const networks: StageNetwork[] = [];
  const down = async (): Promise<void> => {
    for (const network of networks) await network[Symbol.asyncDispose]();
  };
  try {
    for (const tunnel of TUNNELS)
      networks.push(await StageNetwork.up(place, scenario(tunnel, options.guests ?? {}), signal));
    const [first] = networks;
    await first!.configure(await kernelVxlan(first!, options.bridged));
    return {
      network: first!,
      arms: [
        ...(await kernelArms(first!, options.bridged)),
        ...(await Promise.all(TUNNELS.map((tunnel, i) => tunnelArm(tunnel, networks[i]!)))),
      ],
      underlays: options.underlays,
      setUnderlay: async (name) => {
        for (const network of networks) await setUnderlay(network, name);
      },
      [Symbol.asyncDispose]: down,
    };
  } catch (cause) {
    await down();
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

export async function underlayAddress(network: StageNetwork, machine: string): Promise<string> {
  const text = await network.output(`machine:${machine}`, ['ip', '-j', '-4', 'addr', 'show', 'dev', 'eth0']);
  const [link] = JSON.parse(text) as { addr_info: { local: string }[] }[];
  const address = link?.addr_info[0]?.local;
  if (address === undefined) throw new LuthierError('E_BENCH', `machine ${machine} has no address on its underlay`);
  return address;
}

async function kernelArms(network: StageNetwork, bridged: boolean): Promise<Arm[]> {
  const arm = async (
    name: string,
    title: string,
    { hosts, addresses }: typeof DIRECT | typeof BRIDGED,
  ): Promise<Arm> => ({
    name,
    title,
    isReference: hosts === DIRECT.hosts,
    way: { from: await network.access(hosts[0]), to: await network.access(hosts[1]), address: addresses[1] },
    processes: [],
    switches: [],
  });
  const arms = [await arm('vxlan', 'kernel VXLAN', DIRECT)];
  if (bridged) arms.push(await arm('vxlan-bridged', 'kernel VXLAN, bridged', BRIDGED));
  return arms;
}

/** Throws where its tunnel is not what the arm says. */
async function tunnelArm({ arm, title, seal }: (typeof TUNNELS)[number], network: StageNetwork): Promise<Arm> {
  const wanted = seal === 'none' ? 'unsealed' : 'sealed';
  const tunnels = await network.tunnels();
  const other = tunnels.find(({ state }) => state !== wanted);
  if (tunnels.length === 0 || other !== undefined)
    throw new StateError(`the tunnel of network ${network.name} is ${other?.state ?? 'missing'}, not ${wanted}`, {
      hint: other?.reason ?? 'try again; if it stays so, please report it',
    });
  const { algorithm } = tunnels[0]!;
  return {
    name: arm,
    title,
    isReference: false,
    ...(algorithm === undefined ? {} : { algorithm }),
    way: { from: await network.access('h1'), to: await network.access('h2'), address: ADDRESS },
    processes: network.processes,
    switches: network.switches,
  };
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
