/** What an `up` would do, before it is done. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { LinkProperties } from '../model/emulation.js';
import { LINK_PROPERTIES } from '../model/link-properties.js';
import type { Difference, PlanReport } from '../model/messages.js';
import type { HostNode, Link, LinkEnd, Network, Node, RouterNode } from '../model/network.js';
import { formatRatio } from '../model/units.js';
import { actionTitle, plan, type Losses } from './plan.js';
import { writtenOf } from './scenario/index.js';

/** Any number does for a network that has none yet: no step names it. */
const NO_NUMBER = 1;

/** From what runs (undefined: nothing), less what was lost of it. */
export function previewOf(from: Network | undefined, to: Network, lost?: Losses): PlanReport {
  const { build, clear } = plan(from, to, NO_NUMBER, lost);
  return {
    network: to.name,
    runs: from !== undefined,
    differences: differences(from, to),
    steps: [...build, ...clear].map(actionTitle),
  };
}

/** In the order network, machines, nodes, links; of each, those that are new or different in the new order, then those gone. */
export function differences(from: Network | undefined, to: Network): Difference[] {
  return [
    ...(from === undefined ? [] : listed('network', [from], [to], networkDetails)),
    ...listed('machine', from?.machines ?? [], to.machines, () => []),
    ...listed(({ kind }) => kind, from?.nodes ?? [], to.nodes, nodeDetails),
    ...listed('link', from?.links ?? [], to.links, linkDetails),
  ];
}

function networkDetails(was: Network, is: Network): string[] {
  const { traces, distributions } = was.inputs;
  return [
    ...value('seed', was.seed, is.seed),
    ...value('seal', was.seal, is.seal),
    ...value('fec', fecText(was), fecText(is)),
    ...(isDeepStrictEqual(was.events, is.events) ? [] : [`events: ${was.events.length} → ${is.events.length}`]),
    ...otherContents('trace', traces, is.inputs.traces),
    ...otherContents('distribution', distributions, is.inputs.distributions),
  ];
}

/** Of recordings that go by the same name: a link says which it follows. */
function otherContents(kind: string, was: Recordings, is: Recordings): string[] {
  const names = Object.keys(is).filter((name) => Object.hasOwn(was, name) && !isDeepStrictEqual(was[name], is[name]));
  return names.map((name) => `contents of the ${kind} ${name}`);
}

type Recordings = Readonly<Record<string, readonly number[]>>;

interface Named {
  readonly name: string;
}

function listed<T extends Named>(
  kind: Difference['kind'] | ((item: T) => Difference['kind']),
  before: readonly T[],
  after: readonly T[],
  details: (was: T, is: T) => string[],
): Difference[] {
  const kindOf = typeof kind === 'function' ? kind : () => kind;
  const old = new Map(before.map((item) => [item.name, item]));
  const names = new Set(after.map(({ name }) => name));
  const found = after.flatMap((item): Difference[] => {
    const was = old.get(item.name);
    if (was === undefined) return [{ change: 'add', kind: kindOf(item), name: item.name, details: [] }];
    const what = details(was, item);
    return what.length === 0 ? [] : [{ change: 'change', kind: kindOf(item), name: item.name, details: what }];
  });
  const gone = before.filter(({ name }) => !names.has(name));
  return [
    ...found,
    ...gone.map((item): Difference => ({ change: 'remove', kind: kindOf(item), name: item.name, details: [] })),
  ];
}

function nodeDetails(was: Node, is: Node): string[] {
  if (was.kind === 'switch' || is.kind === 'switch') {
    if (was.kind !== 'switch' || is.kind !== 'switch') return [changed('kind', was.kind, is.kind)];
    return [
      ...value('machines', was.machines.join(', '), is.machines.join(', ')),
      ...value('transparent', was.transparent, is.transparent),
    ];
  }
  if (was.kind === 'vxlan' || is.kind === 'vxlan') {
    if (was.kind !== 'vxlan' || is.kind !== 'vxlan') return [changed('kind', was.kind, is.kind)];
    return [
      ...value('machine', was.machine, is.machine),
      ...value('VNI', was.vni, is.vni),
      ...value('remotes', was.remotes.join(', '), is.remotes.join(', ')),
      ...(['group', 'port', 'local', 'device'] as const).flatMap((key) => value(key, was[key], is[key])),
      ...value('ttl', was.hops, is.hops),
      ...value('MTU', was.mtuBytes, is.mtuBytes),
    ];
  }
  return [
    ...value('kind', was.kind, is.kind),
    ...value('machine', was.machine, is.machine),
    ...value('cpu', was.cpu, is.cpu),
    ...value('memory', bytes(was.memoryBytes), bytes(is.memoryBytes)),
    ...value('command', was.command?.join(' '), is.command?.join(' ')),
    ...(isDeepStrictEqual(was.env, is.env) ? [] : ['env']),
    ...portDetails(was, is),
    ...value('routes', routes(was), routes(is)),
  ];
}

