import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SwitchConfig } from '../model/messages.js';
import type { Network } from '../model/network.js';
import type { RawNode, RawScenario } from '../model/scenario.js';
import { hostsFile } from '../vhost/netns.js';
import { netnsNodes, nodeConfiguration } from '../vrouter/router.js';
import { pairs } from '../test/fixtures/random-scenario.js';
import { load, resolve } from './scenario/index.js';
import { BUILD_KINDS, plan, sameNetwork, type Action, type Losses } from './plan.js';
import { parseConfig } from '../vswitch/config.js';
import { switchConfigs, tapName, tunnels, udpName, vxlanName, vxlans } from './wiring.js';

const NUMBER = 7;
const NO_LOSS: Losses = { keeper: false, switches: new Set(), machines: new Set(), nodes: new Set() };

const lan: RawScenario = {
  name: 'n',
  nodes: {
    s1: { kind: 'switch', subnet: '10.0.0.0/24' },
    h1: { kind: 'host', command: ['sleep', '1'] },
    h2: { kind: 'host', cpu: 0.5 },
  },
  links: [{ endpoints: ['h1', 's1'] }, { endpoints: ['h2', 's1'] }],
};
const network = (change: Partial<RawScenario> = {}, previous?: Network): Network =>
  resolve(load({ ...lan, ...change }), previous);
const kinds = (actions: readonly Action[]): string[] => actions.map(({ kind }) => kind);

