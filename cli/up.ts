/** `luthier up FILE`: creates the network that the file describes, or changes the one that runs into it; all or nothing. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { AgentClient, UpOptions } from '../control/client.js';
import { requireEngines } from '../control/engine-count.js';
import { isMachineRoot } from '../control/privileges.js';
import type { Scenario } from '../control/scenario/index.js';
import { UsageError } from '../model/errors.js';
import type { Difference, NetworkSummary, Notice, PlanReport } from '../model/messages.js';
import { parseSize } from '../model/units.js';
import { agentIfAny, startedAgent, untilInterrupted } from './connection.js';
import { bytes, colors, counted, jsonMs, print, printJson } from './output.js';
import { progressView, silentView, type ProgressView } from './progress.js';
import { requireMachine } from './requirements.js';
import { syntax, withJson } from './syntax.js';

/** What a switch process takes (`vswitch/main.ts`), told before one is started. */
const MIN_MEMORY_BYTES = 4 * 2 ** 20;
const MAX_MEMORY_BYTES = 2 ** 31 - 1;

interface Options {
  readonly memory?: string;
  readonly engines?: string;
  readonly compensation: boolean;
  readonly plan?: true;
  readonly json?: true;
}

export function command(): Command {
  return withJson(
    syntax('up', 'create the network that a file describes, or change the one that runs into it; all or nothing', [
      [
        'luthier up scenarios/two-lans/scenario.yaml',
        'bring it up; after an edit of the file, apply what is different',
      ],
      ['luthier up net.yaml --plan', 'show what would be done, and do nothing'],
      ['luthier up net.yaml --memory 256MiB', 'let each switch process hold more frames'],
      ['luthier up net.yaml --engines 2', 'have each switch process forward with two processors'],
      ['luthier up net.yaml --no-compensation', 'have the time that switches take themselves on top of delays'],
    ])
      .argument('<file>', 'scenario file')
      .option('--plan', 'show what would be done, and do nothing')
      .option('--memory <size>', 'memory for frames in each switch process, as 64MiB (default: 64MiB)')
      .option('--engines <n>', 'threads of each switch process that forward frames (default: 1)')
      .option('--no-compensation', 'leave the time that switches take themselves in the delays of links'),
  ).action(async (file: string, options: Options) => {
    const { compensation } = options;
    const switches = {
      compensation,
      ...(options.memory === undefined ? {} : { memoryBytes: parseMemory(options.memory) }),
      ...(options.engines === undefined ? {} : { engines: parseEngines(options.engines) }),
    };
    if (switches.engines !== undefined) requireEngines(switches.engines, switches.memoryBytes);
    const scenario = await loadForUp(file);
    await refuseNarrow(scenario);
    if (options.plan) {
      const report = await planned(scenario);
      if (options.json) printJson({ luthier: 1, plan: report });
      else print(renderPlan(report));
      return;
    }
    await requireMachine();
    const view = options.json ? silentView : progressView();
    const { network, ms, changed, notices } = await bringUp(await startedAgent(), scenario, view, switches);
    if (options.json) printJson({ luthier: 1, network, ms: jsonMs(ms), changed, notices });
    else print(changed ? howToGoOn(network, ms) : `${network.name} runs already, as the file says`);
  });
}

/** Throws UsageError for what a switch process would refuse. */
export function parseMemory(text: string): number {
  const size = parseSize(text);
  if (size >= MIN_MEMORY_BYTES && size <= MAX_MEMORY_BYTES) return size;
  throw new UsageError(`--memory is ${bytes(size)}, and a switch process works with 4 MiB to 2 GiB less one byte`, {
    hint: 'leave it out for 64MiB, which hold 32 768 frames',
  });
}

function parseEngines(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`--engines is '${text}', and not a number`, { hint: 'leave it out for one' });
}

