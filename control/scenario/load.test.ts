import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scenarioText } from '../../test/fuzz/scenario-text.js';
import { ScenarioError } from '../../model/errors.js';
import type { RawScenario } from '../../model/scenario.js';
import { load, loadText, parseScenario } from './load.js';
import { resolve } from './resolve.js';
import { MAX_BYTES, MAX_MARKS, MAX_VALUES } from './source-limits.js';

const failure = (run: () => unknown): ScenarioError => {
  try {
    run();
  } catch (error) {
    if (error instanceof ScenarioError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

/** A scenario in which one thing can be wrong: lines are counted by the tests below. */
const HEAD =
  'name: test\nnodes:\n  s1: { kind: switch, subnet: 10.0.1.0/24 }\n  h1: { kind: host }\n  h2: { kind: host }\n';

describe('a scenario that is right', () => {
  it('keeps what was written, frozen, with positions', () => {
    const scenario = loadText(`${HEAD}links:\n  - { endpoints: [h1, s1], delay: 10ms }\n`, 'x.yaml');
    expect(scenario.file).toBe('x.yaml');
    expect(scenario.raw.links?.[0]?.delay).toBe('10ms');
    expect(Object.isFrozen(scenario)).toBe(true);
    expect(Object.isFrozen(scenario.raw.links?.[0])).toBe(true);
    expect(scenario.position(['links', 0, 'delay'])).toEqual({ file: 'x.yaml', line: 7, column: 35 });
    expect(scenario.keyPosition(['links', 0, 'delay'])).toEqual({ file: 'x.yaml', line: 7, column: 28 });
    expect(scenario.position(['links', 0, 'rate'])).toEqual({ file: 'x.yaml', line: 7, column: 5 });
    expect(scenario.position(['nodes', 'h1'])).toEqual({ file: 'x.yaml', line: 4, column: 7 });
    expect(scenario.position([])).toEqual({ file: 'x.yaml', line: 1, column: 1 });
  });

  it('may be an object, whose positions are all the same', () => {
    const raw: RawScenario = { name: 'x', nodes: { h1: { kind: 'host' } } };
    const scenario = load(raw);
    expect(scenario.file).toBeUndefined();
    expect(scenario.position(['nodes', 'h1'])).toEqual({ file: '<object>', line: 1, column: 1 });
    expect(Object.isFrozen(raw)).toBe(false);
  });

  it('may be JSON, have a byte order mark, aliases and quoted keys', () => {
    expect(loadText('{"name":"x","nodes":{"h1":{"kind":"host"}}}', 'x').raw.name).toBe('x');
    const aliased = loadText('name: x\nnodes:\n  "1": &host { kind: host, env: { A: b } }\n  h2: *host\n', 'x');
    expect(aliased.raw.nodes['h2']).toEqual({ kind: 'host', env: { A: 'b' } });
    expect(aliased.position(['nodes', 'h2', 'env', 'A']).line).toBe(3);
  });

  it('may have names that objects inherit', () => {
    const scenario = loadText('name: x\nnodes:\n  constructor: { kind: host }\n  valueof: { kind: host }\n', 'x');
    expect(resolve(scenario).nodes.map(({ name }) => name)).toEqual(['constructor', 'valueof']);
  });

  it('may limit a host to what is just enough, and to more than a machine has', () => {
    const limits = [
      { cpu: 0.01, memory: '4MiB' },
      { cpu: 4096, memory: '8589934591MiB' },
    ];
    for (const limit of limits) expect(load({ name: 'x', nodes: { h1: { kind: 'host', ...limit } } })).toBeDefined();
  });

  it('is every example of the reference', () => {
    const reference = readFileSync(new URL('../../docs/scenario.md', import.meta.url), 'utf8');
    const examples = [...reference.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text);
    expect(examples.length).toBeGreaterThan(8);
    for (const example of examples)
      expect(resolve(loadText(example, 'docs/scenario.md')).nodes.length).toBeGreaterThan(0);
  });
});

describe('a scenario that is wrong', () => {
  // Each: what follows HEAD (or, from "name", all of it), where the problem is, what is said, what would be right.
  it.each([
    ['name: [', 1, 8, 'not YAML', 'close every "["'],
    ['name: "x\nnodes: {}', 2, 1, 'not YAML', 'close every "[", "{" and quote'],
    ['name: x\n\tnodes: {}', 2, 1, 'not YAML', 'indent with spaces'],
    ['name: x\nnodes:\n  h1: {}\n \th2: {}', 4, 3, 'not YAML', 'spaces'],
    ['name: x: y', 1, 8, 'not YAML', 'quote text with ": "'],
    ['name: !secret x\nnodes: {}', 1, 7, 'the tag "!secret" means nothing', 'in quotes'],
    ['name: !!binary eA==\nnodes: {}', 1, 7, 'the tag "!!binary" means nothing', 'in quotes'],
    ['name: &n x\nnodes: { h1: &h !!map { kind: host } }', 2, 17, 'the tag "!!map"', undefined],
    ['%YAML 1.1\n---\nname: no\nnodes: { h1: { kind: host, memory: 02:00 } }', 4, 36, 'no unit', undefined],
    ['name: *x\nnodes: {}', 1, 7, 'no anchor', '&x'],
    ['name: x\nnodes: { h1: { kind: host, <<: { cpu: 1 } } }', 2, 28, 'a merge key', 'alias'],
    ['name: x\nnodes: { ? [a, b] : { kind: host } }', 2, 12, 'a key is a string', undefined],
    ['name: x\nnodes: { ~: { kind: host } }', 2, 10, 'a key is a string', undefined],
    ['name: |\n  x\nnodes: { h1: { kind: host } }', 1, 7, '"x\\n" is not a name', '"x"'],
    ['name: x\n---\nname: y', 2, 1, 'a second YAML document', 'a file of its own'],
    ['name: x\nname: y', 2, 1, '"name" stands twice', undefined],
    ['name: x\nnodes: { h1: { kind: host }, h1: { kind: host } }', 2, 30, '"h1" stands twice', undefined],
    ['name: x\nnodes: { 1: { kind: host } }', 2, 10, 'a key is a string', '"1"'],
    ['name: x\nnodes: { __proto__: { kind: host } }', 2, 10, '__proto__', undefined],
    ['name: x', 1, 1, '"nodes" is missing', undefined],
    ['name: x\nnodes:', 2, 1, 'a mapping (key: value) is expected', undefined],
    ['name: x\nnodes: {}', 2, 8, 'at least one node', undefined],
    ['name: 5\nnodes: { h1: { kind: host } }', 1, 7, 'text, not 5', '"5"'],
    ['name: X\nnodes: { h1: { kind: host } }', 1, 7, '"X" is not a name', '"x"'],
    ['name: x\nnodes: { h--1: { kind: host } }', 2, 10, '"h--1" is not a name', '"h-1"'],
    ['name: x\nnodes: { localhost: { kind: host } }', 2, 10, 'every host', undefined],
    ['name: x\nnodes: { h1: { } }', 2, 14, '"kind" is missing', 'switch, host, router, jetway'],
    ['name: x\nnodes: { h1: { knd: host } }', 2, 16, 'unknown key "knd"', 'did you mean "kind"?'],
    ['name: x\nnodes: { h1: { env: { A: b }, Kind: host } }', 2, 31, 'unknown key "Kind"', 'did you mean "kind"?'],
    ['name: x\nnode: { h1: { kind: host } }', 2, 1, 'unknown key "node"', 'did you mean "nodes"?'],
    ['name: x\nnodes: { h1: { kind: hots } }', 2, 22, '"hots" is not a kind of node', '"host"'],
    ['name: x\nnodes: { h1: host }', 2, 14, 'a mapping (key: value) is expected, not "host"', undefined],
    ['name: x\nnodes: { h1: { kind: host, gatway: none } }', 2, 28, 'unknown key "gatway"', '"gateway"'],
    ['name: x\nnodes: { h1: { kind: host, type: vn } }', 2, 34, '"vn" is not one of', '"vm"'],
    ['name: x\nnodes: { h1: { kind: host, command: [a, 80] } }', 2, 41, 'text, not 80', '"80"'],
    ['name: x\nnodes: { h1: { kind: host, command: [] } }', 2, 37, 'at least a program', undefined],
    ['name: x\nnodes: { h1: { kind: host, command: a } }', 2, 37, 'a list is expected', undefined],
    ['name: x\nnodes: { h1: { kind: host, command: ["a\\0"] } }', 2, 38, 'NUL', undefined],
    ['name: x\nnodes: { h1: { kind: host, env: { 1A: b } } }', 2, 35, 'a variable', undefined],
    ['name: x\nnodes: { h1: { kind: host, env: { A: 1 } } }', 2, 38, 'text, not 1', '"1"'],
    ['name: x\nnodes: { h1: { kind: host, cpu: 0 } }', 2, 33, 'at least 0.01', undefined],
    ['name: x\nnodes: { h1: { kind: host, cpu: 0.0099 } }', 2, 33, 'at least 0.01', undefined],
    ['name: x\nnodes: { h1: { kind: host, cpu: 1e9 } }', 2, 33, 'at most 4096 cores', 'no limit'],
    ['name: x\nnodes: { r1: { kind: router, cpu: .inf } }', 2, 35, 'number of cores', '0.5'],
    ['name: x\nnodes: { h1: { kind: host, memory: 256 } }', 2, 36, '256 has no unit', '"256MiB"'],
    ['name: x\nnodes: { h1: { kind: host, memory: 0MiB } }', 2, 36, 'too little', '"4MiB"'],
    ['name: x\nnodes: { h1: { kind: host, memory: 4095KiB } }', 2, 36, 'too little', '"4MiB"'],
    ['name: x\nnodes: { h1: { kind: host, memory: 8PiB } }', 2, 36, '"PiB"', 'B, kB, MB, KiB, MiB'],
    ['name: x\nnodes: { h1: { kind: host, memory: 9007199255MB } }', 2, 36, 'too large', 'the most'],
    ['name: x\nnodes: { h1: { kind: host, machine: a } }', 2, 37, 'no machine "a"', 'machines: [a]'],
    ['name: x\nmachines: [east]\nnodes: { h1: { kind: host, machine: eats } }', 3, 37, 'no machine', '"east"'],
    ['name: x\nmachines: [a, a]\nnodes: { h1: { kind: host } }', 2, 15, 'listed twice', undefined],
    ['name: x\nmachines: []\nnodes: { h1: { kind: host } }', 2, 11, 'at least one', undefined],
    ['name: x\nluthier: 2\nnodes: { h1: { kind: host } }', 2, 10, 'version is 1', undefined],
    ['name: x\nseal: nonne\nnodes: { h1: { kind: host } }', 2, 7, '"nonne" is not one of auto, none', '"none"'],
    ['name: x\nseal: true\nnodes: { h1: { kind: host } }', 2, 7, 'true is not one of auto, none', 'auto, none'],
    ['name: x\nseed: -1\nnodes: { h1: { kind: host } }', 2, 7, 'at least 0', undefined],
    ['name: x\nnodes: { s1: { kind: switch, transparent: yes } }', 2, 43, 'true or false', undefined],
    ['link: []', 6, 1, 'unknown key "link"', '"links"'],
    ['links: [h1]', 6, 9, 'a mapping (key: value) is expected, not "h1"', undefined],
    ['links: [{ endpoints: [h1] }]', 6, 22, 'two endpoints', undefined],
    ['links: [{ endpoints: [h1, s1, h2] }]', 6, 22, 'two endpoints', undefined],
    ['links: [{ name: x }]', 6, 9, '"endpoints" is missing', undefined],
    ['links: [{ delay: 1ms, endpionts: [h1, s1] }]', 6, 23, 'unknown key "endpionts"', '"endpoints"'],
    ['links: [{ endpoints: [h1, { nod: s1 }] }]', 6, 29, 'unknown key "nod"', '"node"'],
    ['links: [{ endpoints: [h1, 5] }]', 6, 27, 'text, not 5', '"5"'],
    ['links: [{ endpoints: [h1, ""] }]', 6, 27, 'not an endpoint', '"h1:eth0"'],
    ['links: [{ endpoints: [h1, "h2:wlan0"] }]', 6, 27, '"wlan0" is not a port', '"h2:eth0"'],
    ['links: [{ endpoints: [h1, { node: s1, prot: eth0 }] }]', 6, 39, 'unknown key "prot"', '"port"'],
    ['links: [{ endpoints: [h1, { port: eth0 }] }]', 6, 27, '"node" is missing', undefined],
    ['links: [{ endpoints: [h1, h3] }]', 6, 27, 'no node "h3"', '"h1"'],
    ['links: [{ endpoints: [h1, { node: h3 }] }]', 6, 35, 'no node "h3"', '"h1"'],
    ['links: [{ endpoints: [h1, h1] }]', 6, 27, 'to itself', undefined],
    ['links: [{ endpoints: ["h1:eth0", "h1:eth1"] }]', 6, 34, 'to itself', undefined],
    ['links: [{ endpoints: [h1, "s1:eth0"] }]', 6, 27, 'takes no port', undefined],
    ['links: [{ endpoints: [h1, { node: s1, address: 10.0.1.1 }] }]', 6, 48, 'takes no address', undefined],
    ['links: [{ endpoints: ["h1:eth0", s1] }, { endpoints: ["h1:eth0", s1] }]', 6, 55, 'has a link already', undefined],
    ['links: [{ endpoints: [h1, s1], name: a }, { endpoints: [h2, s1], name: a }]', 6, 72, 'a link', 'another name'],
    ['links: [{ endpoints: [h1, s1], name: h2 }]', 6, 38, '"h2" is already the name of a node', 'another name'],
    ['links: [{ endpoints: [h1, s1], name: h1--s1 }]', 6, 38, 'is not a name', undefined],
    ['links: [{ endpoints: [h1, s1], subnet: 10.0.2.0/24 }]', 6, 40, 'that switch’s LAN', 'on the switch'],
    ['links: [{ endpoints: [h1, s1], delay: 10 }]', 6, 39, '10 has no unit', '"10ms"'],
    ['links: [{ endpoints: [h1, s1], delay: "10" }]', 6, 39, '"10" has no unit', '"10ms"'],
    ['links: [{ endpoints: [h1, s1], delay: [] }]', 6, 39, 'a time is expected', '"10ms"'],
    ['links: [{ endpoints: [h1, s1], rate: 10mbps }]', 6, 38, '"10mbps" has no unit of a rate', 'mbit'],
    ['links: [{ endpoints: [h1, s1], loss: 2 }]', 6, 38, '2 is not a ratio', '"2%"'],
    ['links: [{ endpoints: [h1, s1], loss: bursty }]', 6, 38, 'not a model of loss', 'gilbert-elliott'],
    ['links: [{ endpoints: [h1, s1], queue: 100 }]', 6, 39, '100 has no unit', '"100p"'],
    ['links: [{ endpoints: [h1, s1], overhead: 20 }]', 6, 42, 'overhead is 0 or 24', undefined],
    ['links: [{ endpoints: [h1, s1], mtu: 67 }]', 6, 37, 'at least 68', undefined],
    ['links: [{ endpoints: [h1, s1], mtu: 65522 }]', 6, 37, 'at most 65521', undefined],
    ['links: [{ endpoints: [h1, s1], mtu: 1500B }]', 6, 37, 'whole number', '1500'],
    ['links: [{ endpoints: [h1, h2], mtu: 1279, subnet6: "fd00::/64" }]', 6, 37, 'too small for IPv6', '1280'],
    ['links: [{ endpoints: [h1, s1], state: on }]', 6, 39, '"on" is not one of up, down', undefined],
    ['links: [{ endpoints: [h1, s1], forward: { mtu: 1500 } }]', 6, 43, 'unknown key "mtu"', undefined],
    ['links: [{ endpoints: [{ node: h1, mac: "02:00" }, s1] }]', 6, 40, 'not a MAC', undefined],
    ['links: [{ endpoints: [{ node: h1, mac: "01:00:00:00:00:01" }, s1] }]', 6, 40, 'group address', undefined],
    ['links: [{ endpoints: [{ node: h1, mac: "00:00:00:00:00:00" }, s1] }]', 6, 40, 'no port’s', undefined],
    ['links: [{ endpoints: [{ node: h1, address: 10.0.2.1/24 }, s1] }]', 6, 44, 'outside of the subnet', '10.0.1.1/24'],
    ['links: [{ endpoints: [{ node: h1, address: 10.0.1.1/16 }, s1] }]', 6, 44, 'another prefix length', '10.0.1.1/24'],
    ['links: [{ endpoints: [{ node: h1, address: 10.0.1.0 }, s1] }]', 6, 44, 'network address', '10.0.1.1/24'],
    ['links: [{ endpoints: [{ node: h1, address: 10.0.1.255 }, s1] }]', 6, 44, 'broadcast address', '10.0.1.1/24'],
    ['links: [{ endpoints: [{ node: h1, address: 10.0.1 }, s1] }]', 6, 44, 'not IPv4', undefined],
    ['links: [{ endpoints: [{ node: h1, address: "fd00::1" }, s1] }]', 6, 44, 'is IPv6, not IPv4', 'address6'],
    ['links: [{ endpoints: [{ node: h1, address6: "fd00::1" }, s1] }]', 6, 45, 'no subnet6', 'on s1'],
    [
      'links: [{ endpoints: [{ node: h1, address: 10.0.1.9 }, s1] }, { endpoints: [{ node: h2, address: 10.0.1.9 }, s1] }]',
      6,
      98,
      '10.0.1.9 is already the address of h1:eth0',
      undefined,
    ],
    [
      'links:\n- endpoints: [{ node: h1, mac: "02:00:00:00:00:0A" }, s1]\n- endpoints: [{ node: h2, mac: "02:00:00:00:00:0a" }, s1]',
      8,
      32,
      '02:00:00:00:00:0a is already the MAC of h1:eth0',
      undefined,
    ],
    [
      'links: [{ endpoints: [h1, h2], subnet: 10.0.1.128/25 }]',
      6,
      40,
      '10.0.1.128/25 overlaps 10.0.1.0/24 of s1',
      undefined,
    ],
    ['links: [{ endpoints: [h1, h2], subnet: 10.9.0.1/24 }]', 6, 40, 'inside of a subnet', '"10.9.0.0/24"'],
    ['links: [{ endpoints: [h1, h2], subnet: 10.9.0.0 }]', 6, 40, 'no prefix length', undefined],
    ['links: [{ endpoints: [h1, h2], subnet: 10.9.0.0/33 }]', 6, 40, 'not IPv4', undefined],
    ['links: [{ endpoints: [h1, h2], subnet: 224.0.0.0/24 }]', 6, 40, 'multicast', '10.0.0.0/8'],
    ['links: [{ endpoints: [h1, h2], subnet: 10.9.0.0/32 }]', 6, 40, 'too small: it has 1 address for 2', undefined],
    ['links: [{ endpoints: [h1, h2], subnet6: "fe80::/64" }]', 6, 41, 'link-local', 'fd00::/8'],
    ['links: [{ endpoints: [h1, { node: s1, lan: red }] }]', 6, 44, 'no LAN "red"', undefined],
    ['links: [{ endpoints: [h1, { node: h2, lan: red }] }]\nlans: { red: {} }', 6, 44, 'a LAN of its own', undefined],
    [
      'links: [{ endpoints: [h1, { node: s1, lan: red, trunk: [red] }] }]\nlans: { red: {} }',
      6,
      56,
      'not both',
      undefined,
    ],
    ['lans: { red: { vlan: 10 }, blue: { vlan: 10 } }', 6, 42, 'VLAN 10 is "red"', undefined],
    ['lans: { red: { vlan: 4095 } }', 6, 22, 'at most 4094', undefined],
    ['lans: { h1: {} }', 6, 9, 'already the name of a node', undefined],
    ['pool: { subnet: 10.0.0.0/32 }', 6, 17, 'too small for a single link', undefined],
    [
      'links: [{ endpoints: [h1, s1] }]\nevents: [{ at: 5, link: h1--s1, set: { state: down } }]',
      7,
      16,
      '5 has no unit',
      '"30s"',
    ],
    [
      'links: [{ endpoints: [h1, s1] }]\nevents: [{ at: 5s, link: h1-s1, set: { state: down } }]',
      7,
      26,
      'no link',
      '"h1--s1"',
    ],
    [
      'links: [{ endpoints: [h1, s1] }]\nevents: [{ at: 5s, link: h1--s1, from: h2, set: { state: down } }]',
      7,
      40,
      'no end of',
      '"h1"',
    ],
    [
      'links: [{ endpoints: [h1, s1] }]\nevents: [{ at: 5s, link: h1--s1, set: {} }]',
      7,
      39,
      'at least one property',
      'set: { delay',
    ],
    [
      'links: [{ endpoints: [h1, s1] }]\nevents: [{ at: 5s, link: h1--s1, set: { mtu: 1400 } }]',
      7,
      41,
      'unknown key "mtu"',
      undefined,
    ],
  ])('%j: line %d, column %d', (text, line, column, message, hint) => {
    const error = failure(() => loadText(/^(name|%)/.test(text) ? text : HEAD + text, 'wrong.yaml'));
    expect(error.position).toEqual({ file: 'wrong.yaml', line, column });
    expect(error.message).toContain(message);
    if (hint !== undefined) expect(error.hint).toContain(hint);
  });

  it.each([
    ['gateway: 10.0.2.1', 'on no LAN of the host', '10.0.1.0/24'],
    ['gateway: 10.0.1.1', 'own address', undefined],
    ['gateway: 10.0.1.255', 'broadcast address', undefined],
    ['gateway: 10.0.1.9/24', 'has a prefix length', '"10.0.1.9"'],
    ['gateway: nowhere', 'not IPv4', undefined],
    ['gateway: "fd00::1"', 'is IPv6, not IPv4', undefined],
    ['gateway6: "fd00::1"', 'on no LAN', 'no IPv6 subnet'],
  ])('with the %s', (gateway, message, hint) => {
    const error = failure(() =>
      loadText(
        `name: x\nnodes:\n  s1: { kind: switch, subnet: 10.0.1.0/24 }\n  h1: { kind: host, ${gateway} }\nlinks: [{ endpoints: [h1, s1] }]`,
        'x',
      ),
    );
    expect(error.position).toMatchObject({ line: 4, column: 21 + gateway.indexOf(' ') + 1 });
    expect(error.message).toContain(message);
    if (hint !== undefined) expect(error.hint).toContain(hint);
  });

  it.each([
    ['two switches', ['[s1, s2]', '[s2, s1]'], 1],
    ['three switches', ['[s1, s2]', '[s2, s3]', '[h1, s1]', '[s3, s1]'], 3],
    ['two machines', ['[s1, s3]', '[s3, s2]', '[s1, s2]'], 2],
    ['a LAN of its own', ['[{ node: s1, lan: red }, s2]', '[s1, s2]', '[s1, { node: s2, trunk: [red] }]'], 2],
  ])('has a loop of %s', (_, links, index) => {
    const head = `name: x
machines: [a, b]
lans: { red: { vlan: 10 } }
nodes: { s1: { kind: switch, machine: a }, s2: { kind: switch, machine: b }, s3: { kind: switch }, h1: { kind: host } }
links:
`;
    const listed = links.map((ends) => `  - { endpoints: ${ends} }\n`);
    const error = failure(() => loadText(head + listed.join(''), 'x'));
    expect(error.position).toMatchObject({ line: 6 + index, column: 5 });
    expect(error.message).toContain('closes a loop of switches');
    expect(loadText(head + listed.toSpliced(index, 1).join(''), 'x')).toBeDefined();
  });

  it('contradicts itself about a LAN’s subnet', () => {
    const text = `name: x
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  s2: { kind: switch, subnet: 10.0.2.0/24 }
links: [{ endpoints: [s1, s2] }]`;
    const error = failure(() => loadText(text, 'x'));
    expect(error.position).toMatchObject({ line: 4, column: 31 });
    expect(error.message).toContain('10.0.1.0/24 already');
  });

  it('gives a LAN fewer addresses than it has ports', () => {
    const text = `name: x
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/30 }
  h1: { kind: host }
  h2: { kind: host }
  h3: { kind: host }
links: [{ endpoints: [h1, s1] }, { endpoints: [h2, s1] }, { endpoints: [h3, s1] }]`;
    const error = failure(() => loadText(text, 'x'));
    expect(error.position).toMatchObject({ line: 3, column: 31 });
    expect(error.message).toContain('10.0.1.0/30 is too small: it has 2 addresses for 3 ports');
  });

  it('leaves a LAN in two parts', () => {
    const text = `name: x
lans: { red: { vlan: 5 } }
nodes:
  s1: { kind: switch }
  s2: { kind: switch }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [s1, s2] }
  - { endpoints: [h1, { node: s1, lan: red }] }
  - { endpoints: [h2, { node: s2, lan: red }] }`;
    const error = failure(() => loadText(text, 'x'));
    expect(error.position).toMatchObject({ line: 2, column: 9 });
    expect(error.message).toContain('from s1 to s2');
  });

  it('is reported at its first problem in the order of the file', () => {
    const text = `${HEAD}links:\n  - { endpoints: [h1, s1], rate: 5, delay: 5 }\n  - { endpoints: [h2, s1], mut: 5 }\nsed: 1\n`;
    expect(failure(() => loadText(text, 'x')).position).toMatchObject({ line: 7, column: 34 });
    const names = `${HEAD}links:\n  - { endpoints: [h1, s1] }\n  - { endpoints: [h8, h9] }\n  - { endpoints: [h2, h2] }\n`;
    expect(failure(() => loadText(names, 'x')).position).toMatchObject({ line: 8, column: 19 });
  });

  it('is reported by its path when it is an object', () => {
    const error = failure(() => parseScenario({ name: 'x', nodes: { h1: { kind: 'host', memory: 5 } } }));
    expect(error.position).toEqual({ file: '<object>', line: 1, column: 1 });
    expect(error.message).toBe('nodes.h1.memory: 5 has no unit');
  });
});

describe('what is no scenario at all', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'luthier-load-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  const written = (bytes: string | Uint8Array): string => {
    const file = join(folder, 'scenario.yaml');
    writeFileSync(file, bytes);
    return file;
  };

  it.each([
    ['nothing', '', 1, 1, 'empty'],
    ['a comment', '# nothing\n', 1, 1, 'empty'],
    ['UTF-16', Buffer.from('\ufeffname: x', 'utf16le'), 1, 1, 'UTF-16'],
    ['UTF-16 without a byte order mark', Buffer.from('name: x', 'utf16le'), 1, 1, 'UTF-16'],
    ['UTF-16, big-endian', Buffer.from('name: x', 'utf16le').swap16(), 1, 1, 'UTF-16'],
    ['no UTF-8', Buffer.from([0x61, 0x0a, 0x62, 0xff, 0x0a]), 2, 2, 'not UTF-8'],
    ['UTF-8 cut in a character', Buffer.from('name: ä').subarray(0, -1), 1, 7, 'not UTF-8'],
    ['binary', Buffer.from('name: x\n\0\0ELF'), 2, 1, 'NUL'],
    ['too much', Buffer.alloc(50 * 2 ** 20, '#\n'), 1, 1, `larger than ${MAX_BYTES} bytes`],
    ['too many things', '[],'.repeat(MAX_MARKS / 2 + 1), 1, 1.5 * MAX_MARKS + 1, `more than ${MAX_MARKS}`],
    ['a number', '5', 1, 1, 'a mapping'],
    ['a list', '- 5', 1, 1, 'a mapping'],
  ])('%s', (_, content, line, column, message) => {
    const file = written(content);
    const error = failure(() => load(file));
    expect(error.position).toEqual({ file, line, column });
    expect(error.message).toContain(message);
  });

  it('a directory, or nothing', () => {
    expect(failure(() => load(folder)).message).toContain('is a directory');
    const missing = failure(() => load(join(folder, 'missing.yaml')));
    expect(missing.position).toMatchObject({ line: 1, column: 1 });
    expect(missing.message).toContain('no such file');
  });

  it('a file that its user may not read', ({ skip }) => {
    if (process.getuid!() !== 0) skip('root alone can become another user for a moment');
    const file = written('name: x\nnodes: { h1: { kind: host } }\n');
    chmodSync(file, 0o600);
    process.seteuid!(65534);
    try {
      expect(failure(() => load(file)).message).toContain('permission is denied');
    } finally {
      process.seteuid!(0);
    }
  });

  it('a socket, a device, a pipe that nobody writes into', async () => {
    const path = join(folder, 'socket');
    const server = createServer().listen(path);
    await once(server, 'listening');
    expect(failure(() => load(path)).message).toContain('it is a socket');
    server.close();
    expect(failure(() => load('/dev/zero')).message).toContain('it is a device');
    expect(failure(() => load('-')).hint).toContain('/dev/stdin');
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    expect(failure(() => load(join(folder, 'pipe'))).message).toContain('empty');
  });

  it('but a pipe may hold one, in pieces', async () => {
    const path = join(folder, 'written');
    execFileSync('mkfifo', [path]);
    // The shell waits in its opening until there is a reader; the reader here does not wait for the shell.
    const writer = spawn('sh', [
      '-c',
      'exec 3<>"$0"; echo >&2; (echo "name: x"; sleep 0.1; echo "nodes: { h1: { kind: host } }") >"$0"',
      path,
    ]);
    await once(writer.stderr, 'data');
    expect(load(path).raw.name).toBe('x');
    await once(writer, 'exit');
  });

  it('may begin with a byte order mark', () => {
    expect(load(written('\ufeffname: x\nnodes: { h1: { kind: host } }\n')).raw.name).toBe('x');
  });

  it.each([
    ['[', 200_000],
    ['{a: ', 100_000],
    ['- ', 100_000],
    ['? ', 100_000],
  ])('%j, nested very deep', (opening, count) => {
    expect(failure(() => loadText(opening.repeat(count), 'x')).message).toContain('deeper than');
  });

  it('aliases that stand for very much, or for themselves', () => {
    const laughs = Array.from('bcdefghij', (name, i) => `${name}: &${name} [${`*${'abcdefghi'[i]},`.repeat(10)}]`);
    expect(failure(() => loadText(`a: &a [${'x,'.repeat(10)}]\n${laughs.join('\n')}`, 'x')).message).toContain(
      `${MAX_VALUES} values`,
    );
    expect(failure(() => loadText('name: x\nnodes: &n { a: *n }', 'x')).message).toContain('inside of what');
  });

  it('an object that is endless or hostile', () => {
    const endless: Record<string, unknown> = { name: 'x' };
    endless['nodes'] = endless;
    expect(failure(() => parseScenario(endless)).message).toContain('deeper than');
    const hostile = {
      get name(): string {
        throw new TypeError('no');
      },
    };
    expect(failure(() => parseScenario(hostile)).message).toContain('cannot be read');
    expect(failure(() => parseScenario({ name: () => 'x' })).message).toContain('function');
    expect(failure(() => parseScenario(JSON.parse('{"__proto__": {"name": "x"}}'))).message).toContain('__proto__');
  });

  it('anything: only ScenarioError comes out', () => {
    const attempt = (run: () => unknown): void => {
      try {
        run();
      } catch (error) {
        expect(error).toBeInstanceOf(ScenarioError);
        const { line, column } = (error as ScenarioError).position;
        expect(Math.min(line, column)).toBeGreaterThanOrEqual(1);
      }
    };
    const valid = readFileSync(new URL('../../scenarios/two-lans/scenario.yaml', import.meta.url), 'utf8');
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => attempt(() => loadText(text, 'x'))));
    fc.assert(fc.property(fc.anything(), (value) => attempt(() => parseScenario(value))));
    // Texts that are almost scenarios come further than noise does.
    fc.assert(fc.property(scenarioText(valid), (text) => attempt(() => resolve(loadText(text, 'x')))));
  });
});
