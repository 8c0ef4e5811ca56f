/** `luthier bench lan|tunnel|peers|link`: measures this machine's networks beside the kernel's own and others', in one run. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Argument, Option, type Command } from 'commander';
import type { Extent, OnStep } from '../measure/run.js';
import { UNDERLAY_TITLES } from '../measure/underlays.js';
import type { Place, Stages } from '../measure/stage.js';
import { LINK_PARTS, type LinkBenchReport, type LinkPart } from '../model/bench-link.js';
import type { BenchReport, UnderlayName } from '../model/bench.js';
import { UsageError } from '../model/errors.js';
import { quoted } from '../model/names.js';
import { renderLinkReport } from './bench-link-view.js';
import { BenchProgress } from './bench-progress.js';
import { renderReport } from './bench-view.js';
import { ownPaths, startedAgent, untilInterrupted } from './connection.js';
import { print, printJson, STANDARD_OUTPUT, writeError } from './output.js';
import { requireMachine } from './requirements.js';
import { positiveInteger, syntax } from './syntax.js';

const BENCHES = ['lan', 'tunnel', 'peers', 'link'] as const;
type BenchName = (typeof BENCHES)[number];

const UNDERLAYS = Object.keys(UNDERLAY_TITLES) as UnderlayName[];

interface Options {
  readonly pairs: number;
  readonly seconds: number;
  readonly quick?: true;
  readonly mtuSized?: true;
  readonly underlay?: UnderlayName[];
  readonly bridged?: true;
  readonly full?: true;
  readonly only?: string[];
  readonly json?: string | true;
  readonly svg?: string;
}

/** Options that are not for all. */
const MEANT_FOR: Readonly<Partial<Record<keyof Options, readonly BenchName[]>>> = {
  pairs: ['lan', 'tunnel', 'peers'],
  seconds: ['lan', 'tunnel', 'peers'],
  mtuSized: ['lan'],
  underlay: ['tunnel', 'peers'],
  bridged: ['tunnel'],
  full: ['link'],
  only: ['peers', 'link'],
};

export function command(): Command {
  return syntax('bench', "measure this machine's networks beside the kernel's own, in interleaved pairs", [
    ['luthier bench lan', 'two hosts on one switch; beside a kernel bridge'],
    ['luthier bench tunnel --svg tunnel.svg', 'two machines; beside kernel VXLAN, on three underlays; with a chart'],
    ['luthier bench tunnel --underlay uncut cut-gro', 'on two of them'],
    ['luthier bench peers --svg peers.svg', 'all that one would take instead, as far as it is installed'],
    ['luthier bench peers --only vde,ovs', 'some of it'],
    ['luthier bench link --full --svg link.svg', 'how exact emulated links are; in about three minutes without --full'],
    ['luthier bench link --only rtt,tcp', 'parts of it'],
    ['luthier bench lan --json lan.json', 'every value of every pair into a file; - is standard output'],
  ])
    .addArgument(new Argument('<what>', 'lan, tunnel, peers or link').choices(BENCHES).argParser(knownBench))
    .option('--pairs <n>', 'how often each is measured', positiveInteger, 15)
    .option('--seconds <n>', 'of each transfer and each series of pings', positiveInteger, 2)
    .option('--quick', 'one short pair: whether it works, not how fast')
    .option('--mtu-sized', 'lan: without offloads, so that no frame is larger than the MTU')
    .addOption(new Option('--underlay <names...>', 'tunnel, peers: which underlays').choices(UNDERLAYS))
    .option('--bridged', 'tunnel: VXLAN below bridges as well, as containers use it')
    .option('--full', 'link: every setting, for about half an hour')
    .option('--only <names>', `link: some of ${LINK_PARTS.join(',')}; peers: of vde,ovs,n2n,…`, (text) =>
      text.split(','),
    )
    .option('--json [file]', 'write one JSON object (docs/json.md) to a file, or print it')
    .option('--svg <file>', 'draw the ratios with their intervals; link: errors against settings')
    .action(async (what: BenchName, options: Options, own: Command) => {
      refuseMisplaced(what, own);
      if (what === 'link') {
        const report = await measuredLink(options);
        const { linkCharts } = await import('../measure/link/charts.js');
        publish(options, report, { table: renderLinkReport, drawing: linkCharts });
      } else {
        const report = await measured(what, options);
        const { chart } = await import('../measure/chart.js');
        publish(options, report, { table: renderReport, drawing: chart });
      }
    });
}

function publish<Report>(
  { json, svg }: Options,
  report: Report,
  { table, drawing }: { table: (report: Report) => string; drawing: (report: Report) => string },
): void {
  if (svg !== undefined) write(svg, drawing(report));
  const facts = { luthier: 1, bench: report };
  if (json === true || json === '-') {
    printJson(facts);
    return;
  }
  if (json !== undefined) write(json, `${JSON.stringify(facts, undefined, 2)}\n`);
  print(table(report));
}

function knownBench(text: string): string {
  if ((BENCHES as readonly string[]).includes(text)) return text;
  throw new UsageError(`there is no benchmark ${quoted(text)}`, {
    hint: `there are ${BENCHES.slice(0, -1).join(', ')} and ${BENCHES.at(-1)!}`,
  });
}