describe('plan', () => {
  it('makes everything of a network from nothing, and what does not apply is left out', () => {
    const { build, clear } = plan(undefined, network(), NUMBER);
    expect(build).toEqual([
      { kind: 'keeper' },
      { kind: 'switches', machines: ['local'] },
      { kind: 'limits', nodes: ['h2'] },
      { kind: 'hosts', nodes: ['h1', 'h2'] },
      { kind: 'ports', nodes: ['h1', 'h2'] },
      { kind: 'addresses', nodes: ['h1', 'h2'] },
      { kind: 'forwarding', machines: ['local'] },
      { kind: 'commands', nodes: ['h1'] },
    ]);
    expect(clear).toEqual([]);
  });

  describe('of a VXLAN', () => {
    const withVxlan = (keys: object, change: Partial<RawScenario> = {}): Network =>
      network({
        ...change,
        nodes: { ...lan.nodes, vx: { kind: 'vxlan', vni: 1, remote: '192.0.2.7', ...keys } },
        links: [...lan.links!, { endpoints: ['vx', 's1'], mtu: 1500 }],
      });
    const vxlanActions = (from: Network | undefined, to: Network, lost?: Losses): Action[] => {
      const { build, clear } = plan(from, to, NUMBER, lost);
      return [...build, ...clear].filter(({ kind }) => kind.endsWith('vxlans'));
    };
    const device = (of: Network): string => vxlanName(vxlans(of)[0]!);

    it('opens its socket, and closes it', () => {
      const is = withVxlan({});
      expect(kinds(plan(undefined, is, NUMBER).build)).toEqual(
        BUILD_KINDS.filter(
          (kind) => kinds(plan(undefined, network(), NUMBER).build).includes(kind) || kind === 'vxlans',
        ),
      );
      expect(plan(network(), is, NUMBER).build).toEqual([
        { kind: 'vxlans', nodes: ['vx'] },
        { kind: 'forwarding', machines: ['local'] },
      ]);
      const closed = { machine: 'local', node: 'vx', device: device(is), isPlayed: false };
      expect(vxlanActions(is, network())).toEqual([{ kind: 'close-vxlans', vxlans: [closed] }]);
    });

    it('opens another where the socket is to be another one, and only then', () => {
      const was = withVxlan({});
      for (const keys of [{ vni: 2 }, { remote: ['192.0.2.8', '192.0.2.9'] }])
        expect(vxlanActions(was, withVxlan(keys))).toEqual([]);
      for (const keys of [
        { port: 8472 },
        { ttl: 3 },
        { device: 'eth1' },
        { local: '192.0.2.1' },
        { remote: '2001:db8::1' },
      ])
        expect(kinds(vxlanActions(was, withVxlan(keys)))).toEqual(['vxlans', 'close-vxlans']);
    });

    it('opens it again when the keeper, or the machine it is on, is gone', () => {
      const is = withVxlan({});
      expect(vxlanActions(is, is)).toEqual([]);
      expect(vxlanActions(is, is, { ...NO_LOSS, keeper: true })).toEqual([{ kind: 'vxlans', nodes: ['vx'] }]);
      const played = withVxlan({ machine: 'b' }, { machines: ['a', 'b'] });
      expect(vxlanActions(played, played, { ...NO_LOSS, machines: new Set(['a']) })).toEqual([]);
      const lost = { ...NO_LOSS, machines: new Set(['b']) };
      expect(vxlanActions(played, played, lost)).toEqual([{ kind: 'vxlans', nodes: ['vx'] }]);
      expect(plan(played, played, NUMBER, lost).build).toContainEqual({ kind: 'forwarding', machines: ['a', 'b'] });
    });

    it('is what a switch process takes', () => {
      for (const config of switchConfigs(withVxlan({ group: '239.1.1.1', remote: undefined }), NUMBER).values())
        expect(parseConfig(config)).toEqual(config);
    });
  });

  it('touches nobody but a host that comes, whose name the others learn', () => {
    const before = network();
    const nodes: RawScenario['nodes'] = { ...lan.nodes, h3: { kind: 'host' } };
    const after = network({ nodes, links: [...lan.links!, { endpoints: ['h3', 's1'] }] }, before);
    expect(plan(before, after, NUMBER)).toEqual({
      build: [
        { kind: 'hosts', nodes: ['h3'] },
        { kind: 'names', nodes: ['h1', 'h2'] },
        { kind: 'ports', nodes: ['h3'] },
        { kind: 'addresses', nodes: ['h3'] },
        { kind: 'forwarding', machines: ['local'] },
        { kind: 'announce', nodes: ['h3'] },
      ],
      clear: [],
    });
    expect(plan(after, before, NUMBER)).toEqual({
      build: [
        { kind: 'names', nodes: ['h1', 'h2'] },
        { kind: 'forwarding', machines: ['local'] },
      ],
      clear: [
        { kind: 'remove-hosts', nodes: ['h3'] },
        { kind: 'unplug', ports: [{ machine: 'local', node: 'h3', port: 'eth0' }] },
      ],
    });
  });

  it('plays machines once there is a tunnel between them', () => {
    const before = network({ machines: ['a', 'b'] });
    const nodes: RawScenario['nodes'] = { ...lan.nodes, h2: { kind: 'host', machine: 'b' } };
    const after = network({ machines: ['a', 'b'], nodes }, before);
    const { build, clear } = plan(before, after, NUMBER);
    expect(build).toContainEqual({ kind: 'underlay', machines: ['a', 'b'] });
    expect(build).toContainEqual({ kind: 'identities', machines: ['a', 'b'] });
    expect(build).toContainEqual({ kind: 'tunnels', pairs: [['a', 'b']] });
    expect(build).toContainEqual({ kind: 'seals', pairs: [['a', 'b']] });
    expect(clear).toContainEqual({ kind: 'lift-limits', nodes: ['h2'] });
    expect(plan(after, before, NUMBER).clear).toContainEqual({ kind: 'remove-machines', machines: ['a', 'b'] });
  });

  it('gives and takes keys where a network is sealed from now on, or not any more', () => {
    const nodes: RawScenario['nodes'] = { ...lan.nodes, h2: { kind: 'host', machine: 'b' } };
    const sealed = network({ machines: ['a', 'b'], nodes });
    const open = network({ machines: ['a', 'b'], nodes, seal: 'none' });
    expect(plan(open, sealed, NUMBER)).toEqual({
      build: [
        { kind: 'identities', machines: ['a', 'b'] },
        { kind: 'forwarding', machines: ['a', 'b'] },
        { kind: 'seals', pairs: [['a', 'b']] },
      ],
      clear: [],
    });
    expect(plan(sealed, open, NUMBER)).toEqual({
      build: [{ kind: 'forwarding', machines: ['a', 'b'] }],
      clear: [{ kind: 'forget-identities', machines: ['a', 'b'] }],
    });
    const lost = plan(sealed, sealed, NUMBER, { ...NO_LOSS, switches: new Set(['b']) });
    expect(kinds(lost.build)).toEqual(['switches', 'forwarding', 'seals']);
  });

  it('makes again what was lost, and nothing else', () => {
    const net = network();
    const lost = plan(net, net, NUMBER, { ...NO_LOSS, switches: new Set(['local']) });
    expect(kinds(lost.build)).toEqual(['switches', 'forwarding']);
    const host = plan(net, net, NUMBER, { ...NO_LOSS, nodes: new Set(['h1']) });
    expect(host.build).toEqual([
      { kind: 'hosts', nodes: ['h1'] },
      { kind: 'ports', nodes: ['h1'] },
      { kind: 'addresses', nodes: ['h1'] },
      { kind: 'forwarding', machines: ['local'] },
      { kind: 'commands', nodes: ['h1'] },
    ]);
  });
});

