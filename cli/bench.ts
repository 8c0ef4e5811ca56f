/** `luthier bench lan|tunnel`: measures this machine's networks beside the kernel's own, in one run. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Argument, Option, type Command } from 'commander';
import type { Extent, OnStep } from '../measure/run.js';
import { UNDERLAY_TITLES } from '../measure/underlays.js';
import type { Stage } from '../measure/stage.js';
import type { BenchReport, UnderlayName } from '../model/bench.js';
import { UsageError } from '../model/errors.js';
import { quoted } from '../model/names.js';
import { BenchProgress } from './bench-progress.js';
import { renderReport } from './bench-view.js';
import { ownPaths, startedAgent, untilInterrupted } from './connection.js';
import { print, printJson, STANDARD_OUTPUT, writeError } from './output.js';
import { requireMachine } from './requirements.js';
import { positiveInteger, syntax } from './syntax.js';

const BENCHES = ['lan', 'tunnel'] as const;
const UNDERLAYS = Object.keys(UNDERLAY_TITLES) as UnderlayName[];

interface Options {
  readonly pairs: number;
  readonly seconds: number;
  readonly quick?: true;
  readonly mtuSized?: true;
  readonly underlay?: UnderlayName[];
  readonly bridged?: true;
  readonly json?: string | true;
  readonly svg?: string;
}

export function command(): Command {
  return syntax('bench', "measure this machine's networks beside the kernel's own, in interleaved pairs", [
    ['luthier bench lan', 'two hosts on one switch; beside a kernel bridge'],
    ['luthier bench tunnel --svg tunnel.svg', 'two machines; beside kernel VXLAN, on three underlays; with a chart'],
    ['luthier bench tunnel --underlay uncut cut-gro', 'on two of them'],
    ['luthier bench lan --json lan.json', 'every value of every pair into a file; - is standard output'],
  ])
    .addArgument(new Argument('<what>', 'lan or tunnel').choices(BENCHES).argParser(knownBench))
    .option('--pairs <n>', 'how often each is measured', positiveInteger, 15)
    .option('--seconds <n>', 'of each transfer and each series of pings', positiveInteger, 2)
    .option('--quick', 'one short pair: whether it works, not how fast')
    .option('--mtu-sized', 'lan: without offloads, so that no frame is larger than the MTU')
    .addOption(new Option('--underlay <names...>', 'tunnel: which underlays').choices(UNDERLAYS))
    .option('--bridged', 'tunnel: VXLAN below bridges as well, as containers use it')
    .option('--json [file]', 'write one JSON object (docs/json.md) to a file, or print it')
    .option('--svg <file>', 'draw the ratios with their intervals')
    .action(async (what: BenchReport['name'], options: Options) => {
      refuseMisplaced(what, options);
      const report = await measured(what, options);
      if (options.svg !== undefined) {
        const { chart } = await import('../measure/chart.js');
        write(options.svg, chart(report));
      }
      const facts = { luthier: 1, bench: report };
      if (options.json === true || options.json === '-') printJson(facts);
      else {
        if (options.json !== undefined) write(options.json, `${JSON.stringify(facts, undefined, 2)}\n`);
        print(renderReport(report));
      }
    });
}

function knownBench(text: string): string {
  if ((BENCHES as readonly string[]).includes(text)) return text;
  throw new UsageError(`there is no benchmark ${quoted(text)}`, { hint: `there are ${BENCHES.join(' and ')}` });
}

function refuseMisplaced(what: BenchReport['name'], { mtuSized, underlay, bridged }: Options): void {
  const ofOther = what === 'lan' ? { '--underlay': underlay, '--bridged': bridged } : { '--mtu-sized': mtuSized };
  const [option] = Object.entries(ofOther).find(([, value]) => value !== undefined) ?? [];
  if (option === undefined) return;
  throw new UsageError(`${option} is not for 'bench ${what}'`, { hint: 'luthier bench --help says what it is for' });
}

async function measured(what: BenchReport['name'], options: Options): Promise<BenchReport> {
  const { requirePrograms } = await import('../measure/programs.js');
  const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
  const { underlay: underlays = UNDERLAYS, bridged = false, mtuSized = false } = options;
  requirePrograms(what === 'tunnel' || mtuSized ? ['iperf3', 'ping', 'ethtool'] : ['iperf3', 'ping'], path);
  await requireMachine();
  const [{ bench }, { lanStage }, { tunnelStage }] = await Promise.all([
    import('../measure/bench.js'),
    import('../measure/lan-stage.js'),
    import('../measure/tunnel-stage.js'),
  ]);
  const place = { agent: await startedAgent(), paths: await ownPaths(), path };
  const stage = (signal: AbortSignal): Promise<Stage> =>
    what === 'lan' ? lanStage(place, { mtuSized }, signal) : tunnelStage(place, { underlays, bridged }, signal);
  const extent = extentOf(options);
  const progress = new BenchProgress(process.stderr, extent.pairs);
  const onStep: OnStep = (step) => progress.report(step);
  try {
    return await untilInterrupted((signal) => bench(what, stage, extent, { signal, onStep }));
  } finally {
    progress.finish();
  }
}

/** For some seconds after a load V8 tidies up what is on its heaps; an idle network is one that has been for a while. */
function extentOf({ pairs, seconds, quick }: Options): Extent {
  if (quick) return { pairs: 1, phaseSeconds: 1, warmUpSeconds: 0, settleSeconds: 0, idleSeconds: 0.5 };
  return { pairs, phaseSeconds: seconds, warmUpSeconds: 1, settleSeconds: 20, idleSeconds: 10 };
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file === '-' ? process.stdout.fd : resolve(file), text);
  } catch (cause) {
    throw writeError(file === '-' ? STANDARD_OUTPUT : file, cause);
  }
}
