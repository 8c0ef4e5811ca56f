/**
 * A scenario as it is written: the schema of the file, and the types that follow from it. Values keep the form in which
 * a person wrote them (`10ms`, `h3:eth0`); every unit is checked here, whether names and addresses fit together is for
 * `control/scenario/load.ts`. `docs/scenario.md` is the reference; `scenarioJsonSchema` is published for editors.
 */
import * as z from 'zod';
import { MAX_EVENT_NS } from './emulation.js';
import { UsageError } from './errors.js';
import { parseFec } from './fec.js';
import { direction, directionShape } from './link-properties.js';
import { NAME_PATTERN, nameProblem, PORT_PATTERN, quoted } from './names.js';
import { DECIMAL, quantity, RATIO_PATTERN, ratioLike, strict, text, twoLines } from './schema.js';
import { MAX_REMOTES, MAX_VNI } from './vxlan.js';
import { bounded, formatDuration, formatSize, parseDuration, parseSize } from './units.js';

export { LINK_PROPERTIES, type RawLinkProperties } from './link-properties.js';

/** Below it a shell is killed before its first command has ended. */
const LEAST_MEMORY_BYTES = 4 * 1024 * 1024;

function parseMemory(text: string): void {
  if (parseSize(text) >= LEAST_MEMORY_BYTES) return;
  throw new UsageError(`${quoted(text)} of memory is too little for a shell`, {
    hint: `the least is ${quoted(formatSize(LEAST_MEMORY_BYTES))}`,
  });
}

/**
 * The least quota that Linux takes is 1 ms of each period (kernel/sched/core.c, `min_bw_quota_period_us`), and periods
 * are 100 ms. The most is far beyond any machine: fewer cores than that are no error.
 */
const LEAST_CPU = 0.01;
const MOST_CPU = 4096;

const memory = quantity(
  'a size',
  '256MiB',
  parseMemory,
  `^${DECIMAL}([kM]?B|[KM]iB)$`,
  'Bytes at most, from 4MiB: B kB MB KiB MiB.',
);
/** A name of our own making rules (`names.ts`), said to be of `what`. */
function name(what: string) {
  return text(`the name of ${what}`)
    .check((context) => {
      const problem = nameProblem(context.value);
      if (problem !== undefined) {
        context.issues.push({ code: 'custom', input: context.value, message: twoLines(problem.message, problem.hint) });
      }
    })
    .meta({ pattern: NAME_PATTERN.source });
}

/** Whether it is an address, and of which family, is for `control/scenario/addresses.ts` to say. */
const ipv4Subnet = text('an IPv4 subnet').meta({ description: 'IPv4, with prefix length.', examples: ['10.0.1.0/24'] });
const ipv6Subnet = text('an IPv6 subnet').meta({ description: 'IPv6, with prefix length.', examples: ['fd00:1::/64'] });

const MAC_PATTERN = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;
const mac = text('a MAC address')
  .check((context) => {
    const problem = macProblem(context.value);
    if (problem !== undefined) context.issues.push({ code: 'custom', input: context.value, message: problem });
  })
  .meta({ description: 'A unicast MAC address.', examples: ['02:00:00:00:00:77'], pattern: MAC_PATTERN.source });

/** IEEE 802, clause 8.2: the first octet's lowest bit marks a group; all zeros is nobody's address. */
function macProblem(value: string): string | undefined {
  if (!MAC_PATTERN.test(value)) return `${quoted(value)} is not a MAC address\nwrite "02:00:00:00:00:77"`;
  if ((parseInt(value.slice(0, 2), 16) & 1) === 1) {
    return `${quoted(value)} is a group address\na port’s address has an even first byte: "02:…"`;
  }
  if (/^[0:]+$/.test(value)) return `${quoted(value)} is no port’s address\na port’s own address starts with "02:"`;
  return undefined;
}

