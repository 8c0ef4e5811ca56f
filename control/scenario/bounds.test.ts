/** Everything in the contract that has a bound: what is at it is taken, what is just beyond it is refused where it stands. */
import { describe, expect, it } from 'vitest';
import { ScenarioError } from '../../model/errors.js';
import { loadText } from './load.js';
import { MAX_ENTRIES } from './source-limits.js';

/** `$` is where the value stands; it is on the last line that has one. */
const places = {
  networkName: 'nodes: { h1: { kind: host } }\nname: $\n',
  seed: 'name: x\nnodes: { h1: { kind: host } }\nseed: $\n',
  format: 'name: x\nnodes: { h1: { kind: host } }\nluthier: $\n',
  machine: 'name: x\nnodes: { h1: { kind: host } }\nmachines: [$]\n',
  pool: 'name: x\nnodes: { h1: { kind: host } }\npool: { subnet: $ }\n',
  pool6: 'name: x\nnodes: { h1: { kind: host } }\npool: { subnet6: $ }\n',
  cpu: 'name: x\nnodes: { h1: { kind: host, cpu: $ } }\n',
  memory: 'name: x\nnodes: { r1: { kind: router, memory: $ } }\n',
  subnet: 'name: x\nnodes: { s1: { kind: switch, subnet: $ } }\n',
  subnet6: 'name: x\nnodes: { s1: { kind: switch, subnet6: $ } }\n',
  address:
    'name: x\nnodes: { s1: { kind: switch, subnet: 10.0.1.0/24 }, h1: { kind: host } }\nlinks: [{ endpoints: [{ node: h1, address: $ }, s1] }]\n',
  address6:
    'name: x\nnodes: { s1: { kind: switch, subnet6: "fd00::/64" }, h1: { kind: host } }\nlinks: [{ endpoints: [{ node: h1, address6: $ }, s1] }]\n',
  vlan: 'name: x\nnodes: { h1: { kind: host } }\nlans: { red: { vlan: $ } }\n',
  ...Object.fromEntries(
    // Beside each, what it needs to mean something.
    [
      ['mtu', ''],
      ['rate', ''],
      ['delay', ''],
      ['jitter', 'delay: 1h, '],
      ['loss', ''],
      ['correlation', 'delay: 1ms, jitter: 1ms, '],
      ['duplicate', ''],
      ['reorder', 'delay: 1ms, '],
      ['corrupt', ''],
      ['queue', 'rate: 1gbit, '],
      ['overhead', 'rate: 1gbit, '],
      ['name', ''],
      ['state', ''],
      ['distribution', 'delay: 1ms, jitter: 1ms, '],
      ['segments', ''],
    ].map(([key, beside]) => [
      `link.${key}`,
      `name: x\nnodes: { h1: { kind: host }, s1: { kind: switch } }\nlinks: [{ endpoints: [h1, s1], ${beside}${key}: $ }]\n`,
    ]),
  ),
  port: 'name: x\nnodes: { h1: { kind: host }, s1: { kind: switch } }\nlinks: [{ endpoints: [{ node: h1, port: $ }, s1] }]\n',
  mac: 'name: x\nnodes: { h1: { kind: host }, s1: { kind: switch } }\nlinks: [{ endpoints: [{ node: h1, mac: $ }, s1] }]\n',
  at: 'name: x\nnodes: { h1: { kind: host }, s1: { kind: switch } }\nlinks: [{ endpoints: [h1, s1] }]\nevents: [{ at: $, link: h1--s1, set: { state: down } }]\n',
};