// --- any network to any other ----------------------------------------------------------------------------------------

/** What a host has. */
interface ModelHost {
  names: string;
  readonly interfaces: Set<string>;
  configuration: unknown;
  command: unknown;
}

/** All that there is of a network, as the actions leave it: each brings about a state, whatever was there before. */
class Model {
  keeper = false;
  readonly hosts = new Map<string, ModelHost>();
  readonly limits = new Map<string, unknown>();
  /** Machine → what its switch process was told. */
  readonly switches = new Map<string, unknown>();
  readonly played = new Set<string>();
  /** Descriptors that the keeper holds: `MACHINE/DEVICE`. */
  readonly held = new Set<string>();
  /** Machines that have a key and a certificate. */
  readonly identities = new Set<string>();

  static of(to: Network): Model {
    const model = new Model();
    model.do(plan(undefined, to, NUMBER).build, to);
    return model;
  }

  do(actions: readonly Action[], to: Network): void {
    for (const action of actions) this.#apply(action, to);
  }

  /** What `letGo` leaves of it; returns the losses with the switch processes that had to end. */
  lose(network: Network, lost: Losses): Losses {
    const broken = tunnels(network, switchConfigs(network, NUMBER)).filter((pair) =>
      pair.some((machine) => lost.machines.has(machine)),
    );
    const ended = lost.keeper ? [...this.switches.keys()] : broken.flat();
    const switches = new Set([...lost.switches, ...ended]);
    for (const machine of switches) this.switches.delete(machine);
    for (const machine of lost.machines) this.played.delete(machine);
    for (const [a, b] of broken) for (const name of udpNames(a, b)) this.held.delete(name);
    for (const name of lost.nodes) {
      this.hosts.delete(name);
      for (const held of [...this.held]) if (held.includes(`/tap:${name}:`)) this.held.delete(held);
    }
    if (lost.keeper) {
      this.keeper = false;
      this.held.clear();
    }
    return { ...lost, switches };
  }