/** The least an IPv4 link must carry (RFC 791, 68), to the most that a TAP’s frame holds (65535 - 14). */
const mtu = z
  .int({ error: () => 'mtu is a whole number of bytes\nwrite 1500' })
  .min(68, { error: 'mtu is at least 68, the least that IPv4 allows (RFC 791)' })
  .max(65521, { error: 'mtu is at most 65521, the most that fits a frame of 65535 bytes' })
  .meta({ description: 'Bytes of the largest packet, 68 to 65521; IPv6 needs 1280. Default: 1500.' });

const port = text('a port').regex(PORT_PATTERN, { error: 'a port is eth0, eth1 … eth9999\nwrite "eth0"' });
const ENDPOINT_PATTERN = /^[^:]+(:[^:]+)?$/;
const endpointText = text('an endpoint')
  .check((context) => {
    const problem = endpointProblem(context.value);
    if (problem !== undefined) context.issues.push({ code: 'custom', input: context.value, message: problem });
  })
  .meta({ description: 'A node, or a node and its port.', examples: ['h1', 'h1:eth0'] });

function endpointProblem(value: string): string | undefined {
  if (!ENDPOINT_PATTERN.test(value))
    return `${quoted(value)} is not an endpoint\nwrite a node, "h1", or a port, "h1:eth0"`;
  const { node, port: portName } = splitEndpoint(value);
  const problem = nameProblem(node);
  if (problem !== undefined) return twoLines(problem.message, problem.hint);
  if (portName === undefined || PORT_PATTERN.test(portName)) return undefined;
  return `${quoted(portName)} is not a port\na port is eth0, eth1 … eth9999: "${node}:eth0"`;
}

/** `h3:eth0` → node h3, port eth0; `h3` → node h3. */
export function splitEndpoint(value: string): { readonly node: string; readonly port?: string } {
  const colon = value.indexOf(':');
  return colon === -1 ? { node: value } : { node: value.slice(0, colon), port: value.slice(colon + 1) };
}

const endpoint = z.union([
  endpointText,
  strict({
    node: name('a node'),
    port: port.optional(),
    address: text('an IPv4 address')
      .meta({ examples: ['10.0.1.77/24'] })
      .optional(),
    address6: text('an IPv6 address')
      .meta({ examples: ['fd00:1::77/64'] })
      .optional(),
    mac: mac.optional(),
    lan: name('a LAN').optional(),
    trunk: z.array(name('a LAN')).min(1, { error: 'a trunk carries at least one LAN' }).optional(),
  }).refine((end) => end.lan === undefined || end.trunk === undefined, {
    error: 'an endpoint says "lan" or "trunk", not both',
    path: ['trunk'],
  }),
]);

const link = strict({
  endpoints: z.tuple([endpoint, endpoint]),
  name: name('a link').optional(),
  subnet: ipv4Subnet.optional(),
  subnet6: ipv6Subnet.optional(),
  mtu: mtu.optional(),
  ...directionShape,
  forward: direction.meta({ description: 'From the first endpoint to the second.' }).optional(),
  reverse: direction.meta({ description: 'From the second endpoint to the first.' }).optional(),
});

const machine = name('a machine').meta({ description: 'The machine that the node is on.' });

/** dev_valid_name in net/core/dev.c. */
const INTERFACE_PATTERN = /^(?!\.{1,2}$)[^\s/:]{1,15}$/;