const times = ['0ns', '3600000000000ns', '3600000000us', '0.000001ms', '1h'];
const notTimes = [
  '3600000000001ns',
  '60.1m',
  '9007199254740992ns',
  '0.5ns',
  '2h',
  '1',
  '-1ms',
  '1e3ms',
  '1 ms',
  '1min',
  '1d',
  'ms',
  '.5s',
  '1.s',
  '[]',
  '{}',
  '~',
  '""',
];
const ratios = ['0', '1', '0%', '100%', '0.1%', '1.0', '"0.5"'];
const notRatios = ['-0.1', '1.0001', '100.1%', '101%', '.nan', '.inf', 'half', '1%%', '[]', '~', '""'];
const name63 = 'x'.repeat(63);
const names = ['x', '0', name63, 'a-b', 'constructor'].map((name) => `"${name}"`);
const notNames = ['', `${name63}x`, '-a', 'a-', 'a--b', 'A', 'a_b', 'a.b', 'ä', 'a b', '../a'].map(
  (name) => `"${name}"`,
);

const bounds: [place: string, taken: readonly string[], refused: readonly string[]][] = [
  ['networkName', names, [...notNames, '5', 'true', '~', '[]']],
  ['machine', names, [...notNames, '5']],
  ['link.name', names.slice(0, 4), notNames],
  ['seed', ['0', '1', '9007199254740991'], ['-1', '0.5', '9007199254740992', '"1"', '.inf', '1e400']],
  ['format', ['1'], ['0', '2', '"1"', '1.5']],
  ['cpu', ['0.01', '1', '4096'], ['0', '0.0099', '4096.1', '-1', '"1"', '.nan', '.inf', '50%']],
  [
    'memory',
    ['4MiB', '4096KiB', '4194304B', '4.5MB', '9007199254740991B'],
    ['4194303B', '4MB', '4', '4GiB', '4mib', '9007199254740992B', '4.0000001MiB'],
  ],
  [
    'subnet',
    ['10.0.0.0/8', '10.0.0.0/31', '10.0.0.1/32', '1.0.0.0/8', '223.255.255.0/24'],
    [
      '10.0.0.0/33',
      '10.0.0.0/-1',
      '10.0.0.0',
      '10.0.0.1/24',
      '0.0.0.0/0',
      '127.0.0.0/8',
      '224.0.0.0/4',
      '255.255.255.255/32',
      '10.0.0/24',
      '10.0.0.256/32',
      '010.0.0.0/8',
      '"fd00::/64"',
      '10.0.0.0/8/8',
      `"${'1'.repeat(100)}"`,
    ],
  ],
  [
    'subnet6',
    ['"fd00::/8"', '"fd00::/127"', '"fd00::1/128"', '"2001:db8::/32"'],
    [
      '"fd00::/129"',
      '"fd00::"',
      '"fd00::1/64"',
      '"::/0"',
      '"::1/128"',
      '"fe80::/64"',
      '"ff00::/8"',
      '"::ffff:0:0/96"',
      '"fd00:::/64"',
      '"fd00::%eth0/64"',
      '10.0.0.0/24',
    ],
  ],
  ['pool', ['10.0.0.0/31', '172.16.0.0/12'], ['10.0.0.0/32', '10.0.0.0']],
  ['pool6', ['"fd00::/127"'], ['"fd00::/128"']],
  [
    'address',
    ['10.0.1.1', '10.0.1.254/24'],
    ['10.0.1.0', '10.0.1.255', '10.0.0.255', '10.0.2.0', '10.0.1.1/25', '10.0.1', '"fd00::1"'],
  ],
  [
    'address6',
    ['"fd00::1"', '"fd00::ffff:ffff:ffff:ffff/64"'],
    ['"fd00::"', '"fd00:0:0:1::"', '"fd00::1/63"', '10.0.1.1'],
  ],
  ['vlan', ['1', '4094'], ['0', '4095', '-1', '1.5', '"10"']],
  ['link.mtu', ['68', '1500', '65521'], ['67', '65522', '0', '-1', '1500.5', '1500B', '"1500"']],
  [
    'link.rate',
    ['1000bit', '1kbit', '100000mbit', '100gbit', 'none'],
    [
      '0bit',
      '1bit',
      '999bit',
      '100.1gbit',
      '100000000001bit',
      '0.5bit',
      '9007199254740992bit',
      '1',
      '1kb',
      '1kbps',
      '1mbps',
      '1Mbit',
      '1tbit',
      '1mbit/s',
    ],
  ],
  [
    'at',
    ['0ns', '0.000001ms', '720h'],
    [...notTimes.filter((time) => !/^[236]/.test(time)), '721h', '2592000.1s', 'none'],
  ],
  ...['link.delay', 'link.jitter'].map((key): [string, string[], string[]] => [key, times, notTimes]),
  ...['link.correlation', 'link.duplicate', 'link.reorder', 'link.corrupt'].map((key): [string, string[], string[]] => [
    key,
    ratios,
    notRatios,
  ]),
  [
    'link.loss',
    [
      ...ratios,
      'none',
      'random 1% 100%',
      'gilbert-elliott 0 1',
      'gilbert-elliott 1% 10% 100% 0',
      '[{ ratio: 1, next: [1] }]',
      `[${`{ ratio: 0, next: [1${', 0'.repeat(63)}] },`.repeat(64)}]`,
    ],
    [
      ...notRatios,
      '[]',
      '{}',
      '[{ ratio: 0, next: [0.5] }]',
      'gilbert-elliott 1%',
      'gilbert-elliott 1% 2% 3% 4% 5%',
      'gilbert-elliott 1% 101%',
      'gemodel 1% 2%',
    ],
  ],
  [
    'link.queue',
    ['1p', '1048576p', '1514B', '1024MiB', '12112ns', '1h', 'none', 'codel', 'fq-codel', 'pie', '{ discipline: pie }'],
    ['0p', '0B', '0ms', '1048577p', '1025MiB', '2h', '9007199254740992p', '1.5p', '100', '1pkt', '1kb', 'red', '[]'],
  ],
  ['link.overhead', ['0', '24'], ['-1', '1', '25', '"24"', '24B', '[]']],
  ['link.state', ['up', 'down'], ['Up', 'on', 'true', '~']],
  ['link.distribution', ['uniform', 'normal', 'pareto', 'paretonormal'], ['gauss', '"none "', '~']],
  ['link.segments', ['auto', 'wire'], ['wires', '1']],
  ['port', ['eth0', 'eth9999'], ['eth10000', 'eth00', 'eth', 'wlan0', '0', '"eth0 "']],
  [
    'mac',
    ['"02:00:00:00:00:00"', '"FE:ff:ff:ff:ff:ff"', '"00:00:00:00:00:01"'],
    [
      '"00:00:00:00:00:00"',
      '"ff:ff:ff:ff:ff:ff"',
      '"01:00:00:00:00:00"',
      '"02:00:00:00:00"',
      '"02-00-00-00-00-00"',
      '"02:00:00:00:00:0g"',
    ],
  ],
];

