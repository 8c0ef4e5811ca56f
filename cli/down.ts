/** `luthier down NETWORK|FILE|--all`: removes what `up` made, and nothing else. */
import { statSync } from 'node:fs';
import type { Command } from 'commander';
import type { AgentClient } from '../control/client.js';
import { UsageError } from '../model/errors.js';
import type { Verdict } from '../model/verdict.js';
import { agentIfAny, nothingRuns, removeStaleFiles } from './connection.js';
import { resolveNetwork } from './names.js';
import { jsonMs, print, printJson } from './output.js';
import { progressView, silentView, type ProgressView } from './progress.js';
import { syntax, withJson } from './syntax.js';
import { verdictLines } from './verdict-view.js';

export function command(): Command {
  return withJson(
    syntax('down', 'remove a network, and nothing else', [
      ['luthier down two-lans', 'by its name'],
      ['luthier down scenarios/two-lans/scenario.yaml', 'by its file'],
      ['luthier down --all', 'all that run; no error where none does'],
    ])
      .argument('[network|file]', 'name of a network, or its scenario file')
      .option('--all', 'remove every network of this machine'),
  ).action(async (target: string | undefined, options: { all?: true; json?: true }) => {
    if ((target === undefined) === (options.all === undefined))
      throw new UsageError('name one network or file, or say --all', { hint: 'see what runs: luthier ls' });

    const agent = await agentIfAny();
    const removed: { name: string; ms: number; verdict?: Verdict }[] = [];
    const remove = async (name: string): Promise<void> => {
      const { ms, verdict } = await bringDown(agent!, name, options.json ? silentView : progressView());
      removed.push({ name, ms: jsonMs(ms), ...(verdict === undefined ? {} : { verdict }) });
      if (options.json) return;
      print(`${name} is down (${Math.round(ms)} ms)`);
      if (verdict !== undefined) print(verdictLines(verdict).join('\n'));
    };
    if (target !== undefined) await remove(await networkOf(agent, target));
    else await removeAll(agent, remove);
    if (agent === undefined) await removeStaleFiles();
    if (options.json) printJson({ luthier: 1, removed });
    else if (removed.length === 0) print('nothing runs');
  });
}

/**
 * Returns how long it took, and of a network with emulated links whether they did what was asked. Also what the demonstration
 * does. ^C ends only the watching: the agent goes on.
 */
export async function bringDown(
  agent: AgentClient,
  name: string,
  view: ProgressView,
): Promise<{ ms: number; verdict: Verdict | undefined }> {
  let ms = 0;
  let verdict: Verdict | undefined;
  try {
    await agent.down(name, {
      onProgress: (progress) => {
        if (progress.type === 'done') ms = progress.ms;
        if (progress.type === 'verdict') ({ verdict } = progress);
        view.report(progress);
      },
    });
  } finally {
    await view.finish();
  }
  return { ms, verdict };
}

/** Those that come up or go down at the moment as well: the agent interrupts or completes what is under way. */
async function removeAll(agent: AgentClient | undefined, remove: (name: string) => Promise<void>): Promise<void> {
  for (const { name } of (await agent?.networks()) ?? []) {
    try {
      await remove(name);
    } catch (error) {
      // It has gone by itself: its `up` was rolled back, or another `down` was quicker.
      if ((await agentIfAny().then((other) => other?.networks()))?.some((network) => network.name === name))
        throw error;
    }
  }
}

/** A network of that name goes before a file of that name. Throws ScenarioError for a file that is none. */
async function networkOf(agent: AgentClient | undefined, target: string): Promise<string> {
  const running = (await agent?.networks()) ?? [];
  const isName = running.some(({ name }) => name === target) || !namesFile(target);
  const name = isName ? target : (await import('../control/scenario/index.js')).load(target).raw.name;
  if (agent === undefined) throw nothingRuns();
  return resolveNetwork(agent, name);
}

/** What no network's name can be, or a file that is there. */
function namesFile(target: string): boolean {
  return /[/.]/.test(target) || (statSync(target, { throwIfNoEntry: false })?.isFile() ?? false);
}