const ENVIRONMENT_KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** What a host and a router have in common: both are ordinary Linux hosts. */
const hostShape = {
  machine: machine.optional(),
  command: z
    .array(text('an argument'))
    .min(1, { error: 'a command has at least a program\nleave "command" out for none' })
    .refine((argv) => argv[0] !== '', { error: 'the program’s name is empty', path: [0] })
    .meta({ description: 'Program and arguments, started when the network is up. No shell.' })
    .optional(),
  env: z
    .record(
      z.string().regex(ENVIRONMENT_KEY, { error: 'a variable’s name is A-Z a-z 0-9 _ and starts with no digit' }),
      text('a variable’s value'),
    )
    .meta({ description: 'Environment variables of everything that runs in the node.' })
    .optional(),
  cpu: z
    .number({ error: () => 'cpu is a number of cores\nwrite 0.5 for half of one' })
    .min(LEAST_CPU, { error: `cpu is at least ${LEAST_CPU}, a hundredth of a core: Linux cannot give less` })
    .max(MOST_CPU, { error: `cpu is at most ${MOST_CPU} cores\nleave "cpu" out for no limit` })
    .meta({ description: 'Cores at most, 0.01 to 4096: 0.5 is half of one.' })
    .optional(),
  memory: memory.optional(),
};

const node = z.discriminatedUnion('kind', [
  strict({
    kind: z.literal('switch'),
    subnet: ipv4Subnet.optional(),
    subnet6: ipv6Subnet.optional(),
    machine: machine.optional(),
    transparent: z
      .boolean({ error: () => 'transparent is true or false' })
      .meta({ description: 'Forward reserved group addresses (01-80-C2-00-00-0x) too. Default: false.' })
      .optional(),
  }),
  strict({
    kind: z.literal('host'),
    type: z.enum(['netns', 'container', 'vm', 'uml', 'external']).meta({ description: 'Default: netns.' }).optional(),
    gateway: text('a gateway').meta({ description: 'none, or the IPv4 default route’s next hop.' }).optional(),
    gateway6: text('a gateway').meta({ description: 'none, or the IPv6 default route’s next hop.' }).optional(),
    ...hostShape,
  }),
  strict({
    kind: z.literal('router'),
    routing: z.enum(['static', 'rip', 'ospf', 'isis', 'bgp']).meta({ description: 'Default: static.' }).optional(),
    ...hostShape,
  }),
  strict({ kind: z.literal('jetway'), machine: machine.optional() }),
  strict({
    kind: z.literal('vxlan'),
    machine: machine.optional(),
    vni: z
      .int({ error: () => 'vni is a whole number' })
      .min(0, { error: 'vni is at least 0' })
      .max(MAX_VNI, { error: `vni is at most ${MAX_VNI}, which are 24 bits (RFC 7348)` })
      .meta({ description: 'VXLAN network identifier, 0 to 16777215: the same at all ends.' }),
    remote: z
      .union([
        text('an address'),
        z
          .array(text('an address'))
          .min(1, { error: 'remote names at least one address' })
          .max(MAX_REMOTES, { error: `remote names at most ${MAX_REMOTES} addresses` }),
      ])
      .meta({ description: 'Address of the other end, or a list of them.', examples: ['192.0.2.7'] })
      .optional(),
    group: text('an address')
      .meta({ description: 'Multicast group that the other ends are members of.', examples: ['239.1.1.1'] })
      .optional(),
    port: z
      .int({ error: () => 'port is a whole number' })
      .min(1, { error: 'port is at least 1' })
      .max(65535, { error: 'port is at most 65535' })
      .meta({ description: 'UDP port of all ends. Default: 4789.' })
      .optional(),
    local: text('an address')
      .meta({ description: 'Its own address on the underlay. Default: as the routes say.' })
      .optional(),
    device: text('an interface')
      .regex(INTERFACE_PATTERN, { error: 'an interface has a name of 1 to 15 characters\nwrite "eth0"' })
      .meta({ description: 'Interface to the underlay. Default: as the routes say.', examples: ['eth0'] })
      .optional(),
    ttl: z
      .int({ error: () => 'ttl is a whole number' })
      .min(1, { error: 'ttl is at least 1' })
      .max(255, { error: 'ttl is at most 255' })
      .meta({ description: 'Of its datagrams. Default: 64, to a group 1.' })
      .optional(),
  }),
]);

