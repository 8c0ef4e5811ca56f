import { describe, expect, it } from 'vitest';
import type { Network } from '../model/network.js';
import type { RawScenario } from '../model/scenario.js';
import { load, resolve } from './scenario/index.js';
import { moved } from './stations.js';

/** h1 and h2 on s1, which s2 is linked to, with h3 on it; r1 on s1, linked first. */
function network(edit: (raw: RawScenario) => unknown = () => undefined, previous?: Network): Network {
  const raw: RawScenario = {
    name: 'n',
    machines: ['a', 'b'],
    nodes: {
      s1: { kind: 'switch', subnet: '10.0.0.0/24' },
      s2: { kind: 'switch' },
      r1: { kind: 'router' },
      h1: { kind: 'host' },
      h2: { kind: 'host' },
      h3: { kind: 'host' },
    },
    links: [
      { endpoints: ['r1', 's1'] },
      { endpoints: ['h1', 's1'] },
      { endpoints: ['h2', 's1'] },
      { endpoints: ['h3', 's2'] },
      { endpoints: ['s1', 's2'] },
    ],
  };
  edit(raw);
  return resolve(load(raw), previous);
}

function movedBy(edit: (raw: RawScenario) => unknown): string[] {
  const before = network();
  return moved(before, network(edit, before));
}

const links = (raw: RawScenario): { endpoints: unknown }[] => raw.links as unknown as { endpoints: unknown }[];

describe('moved', () => {
  it('is nobody where nothing changed, or what others do not remember', () => {
    expect(movedBy(() => undefined)).toEqual([]);
    expect(movedBy(({ nodes }) => Object.assign(nodes.h1!, { command: ['sleep', '1'], env: { A: 'b' } }))).toEqual([]);
    expect(movedBy((raw) => Object.assign(links(raw)[1]!, { name: 'cable', mtu: 9000 }))).toEqual([]);
  });

  it('is one that comes, as it may have the address of one that went', () => {
    const before = network((raw) => {
      delete raw.nodes.h3;
      links(raw).splice(3, 1);
    });
    const after = network((raw) => {
      delete raw.nodes.r1;
      links(raw).shift();
    }, before);
    const addressOf = (of: Network, name: string): unknown =>
      of.nodes.flatMap((node) => ('ports' in node && node.name === name ? node.ports : []))[0]?.addresses;
    expect(addressOf(after, 'h3')).toEqual(addressOf(before, 'r1'));
    expect(moved(before, after)).toEqual(['h3']);
  });

  it('is one with another address, MAC, port, switch or machine', () => {
    expect(movedBy((raw) => (links(raw)[2]!.endpoints = [{ node: 'h2', address: '10.0.0.9/24' }, 's1']))).toEqual([
      'h2',
    ]);
    expect(movedBy((raw) => (links(raw)[2]!.endpoints = [{ node: 'h2', mac: '02:00:00:00:00:02' }, 's1']))).toEqual([
      'h2',
    ]);
    expect(movedBy((raw) => links(raw).push({ endpoints: ['h2', 's2'] }))).toEqual(['h2']);
    expect(movedBy((raw) => (links(raw)[2]!.endpoints = ['h2', 's2']))).toEqual(['h2']);
    expect(movedBy(({ nodes }) => Object.assign(nodes.h2!, { machine: 'b' }))).toContain('h2');
  });

  it('is all of a LAN whose switches are joined in another way', () => {
    const chain = (raw: RawScenario): void => {
      raw.nodes.s3 = { kind: 'switch' };
      links(raw).push({ endpoints: ['s2', 's3'] });
      raw.nodes.lone = { kind: 'switch' };
      raw.nodes.h4 = { kind: 'host' };
      links(raw).push({ endpoints: ['h4', 'lone'] });
    };
    const before = network(chain);
    const after = network((raw) => {
      chain(raw);
      links(raw).find(({ endpoints }) => String(endpoints) === 's2,s3')!.endpoints = ['s1', 's3'];
    }, before);
    expect(moved(before, after)).toEqual(['r1', 'h1', 'h2', 'h3']);
  });

  it('is one whose link comes up again, or all of a LAN that two parts of do; nobody while a link goes down', () => {
    const whole = network();
    const cut = (index: number): Network =>
      network((raw) => Object.assign(links(raw)[index]!, { state: 'down' }), whole);
    const [withoutH1, apart] = [cut(1), cut(4)];
    expect([moved(whole, withoutH1), moved(whole, apart)]).toEqual([[], []]);
    expect(moved(withoutH1, whole)).toEqual(['h1']);
    expect(moved(apart, whole)).toEqual(['r1', 'h1', 'h2', 'h3']);
  });
});