describe.each(bounds)('%s', (place, taken, refused) => {
  const template = (places as Record<string, string>)[place]!;
  const before = template.slice(0, template.indexOf('$'));
  const line = before.split('\n').length;
  const column = before.length - before.lastIndexOf('\n');

  it.each(taken)('takes %s', (value) => {
    expect(
      loadText(
        template.replace('$', () => value),
        'x',
      ),
    ).toBeDefined();
  });

  it.each(refused)('refuses %s', (value) => {
    const attempt = (): unknown =>
      loadText(
        template.replace('$', () => value),
        'x',
      );
    expect(attempt).toThrow(ScenarioError);
    try {
      attempt();
    } catch (error) {
      const { position, message } = error as ScenarioError;
      expect(position).toEqual({ file: 'x', line, column });
      expect(message).not.toMatch(/\n|undefined|Invalid/);
    }
  });
});

it('a list or mapping has a bound of entries', () => {
  const head = 'name: x\nnodes: { h1: { kind: host, command: [';
  expect(loadText(`${head}${'a,'.repeat(MAX_ENTRIES)}] } }`, 'x')).toBeDefined();
  expect(() => loadText(`${head}${'a,'.repeat(MAX_ENTRIES + 1)}] } }`, 'x')).toThrow(/at most 65536 entries/);
});