const event = strict({
  at: quantity(
    'a time',
    '30s',
    bounded(parseDuration, formatDuration, { most: [MAX_EVENT_NS, 'no schedule is longer than 30 days'] }),
    `^${DECIMAL}(ns|us|ms|s|m|h)$`,
    'Since the network was up.',
  ),
  link: text('the name of a link'),
  from: name('a node').meta({ description: 'Only the direction that leaves this node.' }).optional(),
  set: direction.refine((changes) => Object.keys(changes).length > 0, {
    error: 'an event sets at least one property\nwrite "set: { delay: 20ms }"',
    // A key that is unknown is what is wrong then.
    when: ({ issues }) => issues.length === 0,
  }),
});

const lan = strict({
  subnet: ipv4Subnet.optional(),
  subnet6: ipv6Subnet.optional(),
  vlan: z
    .int({ error: () => 'vlan is a whole number' })
    .min(1, { error: 'vlan is at least 1 (IEEE 802.1Q)' })
    .max(4094, { error: 'vlan is at most 4094 (IEEE 802.1Q)' })
    .meta({ description: 'VLAN identifier on trunks, 1 to 4094; without it, untagged.' })
    .optional(),
});

/** Everything beside the four sections. */
const head = {
  luthier: z.literal(1, { error: () => 'the format’s version is 1\nwrite "luthier: 1"' }).optional(),
  name: name('a network').meta({ description: 'The network’s name.' }),
  seed: z
    .int({ error: () => 'seed is a whole number' })
    .min(0, { error: 'seed is at least 0' })
    .meta({ description: 'Every random choice follows from it. Default: 1.' })
    .optional(),
  machines: z
    .array(name('a machine'))
    .min(1, { error: 'machines names at least one\nleave "machines" out for everything on this machine' })
    .optional(),
  seal: z
    .enum(['auto', 'none'])
    .meta({ description: 'Whether frames between machines are encrypted and authenticated. Default: auto.' })
    .optional(),
  fec: ratioLike(
    parseFec,
    '"auto", "none" or a ratio is expected\nwrite fec: auto, or fec: 10%',
    `^auto$|^none$|${RATIO_PATTERN}`,
    'Forward error correction between machines: none, auto (as much as the measured loss needs), or datagrams of parity for each of data, from 1% to 50%. Default: none.',
  ).optional(),
  pool: strict({ subnet: ipv4Subnet.optional(), subnet6: ipv6Subnet.optional() })
    .meta({ description: 'Where links without a switch take their /31 and /127 from.' })
    .optional(),
};

/** Mappings by name, and lists: each may have tens of thousands of entries, of which each can be checked by itself. */
export const SECTIONS = {
  lans: { key: name('a LAN'), entry: lan },
  nodes: { key: name('a node'), entry: node },
  links: { entry: link },
  events: { entry: event },
} as const;

export const scenarioSchema = strict({
  ...head,
  lans: z.record(SECTIONS.lans.key, lan).optional(),
  nodes: z.record(SECTIONS.nodes.key, node),
  links: z.array(link).optional(),
  events: z.array(event).optional(),
});

/** A scenario whose sections are yet to be checked, entry by entry. */
export const outerSchema = strict({
  ...head,
  lans: z.record(z.string(), z.unknown()).optional(),
  nodes: z
    .record(z.string(), z.unknown())
    .refine((nodes) => Object.keys(nodes).length > 0, { error: 'a network has at least one node' }),
  links: z.array(z.unknown()).optional(),
  events: z.array(z.unknown()).optional(),
});

export type RawScenario = z.infer<typeof scenarioSchema>;
export type RawNode = z.infer<typeof node>;
export type RawLink = z.infer<typeof link>;
export type RawEndpoint = z.infer<typeof endpoint>;
export type RawEvent = z.infer<typeof event>;
/** JSON Schema (draft 2020-12) of the file. An editor checks shape and units with it; names and addresses, `validate`. */
export function scenarioJsonSchema(): object {
  return { title: 'Luthier scenario', ...z.toJSONSchema(scenarioSchema, { unrepresentable: 'any', io: 'input' }) };
}