function linkParts(only: readonly string[]): LinkPart[] {
  return only.map((part) => {
    const known = LINK_PARTS.find((name) => name === part);
    if (known !== undefined) return known;
    throw new UsageError(`--only: there is no part ${quoted(part)}`, { hint: `there are ${LINK_PARTS.join(', ')}` });
  });
}

function refuseMisplaced(what: BenchName, own: Command): void {
  for (const option of own.options) {
    const name = option.attributeName();
    const meant = MEANT_FOR[name as keyof Options] ?? BENCHES;
    if (meant.includes(what) || own.getOptionValueSource(name) !== 'cli') continue;
    throw new UsageError(`${option.long!} is not for 'bench ${what}'`, {
      hint: 'luthier bench --help says what it is for',
    });
  }
}

async function measuredLink({ only, quick, full }: Options): Promise<LinkBenchReport> {
  const [{ requirePrograms }, { benchLink, programsOf }, { extentOf: linkExtentOf }] = await Promise.all([
    import('../measure/programs.js'),
    import('../measure/link/bench.js'),
    import('../measure/link/extent.js'),
  ]);
  const path = programPath();
  const parts = only === undefined ? undefined : linkParts(only);
  requirePrograms(programsOf(parts ?? LINK_PARTS), path);
  await requireMachine();
  const place = { agent: await startedAgent(), paths: await ownPaths(), path };
  const extent = linkExtentOf(quick ? 'quick' : full ? 'full' : 'usual', parts);
  const progress = new BenchProgress(process.stderr, 1);
  const onStep = (step: string): void => progress.say(step);
  try {
    return await untilInterrupted((signal) => benchLink(place, extent, { signal, onStep }));
  } finally {
    progress.finish();
  }
}

/** Debian keeps `tc` and `ethtool` where ordinary users do not look. */
function programPath(): string {
  return `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
}

async function measured(what: BenchReport['name'], options: Options): Promise<BenchReport> {
  const { requirePrograms } = await import('../measure/programs.js');
  const path = programPath();
  const needsEthtool = what !== 'lan' || options.mtuSized === true;
  requirePrograms(needsEthtool ? ['iperf3', 'ping', 'ethtool'] : ['iperf3', 'ping'], path);
  const build = await builder(what, options, path);
  await requireMachine();
  const { bench } = await import('../measure/bench.js');
  const place = { agent: await startedAgent(), paths: await ownPaths(), path };
  const extent = extentOf(what, options);
  const progress = new BenchProgress(process.stderr, extent.pairs);
  const onStep: OnStep = (step) => progress.report(step);
  try {
    return await untilInterrupted((signal) =>
      bench(what, (building) => build(place, building), extent, { signal, onStep }),
    );
  } finally {
    progress.finish();
  }
}

type Build = (place: Place, signal: AbortSignal) => Promise<Stages>;

/** What builds the stages. Throws where something cannot be chosen, before anything is made. */
async function builder(what: BenchReport['name'], options: Options, path: string): Promise<Build> {
  const { underlay, bridged = false, mtuSized = false } = options;
  const { alone } = await import('../measure/stage.js');
  if (what === 'lan') {
    const { lanStage } = await import('../measure/lan-stage.js');
    return async (place, signal) => alone(await lanStage(place, { mtuSized }, signal));
  }
  if (what === 'tunnel') {
    const { tunnelStage } = await import('../measure/tunnel-stage.js');
    const tunnels = { underlays: underlay ?? UNDERLAYS, bridged };
    return async (place, signal) => alone(await tunnelStage(place, tunnels, signal));
  }
  const [{ choose }, { peersStages }] = await Promise.all([
    import('../measure/peers/index.js'),
    import('../measure/peers/stage.js'),
  ]);
  const choice = choose(options.only, path);
  for (const { title, reason, install } of choice.absent)
    process.stderr.write(`luthier: ${title} is left out: ${reason}; to have it: ${install!}\n`);
  return (place, signal) => peersStages(place, choice, underlay ?? ['uncut'], signal);
}

/** For some seconds after a load V8 tidies up what is on its heaps; an idle network is one that has been for a while. */
function extentOf(what: BenchReport['name'], { pairs, seconds, quick }: Options): Extent {
  const frames = quick
    ? { seconds: 0.2, trialSeconds: 0.1, trials: 3 }
    : { seconds, trialSeconds: TRIAL_SECONDS, trials: TRIALS };
  const smallFrames = what === 'peers' ? { smallFrames: frames } : {};
  if (quick) return { pairs: 1, phaseSeconds: 1, warmUpSeconds: 0, settleSeconds: 0, idleSeconds: 0.5, ...smallFrames };
  return { pairs, phaseSeconds: seconds, warmUpSeconds: 1, settleSeconds: 20, idleSeconds: 10, ...smallFrames };
}

/** Of the search for the rate without loss: to 3 % of it. */
const TRIALS = 7;
const TRIAL_SECONDS = 0.3;

function write(file: string, text: string): void {
  try {
    writeFileSync(file === '-' ? process.stdout.fd : resolve(file), text);
  } catch (cause) {
    throw writeError(file === '-' ? STANDARD_OUTPUT : file, cause);
  }
}
