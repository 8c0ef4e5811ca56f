import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../model/errors.js';
import type { RawLink, RawScenario } from '../model/scenario.js';
import { load, loadText } from './scenario/index.js';
import { refuseUnsupported } from './unsupported.js';

const refusal = (text: string): UnsupportedError => {
  const scenario = loadText(text, 'x.yaml');
  try {
    refuseUnsupported(scenario);
  } catch (error) {
    if (error instanceof UnsupportedError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

/** The refusal of an object; undefined when it is accepted. */
const link = (a: string, b: string): RawLink => ({ endpoints: [a, b] });

const message = (scenario: RawScenario): string | undefined => {
  try {
    refuseUnsupported(load(scenario));
  } catch (error) {
    if (error instanceof UnsupportedError) return error.message;
    throw error;
  }
  return undefined;
};

const HEAD = 'name: x\nnodes: { s1: { kind: switch }, s2: { kind: switch }, h1: { kind: host } }\n';

describe('what up does not do yet', () => {
  it.each([['lans: { red: {} }', 3, 1, 'several LANs']])('%j', (text, line, column, message) => {
    const error = refusal(HEAD + text);
    expect(error.position).toEqual({ file: 'x.yaml', line, column });
    expect(error.message).toContain(message);
    expect(error.hint).toBeDefined();
  });

  it.each([
    ['{ kind: jetway }', 16, 'jetways'],
    ['{ kind: host, type: vm }', 28, 'type vm'],
    ['{ kind: router, routing: ospf }', 30, 'ospf'],
  ])('%s', (node, column, message) => {
    const error = refusal(`name: x\nnodes: { n1: ${node} }`);
    expect(error.position).toMatchObject({ line: 2, column });
    expect(error.message).toContain(message);
  });

  it('is named in the order of the file', () => {
    const nodes = 'nodes: { j1: { kind: jetway } }\n';
    expect(refusal(`name: x\n${nodes}lans: {}\n`).message).toContain('jetways');
    expect(refusal(`name: x\nlans: {}\n${nodes}`).message).toContain('several LANs');
  });

  describe('more than a machine’s switch process holds', () => {
    const hosts = (count: number, machine: string): RawScenario['nodes'] =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`${machine}${i}`, { kind: 'host', machine }]));
    const toSwitch = (nodes: RawScenario['nodes']): RawLink[] => Object.keys(nodes).map((name) => link(name, 's'));
    it('of ports: at the link that is one too many', () => {
      const nodes = hosts(4097, 'a');
      const scenario: RawScenario = {
        name: 'x',
        machines: ['a'],
        nodes: { s: { kind: 'switch' }, ...nodes },
        links: toSwitch(nodes),
      };
      expect(message(scenario)).toMatch(/^links\[4096\]: more than 4096 ports and tunnels on one machine \(here a\)/);
      expect(message({ ...scenario, links: scenario.links!.slice(0, 4096) })).toBeUndefined();
    });

    it('of tunnels beside them: at the switch that they join', () => {
      const nodes = { ...hosts(4096, 'a'), ...hosts(1, 'b') };
      const scenario: RawScenario = {
        name: 'x',
        machines: ['a', 'b'],
        nodes: { s: { kind: 'switch' }, ...nodes },
        links: toSwitch(nodes),
      };
      expect(message(scenario)).toMatch(/^nodes.s: more than 4096 ports and tunnels on one machine \(here a\)/);
      expect(message({ ...scenario, links: scenario.links!.slice(1) })).toBeUndefined();
    });

    it('of links: at the one that is too many', () => {
      const names = Array.from({ length: 10_242 }, (_, i) => `s${i}`);
      const chain = names.slice(1).map((name, i) => link(names[i]!, name));
      const nodes = Object.fromEntries(names.map((name) => [name, { kind: 'switch' as const }]));
      expect(message({ name: 'x', nodes, links: chain })).toMatch(
        /^links\[10240\]: more than 10240 links on one machine/,
      );
      expect(message({ name: 'x', nodes, links: chain.slice(0, 10_240) })).toBeUndefined();
    });
  });

  it('more links than a tunnel has channels for', () => {
    const machines = Array.from({ length: 16 }, (_, i) => `m${i}`);
    const hosts = machines.flatMap((machine) => [`${machine}-a`, `${machine}-b`].map((name) => ({ name, machine })));
    const nodes = Object.fromEntries(hosts.map(({ name, machine }) => [name, { kind: 'host' as const, machine }]));
    const links = Array.from({ length: 32768 }, (_, i): RawLink => ({ endpoints: [`m${i % 16}-a`, `m${i % 16}-b`] }));
    expect(message({ name: 'x', machines, nodes, links })).toMatch(/^links\[32767\]: more than 32767 links/);
  });

  it('more switches than a tunnel has channels for', () => {
    const switches = Array.from({ length: 32769 }, (_, i) => [`s${i}`, { kind: 'switch' as const }] as const);
    expect(message({ name: 'x', nodes: Object.fromEntries(switches) })).toMatch(
      /^nodes.s32768: more than 32768 switches/,
    );
  });

  it('more machines than have been tried', () => {
    const machines = Array.from({ length: 257 }, (_, i) => `m${i}`);
    expect(message({ name: 'x', machines, nodes: { s1: { kind: 'switch' } } })).toMatch(
      /^machines\[256\]: more than 256 machines/,
    );
  });

  it('more routes than a kernel is given in a reasonable time', () => {
    const routers = Array.from({ length: 726 }, (_, i) => `r${i}`);
    const links = routers.slice(1).map((name, i) => link(routers[i]!, name));
    const nodes = Object.fromEntries(routers.map((name) => [name, { kind: 'router' as const }]));
    expect(message({ name: 'x', nodes, links })).toMatch(/^nodes.r723: more than 1048576 routes/);
    delete nodes['r725'];
    delete nodes['r724'];
    expect(message({ name: 'x', nodes, links: links.slice(0, 723) })).toBeUndefined();
  });

  it('more joins between the parts of switches than links on a machine', () => {
    const machines = Array.from({ length: 64 }, (_, i) => `m${i}`);
    const hosts = machines.map((machine) => [`h-${machine}`, { kind: 'host' as const, machine }] as const);
    const switches = Array.from({ length: 170 }, (_, i) => [`s${i}`, { kind: 'switch' as const }] as const);
    const links = switches.flatMap(([name]) => hosts.map(([host]) => link(host, name)));
    const scenario = { name: 'x', machines, nodes: Object.fromEntries([...hosts, ...switches]), links };
    expect(message(scenario)).toMatch(/^nodes.s162: more than 10240 links on one machine/);
  });

  it('leaves what is built alone', () => {
    const scenario = load({
      name: 'x',
      machines: ['a', 'b'],
      pool: { subnet: '10.9.0.0/16' },
      nodes: {
        s1: { kind: 'switch', transparent: true },
        s2: { kind: 'switch' },
        s3: { kind: 'switch' },
        h1: { kind: 'host', type: 'netns', command: ['true'], cpu: 1, memory: '4MiB' },
        r1: { kind: 'router', routing: 'static', machine: 'b' },
      },
      links: [
        { endpoints: ['s1', 's2'], state: 'down', mtu: 9000 },
        { endpoints: ['s3', 's2'] },
        { endpoints: ['h1', 's1'], mtu: 9000, name: 'big', forward: { state: 'down' }, rate: '1mbit', queue: 'pie' },
        { endpoints: ['r1', 's1'] },
        { endpoints: ['r1', 'h1'], subnet: '192.0.2.0/30' },
      ],
    });
    expect(() => refuseUnsupported(scenario)).not.toThrow();
  });
});
