import { describe, expect, it } from 'vitest';
import type { RawScenario } from '../model/scenario.js';
import { load, resolve } from './scenario/index.js';
import { previewOf } from './preview.js';

const lan = {
  name: 'n',
  machines: ['a', 'b'],
  nodes: {
    s1: { kind: 'switch', subnet: '10.0.0.0/24', machine: 'a' },
    h1: { kind: 'host' },
    h2: { kind: 'host' },
  },
  links: [{ endpoints: ['h1', 's1'] }, { endpoints: ['h2', 's1'] }],
} as const satisfies RawScenario;
const running = resolve(load(lan));
const preview = (change: Partial<RawScenario>): ReturnType<typeof previewOf> =>
  previewOf(running, resolve(load({ ...lan, ...change }), running));

describe('previewOf', () => {
  it('adds everything where nothing runs', () => {
    const { runs, differences, steps } = previewOf(undefined, running);
    expect(runs).toBe(false);
    expect(differences.map(({ change, kind, name }) => `${change} ${kind} ${name}`)).toEqual([
      'add machine a',
      'add machine b',
      'add switch s1',
      'add host h1',
      'add host h2',
      'add link h1--s1',
      'add link h2--s1',
    ]);
    expect(steps[0]).toBe('start the keeper');
  });

  it('says nothing of what is the same', () => {
    expect(preview({})).toEqual({ network: 'n', runs: true, differences: [], steps: [] });
  });

  it('says what of a node is different, from what to what', () => {
    const { differences, steps } = preview({
      nodes: {
        ...lan.nodes,
        h1: { kind: 'router' },
        h2: { kind: 'host', machine: 'b', command: ['sleep', '9'], memory: '64MiB', env: { A: '1' } },
      },
    });
    expect(differences).toEqual([
      // A router is every host's gateway.
      { change: 'change', kind: 'router', name: 'h1', details: ['kind: host → router'] },
      {
        change: 'change',
        kind: 'host',
        name: 'h2',
        details: [
          'machine: a → b',
          'memory: none → 67108864 B',
          'command: none → sleep 9',
          'env',
          'routes: none → 0.0.0.0/0 via 10.0.0.1',
        ],
      },
    ]);
    expect(steps).toContain('open 1 tunnel');
    expect(steps).toContain('start the command of host h2');
  });

  it('says whether frames between machines are sealed from now on', () => {
    const { differences, steps } = preview({ seal: 'none' });
    expect(differences).toEqual([{ change: 'change', kind: 'network', name: 'n', details: ['seal: auto → none'] }]);
    expect(steps).toEqual([]);
  });

  it('says how much parity there is from now on', () => {
    const [network] = preview({ fec: '10%' }).differences;
    expect(network!.details).toEqual(['fec: none → 10%']);
  });

  it('says what of ports and links is different, and what goes last', () => {
    const { differences } = preview({
      nodes: { s1: lan.nodes.s1, h1: lan.nodes.h1, s2: { kind: 'switch', transparent: true } },
      links: [
        {
          endpoints: [{ node: 'h1', address: '10.0.0.9/24', mac: '02:00:00:00:00:01' }, 's1'],
          mtu: 9000,
          state: 'down',
        },
        { endpoints: ['h1', 's2'] },
      ],
    });
    const { mac } = running.nodes.flatMap((node) => (node.kind === 'host' ? node.ports : []))[0]!;
    expect(differences).toEqual([
      {
        change: 'change',
        kind: 'host',
        name: 'h1',
        details: [
          'addresses of eth0: 10.0.0.1/24 → 10.0.0.9/24',
          `MAC of eth0: ${mac} → 02:00:00:00:00:01`,
          'MTU of eth0: 1500 → 9000',
          'new port eth1',
        ],
      },
      { change: 'add', kind: 'switch', name: 's2', details: [] },
      { change: 'remove', kind: 'host', name: 'h2', details: [] },
      { change: 'change', kind: 'link', name: 'h1--s1', details: ['state: up → down'] },
      { change: 'add', kind: 'link', name: 'h1--s2', details: [] },
      { change: 'remove', kind: 'link', name: 'h2--s1', details: [] },
    ]);
  });

  it('says what of a link’s properties is different, as it is written', () => {
    const links = [
      { ...lan.links[0], delay: '10ms', forward: { rate: '10mbit', queue: 'codel' } },
      lan.links[1],
    ] as const;
    const { differences } = preview({ links: [...links], seed: 7 });
    expect(differences).toEqual([
      { change: 'change', kind: 'network', name: 'n', details: ['seed: 1 → 7'] },
      {
        change: 'change',
        kind: 'link',
        name: 'h1--s1',
        details: [
          'from h1:eth0: rate: none → 10mbit',
          'from h1:eth0: queue: none → { discipline: codel, target: 5ms, interval: 100ms, ecn: false }',
          'delay: none → 10ms',
        ],
      },
    ]);
  });

  it('says that the schedule is another', () => {
    const events = [{ at: '1s', link: 'h1--s1', set: { delay: '5ms' } }];
    const [difference] = preview({ events }).differences;
    expect(difference?.details).toEqual(['events: 0 → 1']);
  });
});