type NetnsNode = HostNode | RouterNode;

function portDetails(was: NetnsNode, is: NetnsNode): string[] {
  const before = new Map(was.ports.map((port) => [port.name, port]));
  const names = new Set(is.ports.map(({ name }) => name));
  return [
    ...is.ports.flatMap((port) => {
      const old = before.get(port.name);
      if (old === undefined) return [`new port ${port.name}`];
      return [
        ...value(`addresses of ${port.name}`, old.addresses.join(', '), port.addresses.join(', ')),
        ...value(`MAC of ${port.name}`, old.mac, port.mac),
        ...value(`MTU of ${port.name}`, old.mtuBytes, port.mtuBytes),
        ...value(`link of ${port.name}`, old.link, port.link),
      ];
    }),
    ...was.ports.filter(({ name }) => !names.has(name)).map(({ name }) => `port ${name} goes`),
  ];
}

function linkDetails(was: Link, is: Link): string[] {
  return [
    ...value('ends', was.ends.map(endText).join(' – '), is.ends.map(endText).join(' – ')),
    ...propertyDetails(was, is),
  ];
}

/** As they would be written; of a direction alone where the two do not become the same. */
function propertyDetails(was: Link, is: Link): string[] {
  const [forward, reverse] = [
    [shownProperties(was.forward), shownProperties(is.forward)],
    [shownProperties(was.reverse), shownProperties(is.reverse)],
  ] as const;
  return [...LINK_PROPERTIES, 'mtu'].flatMap((key) => {
    const there = value(key, forward[0].get(key), forward[1].get(key));
    const back = value(key, reverse[0].get(key), reverse[1].get(key));
    if (there[0] === back[0]) return there;
    const [first, second] = is.ends;
    return [
      ...there.map((change) => `from ${endText(first)}: ${change}`),
      ...back.map((change) => `from ${endText(second)}: ${change}`),
    ];
  });
}

function shownProperties(properties: LinkProperties): ReadonlyMap<string, string> {
  const { mtuBytes } = properties.emulation ?? {};
  const written = Object.entries(writtenOf(properties)).map(([key, text]) => [key, shownValue(text)] as const);
  return new Map([
    ['state', properties.state],
    ...written,
    ...(mtuBytes === undefined ? [] : [['mtu', String(mtuBytes)] as const]),
  ]);
}

/** `{ discipline: codel, target: 5ms }` as in YAML. */
function shownValue(written: unknown): string {
  if (Array.isArray(written)) return `[${written.map(shownValue).join(', ')}]`;
  if (typeof written !== 'object' || written === null) return String(written);
  const entries = Object.entries(written).map(([key, text]) => `${key}: ${shownValue(text)}`);
  return `{ ${entries.join(', ')} }`;
}

function bytes(count: number | undefined): string | undefined {
  return count === undefined ? undefined : `${count} B`;
}

function endText({ node, port }: LinkEnd): string {
  return port === undefined ? node : `${node}:${port}`;
}

function routes({ routes: list }: NetnsNode): string {
  return list.map(({ destination, via }) => `${destination} via ${via}`).join(', ');
}

function fecText({ fec }: Network): string | number {
  return fec === undefined ? 'none' : typeof fec === 'number' ? formatRatio(fec) : fec;
}

function value(what: string, was: string | number | boolean | undefined, is: typeof was): string[] {
  return was === is ? [] : [changed(what, was, is)];
}

function changed(what: string, was: string | number | boolean | undefined, is: typeof was): string {
  const shown = (text: typeof was): string => (text === undefined || text === '' ? 'none' : String(text));
  return `${what}: ${shown(was)} → ${shown(is)}`;
}
