/** `luthier validate FILE`: checks a scenario against the whole contract, without touching the system. */
import type { Command } from 'commander';
import type { Topology } from '../control/scenario/index.js';
import { UnsupportedError } from '../model/errors.js';
import { counted, print, printJson } from './output.js';
import { syntax, withJson } from './syntax.js';

/** What a right scenario has, and the first thing in it that this version does not build. */
interface Validation {
  readonly network: string;
  readonly hosts: number;
  readonly routers: number;
  readonly switches: number;
  readonly links: number;
  readonly lans: number;
  readonly machines: number;
  readonly unsupported?: {
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly message: string;
  };
}

export function command(): Command {
  return withJson(
    syntax('validate', 'check a scenario file; exit status 2 where it is wrong', [
      ['luthier validate net.yaml', 'errors are printed as file:line:column'],
    ]).argument('<file>', 'scenario file'),
  ).action(async (file: string, options: { json?: true }) => {
    const result = await validate(file);
    if (options.json) printJson({ luthier: 1, valid: true, ...result });
    else print(renderValidation(file, result));
  });
}

/** Throws ScenarioError. */
export async function validate(file: string): Promise<Validation> {
  const [{ checkedTopology, load }, { refuseUnsupported }] = await Promise.all([
    import('../control/scenario/index.js'),
    import('../control/unsupported.js'),
  ]);
  const scenario = load(file);
  const summary = summarise(scenario.raw.name, checkedTopology(scenario));
  try {
    refuseUnsupported(scenario);
    return summary;
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    return { ...summary, unsupported: { ...error.position, message: error.message } };
  }
}

function summarise(network: string, { nodes, links, lans, machines }: Topology): Validation {
  const kinds = [...nodes.values()].map(({ kind }) => kind);
  const ofKind = (...wanted: string[]): number => kinds.filter((kind) => wanted.includes(kind)).length;
  return {
    network,
    hosts: ofKind('host', 'jetway'),
    routers: ofKind('router'),
    switches: ofKind('switch'),
    links: links.length,
    lans: lans.length,
    machines: machines.length,
  };
}

function renderValidation(file: string, result: Validation): string {
  const parts = [
    counted(result.hosts, 'host'),
    counted(result.routers, 'router'),
    counted(result.switches, 'switch'),
    counted(result.links, 'link'),
    counted(result.lans, 'LAN'),
    counted(result.machines, 'machine'),
  ];
  const lines = [`${file}: ok: ${result.network}: ${parts.join(', ')}`];
  if (result.unsupported !== undefined) {
    const { line, column, message } = result.unsupported;
    lines.push(`note: 'up' would refuse it: ${file}:${line}:${column}: ${message}`);
  }
  return lines.join('\n');
}