/** Checks everything that can be checked before an agent is needed. */
export async function loadForUp(file: string): Promise<Scenario> {
  const [{ load }, { refuseUnsupported }] = await Promise.all([
    import('../control/scenario/index.js'),
    import('../control/unsupported.js'),
  ]);
  const scenario = load(file);
  refuseUnsupported(scenario);
  return scenario;
}

/** Of what the agent refuses, that which only here has a place in the file; without root it is in another network. */
async function refuseNarrow(scenario: Scenario): Promise<void> {
  if (!Object.values(scenario.raw.nodes).some(({ kind }) => kind === 'vxlan') || !isMachineRoot()) return;
  const { refuseNarrowUnderlay } = await import('../control/vxlan-underlay.js');
  refuseNarrowUnderlay(scenario);
}

/** Where no agent runs and nothing is recorded, none is started for it. */
async function planned(scenario: Scenario): Promise<PlanReport> {
  const agent = await agentIfAny();
  if (agent !== undefined) return agent.plan(scenario);
  const [{ previewOf }, { resolve }] = await Promise.all([
    import('../control/preview.js'),
    import('../control/scenario/index.js'),
  ]);
  return previewOf(undefined, resolve(scenario));
}

const MARKS = { add: colors.green('+'), remove: colors.red('-'), change: colors.yellow('~') };

export function renderPlan({ network, runs, differences, steps }: PlanReport): string {
  if (steps.length === 0 && differences.length === 0) return `${network} runs already, as the file says`;
  const count = (change: Difference['change']): number =>
    differences.filter((difference) => difference.change === change).length;
  const lines = differences.flatMap(({ change, kind, name, details }) => [
    `  ${MARKS[change]} ${kind} ${name}`,
    ...details.map((detail) => `      ${detail}`),
  ]);
  const number = String(steps.length).length;
  return [
    runs
      ? `${network} runs: ${count('add')} to add, ${count('change')} to change, ${count('remove')} to remove`
      : `${network} does not run: ${count('add')} to add`,
    ...lines,
    'in these steps:',
    ...steps.map((step, i) => `  ${String(i + 1).padStart(number)}  ${step}`),
  ].join('\n');
}

/** Also what the demonstration does. ^C has the agent roll back. */
export async function bringUp(
  agent: AgentClient,
  scenario: Scenario,
  view: ProgressView,
  switches: Pick<UpOptions, 'memoryBytes' | 'engines' | 'compensation'> = {},
): Promise<{ network: NetworkSummary; ms: number; changed: boolean; notices: readonly Notice[] }> {
  // Recorded so that it means the same file wherever it is shown.
  const named = { ...scenario, file: scenario.file === undefined ? undefined : resolve(scenario.file) };
  let ms = 0;
  let changed = false;
  const notices: Notice[] = [];
  try {
    await untilInterrupted((signal) =>
      agent.up(named, {
        signal,
        onProgress: (progress) => {
          if (progress.type === 'plan') changed = progress.steps.length > 0;
          if (progress.type === 'notice') notices.push(noticeOf(progress));
          if (progress.type === 'done') ms = progress.ms;
          view.report(progress);
        },
        ...switches,
      }),
    );
  } finally {
    await view.finish();
  }
  const network = (await agent.networks()).find(({ name }) => name === scenario.raw.name);
  if (network === undefined) throw new Error(`the agent does not list ${scenario.raw.name}`);
  return { network, ms, changed, notices };
}

function noticeOf({ message, hint }: Notice): Notice {
  return hint === undefined ? { message } : { message, hint };
}

function howToGoOn(network: NetworkSummary, ms: number): string {
  const { name, hosts, routers, switches, links } = network;
  const parts = [
    counted(hosts, 'host'),
    counted(routers, 'router'),
    counted(switches, 'switch'),
    counted(links, 'link'),
  ];
  return [
    `${name} runs: ${parts.join(', ')} (${Math.round(ms)} ms)`,
    `  luthier inspect ${name}            nodes, addresses, counters`,
    `  luthier exec ${name}/NODE -- CMD   run a command in a node`,
    `  luthier down ${name}               remove it`,
  ].join('\n');
}