  #apply(action: Action, to: Network): void {
    const nodes = new Map(netnsNodes(to).map((node) => [node.name, node]));
    const host = (name: string): ModelHost => {
      const found = this.hosts.get(name);
      if (found === undefined) throw new Error(`${action.kind} of ${name}, which is not there`);
      return found;
    };
    switch (action.kind) {
      case 'keeper':
        this.keeper = true;
        break;
      case 'switches':
        for (const machine of action.machines) if (!this.switches.has(machine)) this.switches.set(machine, undefined);
        break;
      case 'underlay':
        for (const machine of action.machines) this.played.add(machine);
        break;
      case 'limits':
        for (const name of action.nodes) this.limits.set(name, limitsOf(nodes.get(name)!));
        break;
      case 'hosts':
        for (const name of action.nodes)
          if (!this.hosts.has(name))
            this.hosts.set(name, {
              names: hostsFile(to, name),
              interfaces: new Set(),
              configuration: undefined,
              command: undefined,
            });
        break;
      case 'names':
        for (const name of action.nodes) host(name).names = hostsFile(to, name);
        break;
      case 'ports':
        for (const name of action.nodes)
          for (const port of nodes.get(name)!.ports) {
            const held = `${nodes.get(name)!.machine}/${tapName(name, port.name)}`;
            if (!this.held.has(held)) host(name).interfaces.add(port.name);
            this.held.add(held);
          }
        break;
      case 'identities':
        for (const machine of action.machines) this.identities.add(machine);
        break;
      case 'tunnels':
        for (const [a, b] of action.pairs) {
          expect([this.played.has(a), this.played.has(b)]).toEqual([true, true]);
          for (const name of udpNames(a, b)) this.held.add(name);
        }
        break;
      case 'addresses':
        for (const name of action.nodes) {
          const { ports } = nodes.get(name)!;
          for (const port of ports) expect(host(name).interfaces).toContain(port.name);
          const interfaces = ports.map(({ name: port, mac, mtuBytes }) => [port, mac, mtuBytes]);
          host(name).configuration = [interfaces, nodeConfiguration(nodes.get(name)!, '')];
        }
        break;
      case 'forwarding': {
        const configs = switchConfigs(to, NUMBER);
        for (const machine of action.machines) {
          const config = configs.get(machine);
          for (const { name } of config?.devices ?? []) expect(this.held).toContain(`${machine}/${name}`);
          expect(this.switches.has(machine)).toBe(true);
          const peers = to.machines.filter(({ name }) => sealsTo(config, name)).map(({ name }) => name);
          for (const name of peers) expect([...this.identities]).toEqual(expect.arrayContaining([machine, name]));
          this.switches.set(machine, config);
        }
        break;
      }
      case 'seals':
        for (const [a, b] of action.pairs)
          expect([sealsTo(this.switches.get(a), b), sealsTo(this.switches.get(b), a)]).toEqual([true, true]);
        break;
      case 'announce':
        for (const name of action.nodes) expect(host(name).configuration).toBeDefined();
        break;
      case 'commands':
        for (const name of action.nodes) host(name).command = commandOf(nodes.get(name)!);
        break;
      case 'end-commands':
        for (const name of action.nodes) host(name).command = undefined;
        break;
      case 'remove-hosts':
        for (const name of action.nodes) this.hosts.delete(name);
        break;
      case 'unplug':
        for (const { machine, node, port } of action.ports) {
          this.held.delete(`${machine}/${tapName(node, port)}`);
          if (nodes.get(node)?.ports.some(({ name }) => name === port) !== true)
            this.hosts.get(node)?.interfaces.delete(port);
        }
        break;
      case 'close-tunnels':
        for (const [a, b] of action.pairs) for (const name of udpNames(a, b)) this.held.delete(name);
        break;
      case 'end-switches':
        for (const machine of action.machines) this.switches.delete(machine);
        break;
      case 'remove-machines':
        for (const machine of action.machines) this.played.delete(machine);
        break;
      case 'forget-identities':
        for (const machine of action.machines) this.identities.delete(machine);
        break;
      case 'lift-limits':
        for (const name of action.nodes) {
          const left = nodes.has(name) ? limitsOf(nodes.get(name)!) : undefined;
          if (left === undefined) this.limits.delete(name);
          else this.limits.set(name, left);
        }
        break;
    }
  }
}

/** Whether a switch process of this configuration has a sealed tunnel to that machine. */
function sealsTo(config: unknown, peer: string): boolean {
  const devices = (config as SwitchConfig | undefined)?.devices ?? [];
  return devices.some((device) => device.kind === 'udp' && device.name === udpName(peer) && device.seal === 'required');
}

function udpNames(a: string, b: string): string[] {
  return [`${a}/${udpName(b)}`, `${b}/${udpName(a)}`];
}

