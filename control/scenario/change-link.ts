/**
 * A change of one link that runs: `luthier set LINK key=value …`, `net.link(…).set({ … })`, and events when they are due.
 * Pure. Messages are for a command line: what is wrong has no place in a file.
 *
 * Called by the agent, `cli/` and the TypeScript API.
 */
import { UsageError } from '../../model/errors.js';
import type { EmulationInputs, LinkProperties } from '../../model/emulation.js';
import { DISTRIBUTIONS, LINK_PROPERTIES, NONE, type RawLinkProperties } from '../../model/link-properties.js';
import { quoted, suggestion } from '../../model/names.js';
import type { Link, Network } from '../../model/network.js';
import { contradiction } from './contradictions.js';
import { changeDirection } from './direction.js';
import { DEFAULT_MTU_BYTES } from './ports.js';
import { deepFreeze } from '../../model/freeze.js';
import { checkProperties } from './shape.js';
import { readYaml, YamlProblem } from './yaml-text.js';

/**
 * The link as it is once `change` is made: in both directions, or only in the one that leaves the node `from`. What
 * `change` does not name stays. Throws `UsageError`.
 */
export function changeLink(network: Network, linkName: string, change: RawLinkProperties, from?: string): Link {
  const link = network.links.find(({ name }) => name === linkName);
  if (link === undefined)
    throw new UsageError(`network ${quoted(network.name)} has no link ${quoted(linkName)}`, hinted(linkName, network));
  refuseMissing(change, network.inputs);
  const [first, second] = link.ends;
  if (from !== undefined && from !== first.node && from !== second.node)
    throw new UsageError(`${quoted(from)} is no end of ${link.name}`, {
      hint: `its ends are ${first.node} and ${second.node}`,
    });
  const mtuBytes = mtuOf(link, network);
  const changed = (was: LinkProperties, sender: string): LinkProperties => {
    if (from !== undefined && from !== sender) return was;
    const properties = changeDirection(was, change, network.inputs);
    const wrong = contradiction({ properties, written: change, mtuBytes, inputs: network.inputs });
    if (wrong === undefined) return properties;
    throw new UsageError(`${link.name} from ${sender}: ${wrong.keys[0]}: ${wrong.message}`, { hint: wrong.hint });
  };
  const forward = changed(link.forward, first.node);
  const reverse = changed(link.reverse, second.node);
  return deepFreeze({ ...link, forward, reverse });
}

function hinted(linkName: string, { links }: Network): { hint?: string } {
  const hint = suggestion(
    linkName,
    links.map(({ name }) => name),
  );
  return hint === undefined ? {} : { hint };
}

/** What a link can name is what the network came up with. */
function refuseMissing({ trace, distribution }: RawLinkProperties, inputs: EmulationInputs): void {
  const refuse = (key: string, name: string, known: object): never => {
    const names = Object.keys(known);
    throw new UsageError(`${key}: the network did not come up with ${quoted(name)}`, {
      hint:
        names.length === 0
          ? 'a recording is read with the scenario: name it in an event, or in a link'
          : `it has ${names.join(', ')}`,
    });
  };
  if (trace !== undefined && trace !== NONE && !Object.hasOwn(inputs.traces, trace))
    refuse('trace', trace, inputs.traces);
  if (distribution === undefined || distribution === NONE) return;
  if (DISTRIBUTIONS.some((known) => known === distribution) || Object.hasOwn(inputs.distributions, distribution))
    return;
  refuse('distribution', distribution, inputs.distributions);
}

/** Of the packets that the link carries. */
function mtuOf({ ends, forward }: Link, { nodes }: Network): number {
  for (const { node: name, port } of ends) {
    if (port === undefined) continue;
    const node = nodes.find((candidate) => candidate.name === name);
    if (node === undefined || node.kind === 'switch' || node.kind === 'vxlan') continue;
    const found = node.ports.find((candidate) => candidate.name === port);
    if (found !== undefined) return found.mtuBytes;
  }
  return forward.emulation?.mtuBytes ?? DEFAULT_MTU_BYTES;
}

/**
 * Words of a command line, `delay=20ms`, each as `delay: 20ms` stands in a scenario: a value that begins with `{` or `[`
 * is a mapping or list. Throws `UsageError`.
 */
export function parseSettings(words: readonly string[]): RawLinkProperties {
  const settings: Record<string, unknown> = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals < 1) throw new UsageError(`${quoted(word)} sets nothing`, { hint: 'write KEY=VALUE, as in delay=20ms' });
    const key = word.slice(0, equals);
    if (key === 'mtu')
      throw new UsageError('mtu: interfaces have it, and it is not changed in place', {
        hint: 'change it in the scenario, then: luthier up FILE',
      });
    if (!LINK_PROPERTIES.some((known) => known === key))
      throw new UsageError(`unknown key ${quoted(key)}`, { hint: suggestion(key, LINK_PROPERTIES)! });
    if (Object.hasOwn(settings, key)) throw new UsageError(`${key} is set twice`, { hint: 'say it once' });
    settings[key] = readValue(key, word.slice(equals + 1));
  }
  return parseChange(settings);
}

function readValue(key: string, text: string): unknown {
  if (text === '') throw new UsageError(`${key}: no value is given`, { hint: `${key}=none takes it away` });
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  if (!/^[[{]/.test(text)) return text;
  try {
    return readYaml(text).value;
  } catch (cause) {
    if (!(cause instanceof YamlProblem)) throw cause;
    throw new UsageError(`${key}: ${cause.message}`, {
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
      cause,
    });
  }
}

/** A change of unknown origin: keys and units are checked. Throws `UsageError`. */
export function parseChange(value: unknown): RawLinkProperties {
  const change = checkProperties(value);
  if (Object.keys(change).length === 0)
    throw new UsageError('the change sets nothing', { hint: `what can be set: ${LINK_PROPERTIES.join(', ')}` });
  return change;
}