function limitsOf({ cpu, memoryBytes }: { cpu?: number; memoryBytes?: number }): unknown {
  return cpu === undefined && memoryBytes === undefined ? undefined : { cpu, memoryBytes };
}

function commandOf({ command, env }: { command?: readonly string[]; env: unknown }): unknown {
  return command === undefined ? undefined : { command, env };
}

/** Some of its hosts with limits, which the random scenarios leave out, as only root can have them. */
function limited(raw: RawScenario): RawScenario {
  const nodes = Object.entries(raw.nodes).map(([name, node]): [string, RawNode] => {
    if (node.kind !== 'host') return [name, node];
    const limits = { one: { cpu: 0.5 }, two: { cpu: 0.5, memory: '64MiB' } }[node.env?.WHICH ?? ''];
    return [name, { ...node, ...limits }];
  });
  return { ...raw, nodes: Object.fromEntries(nodes) };
}

describe('a plan from any network to any other', () => {
  const resolved = pairs.map(([a, b]) => {
    const from = resolve(load(limited(a)));
    return [from, resolve(load(limited(b)), from)] as const;
  });

  it('leaves what the other is from nothing', () => {
    fc.assert(
      fc.property(resolved, ([from, to]) => {
        const model = Model.of(from);
        const { build, clear } = plan(from, to, NUMBER);
        model.do([...build, ...clear], to);
        expect(model).toEqual(Model.of(to));
        const order = kinds(build).map((kind) => (BUILD_KINDS as readonly string[]).indexOf(kind));
        expect(order).toEqual(order.toSorted((a, b) => a - b));
      }),
    );
  });

  it('has nothing to do where both are the same', () => {
    fc.assert(
      fc.property(resolved, ([, to]) => {
        expect(plan(to, to, NUMBER)).toEqual({ build: [], clear: [] });
        expect(sameNetwork(to, structuredClone(to))).toBe(true);
      }),
    );
  });

  it('goes back from wherever it was interrupted before it counted', () => {
    fc.assert(
      fc.property(resolved, fc.nat(), ([from, to], stop) => {
        const model = Model.of(from);
        const { build } = plan(from, to, NUMBER);
        model.do(build.slice(0, stop % (build.length + 1)), to);
        const back = plan(to, from, NUMBER);
        // Nothing says how far it came: what it had not come to is done, and undone, all the same.
        model.do([...back.build, ...back.clear], from);
        expect(model).toEqual(Model.of(from));
      }),
    );
  });

  const losses = fc.record({
    keeper: fc.boolean(),
    switches: fc.array(fc.nat(3)),
    machines: fc.array(fc.nat(3)),
    nodes: fc.array(fc.nat(5)),
  });

  it('goes back from wherever it was interrupted, whatever hosts were lost meanwhile', () => {
    fc.assert(
      fc.property(resolved, fc.nat(), losses, ([from, to], stop, chosen) => {
        const model = Model.of(from);
        const { build } = plan(from, to, NUMBER);
        model.do(build.slice(0, stop % (build.length + 1)), to);
        const names = [...model.hosts.keys()];
        const nodes = new Set(chosen.nodes.flatMap((i) => names[i] ?? []));
        const back = plan(to, from, NUMBER, model.lose(from, { ...NO_LOSS, nodes }));
        model.do([...back.build, ...back.clear], from);
        expect(model).toEqual(Model.of(from));
      }),
    );
  });

  it('makes again what was lost of the first on the way', () => {
    fc.assert(
      fc.property(resolved, losses, ([from, to], chosen) => {
        const model = Model.of(from);
        const some = (all: readonly string[], which: readonly number[]): Set<string> =>
          new Set(which.flatMap((i) => all[i] ?? []));
        const lost = model.lose(from, {
          keeper: chosen.keeper,
          switches: some([...model.switches.keys()], chosen.switches),
          machines: some([...model.played], chosen.machines),
          nodes: some([...model.hosts.keys()], chosen.nodes),
        });
        const { build, clear } = plan(from, to, NUMBER, lost);
        model.do([...build, ...clear], to);
        expect(model).toEqual(Model.of(to));
      }),
    );
  });
});
