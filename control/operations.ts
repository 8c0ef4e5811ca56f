/**
 * What is done to one network: made, changed, removed. Each is all or nothing, and each can be ended at any moment: the
 * record says what the next agent has to do (`finish`, `remove`). Nothing here starts or stops a supervisor, or knows of
 * other networks: `networks.ts` does.
 */
import { isDeepStrictEqual } from 'node:util';
import { LuthierError, StateError } from '../model/errors.js';
import type { Progress } from '../model/messages.js';
import type { Network } from '../model/network.js';
import { apply, UNDO } from './actions/index.js';
import type { Target } from './actions/record.js';
import type { WantedNetwork } from './journal.js';
import { startClock, tellEvents } from './link-changes.js';
import type { LiveNetwork } from './live.js';
import { actionTitle, plan, sameNetwork, type Action, type BuildAction, type ClearAction } from './plan.js';
import { comingEvents } from './schedule.js';
import { endedOf, inWords, letGo, lossesOf, tendedLosses, withoutNodes } from './repair.js';

export type OnProgress = (progress: Progress) => void;

/** Who is told. `signal` aborts what can be taken back; what cannot goes on. */
export interface Conduct {
  readonly onProgress: OnProgress;
  readonly log: (message: string) => void;
  readonly signal?: AbortSignal;
}

/** Makes what a new record says. When it throws, nothing of it is left. */
export async function create(live: LiveNetwork, conduct: Conduct): Promise<void> {
  const { network, number } = live.header;
  const { build } = plan(undefined, network, number);
  conduct.onProgress({ type: 'plan', steps: build.map(actionTitle) });
  try {
    await perform({ live, to: network }, build, conduct);
    requireWhole(live, network);
    await startClock(live);
    live.journal.append({ op: 'status', status: 'running' });
  } catch (cause) {
    await remove(live, conduct);
    throw withOutcome(cause, 'and what was made has been removed');
  }
}

/**
 * From what runs to what is asked for, as it is so long after time zero; what was lost of it is made again on the way. When it throws before the change
 * counts, the network is as it was. Returns false when there was nothing to do.
 */
export async function change(live: LiveNetwork, wanted: WantedNetwork, conduct: Conduct): Promise<boolean> {
  const { number } = live.header;
  const from = live.network;
  const to = live.now(wanted.network);
  const lost = await letGo(live, lossesOf(live));
  const { build, clear } = plan(from, to, number, lost);
  conduct.onProgress({ type: 'plan', steps: [...build, ...clear].map(actionTitle) });
  if (build.length + clear.length === 0 && sameNetwork(from, to)) return false;
  live.journal.append({ op: 'change', ...wanted, network: to });
  try {
    await perform({ live, was: from, to }, build, conduct);
    requireWhole(live, to);
    live.journal.append({ op: 'commit' });
  } catch (cause) {
    await takeBack(live, cause, conduct);
  }
  await clearAway(live, clear, build.length, conduct);
  await tellOtherEvents(live, from, to);
  live.journal.complete();
  return true;
}

/**
 * A switch process that is what it should be was not configured, and may have events of `was` to come. Until it is told, the
 * record is that of a change: an agent that takes over tells it.
 */
async function tellOtherEvents(live: LiveNetwork, was: Network, is: Network): Promise<void> {
  const before = comingEvents(was);
  if (isDeepStrictEqual(before, comingEvents(is))) return;
  await tellEvents(
    live,
    before.map(({ link }) => link),
  );
}

/** The same of a change that is brought to an end: what a process that is started again is told does not keep it from that. */
async function tellOtherEventsOrLog(live: LiveNetwork, was: Network, is: Network, { log }: Conduct): Promise<void> {
  try {
    await tellOtherEvents(live, was, is);
  } catch (cause) {
    log(`network ${live.header.name}: its links may not be what they should: ${text(cause)}`);
  }
}

/** Ends a change that was interrupted: one that counts already is completed, any other taken back. */
export async function finish(live: LiveNetwork, conduct: Conduct): Promise<void> {
  const { change: interrupted, status } = live.journal.state;
  if (interrupted === undefined) return;
  const { number, network } = live.header;
  if (status === 'clearing') {
    await clearAway(live, plan(interrupted.from, network, number).clear, 0, conduct);
    await tellOtherEventsOrLog(live, interrupted.from, live.network, conduct);
    live.journal.complete();
    return;
  }
  const been = live.now(interrupted.header.network);
  const from = live.now(interrupted.from);
  // Of what was there before, all descriptors are still there: what removes them comes after the change counts.
  const lost = await letGo(live, lossesOf(live), from);
  const { build, clear } = plan(been, from, number, lost);
  // Of the commands that differ, only those that the change had ended are started again.
  const wasEnded = (node: string): boolean => interrupted.restarted.has(node) || lost.nodes.has(node);
  const steps = build.flatMap((action): BuildAction[] => {
    if (action.kind !== 'commands') return [action];
    const nodes = action.nodes.filter(wasEnded);
    return nodes.length === 0 ? [] : [{ ...action, nodes }];
  });
  const back = [...steps, ...clear];
  conduct.onProgress({ type: 'plan', steps: back.map(actionTitle) });
  await perform({ live, was: been, to: from }, back, withoutAbort(conduct));
  await tellOtherEventsOrLog(live, been, from, conduct);
  live.journal.complete();
}

/** Has keeper, switch processes and namespaces of machines back; hosts that were lost stay lost. */
export async function mend(live: LiveNetwork, conduct: Conduct): Promise<void> {
  const { network } = live;
  const { number } = live.header;
  const losses = tendedLosses(live);
  const lost = await letGo(live, losses);
  const to: Network = withoutNodes(network, losses.nodes);
  const { build } = plan(to, to, number, { ...lost, nodes: new Set() });
  // Tunnels are sealed again by themselves: whoever wants the network gone need not wait for that.
  const steps = build.filter(({ kind }) => kind !== 'seals');
  await perform({ live, was: to, to }, steps, conduct);
  if (live.journal.state.change === undefined) live.journal.append({ op: 'whole' });
}

/**
 * Undoes what the record says was begun, then forgets the network. What cannot be undone does not keep the rest from it;
 * the network then stays on record, and the next `down` tries again.
 */
export async function remove(live: LiveNetwork, { onProgress }: Conduct): Promise<void> {
  const { name } = live.header;
  const steps = UNDO.filter(([kind]) => live.journal.state.actions.has(kind));
  onProgress({ type: 'plan', steps: steps.map(([, { title }]) => title) });
  const failures: string[] = [];
  for (const [index, [, { title, undo }]] of steps.entries()) {
    const started = performance.now();
    onProgress({ type: 'step', index, title, status: 'start' });
    try {
      await undo(live);
    } catch (cause) {
      failures.push(`${title}: ${text(cause)}`);
      continue;
    }
    onProgress({ type: 'step', index, title, status: 'undone', ms: performance.now() - started });
  }
  if (failures.length > 0)
    throw new StateError(`network '${name}' could not be removed whole: ${failures.join('; ')}`, {
      hint: `try again: luthier down ${name}`,
    });
  live.journal.remove();
}

/** Something may have ended while the rest was made. */
function requireWhole(live: LiveNetwork, network: Network): void {
  const ended = inWords(endedOf(live, network));
  if (ended.length > 0) throw new StateError(`ended meanwhile: ${ended.join(', ')}`, { hint: 'try again' });
}

/** Takes a failed change back and throws the error that tells of both. */
async function takeBack(live: LiveNetwork, cause: unknown, conduct: Conduct): Promise<never> {
  let outcome = 'and the network is as it was before';
  try {
    await finish(live, conduct);
  } catch (second) {
    outcome = `and could not be taken back whole: ${text(second)}`;
    conduct.log(`network ${live.header.name}: a change failed ${outcome}`);
  }
  throw withOutcome(cause, outcome);
}

/** Removes what is not wanted any more. `before`: steps of the same plan that were done. */
async function clearAway(
  live: LiveNetwork,
  actions: readonly ClearAction[],
  before: number,
  conduct: Conduct,
): Promise<void> {
  const was = live.journal.state.change?.from;
  try {
    await perform({ live, was, to: live.network }, actions, withoutAbort(conduct), before);
  } catch (cause) {
    throw withOutcome(cause, 'the network is what was asked for, but has parts left that it should not have', {
      hint: 'the same `up` once more tries to remove them',
    });
  }
}

async function perform(target: Target, actions: readonly Action[], conduct: Conduct, before = 0): Promise<void> {
  const { live } = target;
  const { onProgress, log, signal } = conduct;
  for (const [i, action] of actions.entries()) {
    const index = before + i;
    const title = actionTitle(action);
    const started = performance.now();
    try {
      if (signal?.aborted === true) throw new StateError('interrupted');
      onProgress({ type: 'step', index, title, status: 'start' });
      live.journal.append({ op: 'make', action: action.kind });
      await apply(target, action);
    } catch (cause) {
      log(`network ${live.header.name}: '${title}' failed: ${text(cause)}`);
      throw withMessage(cause, `step ${index + 1} of ${before + actions.length} (${title}) failed: ${text(cause)}`);
    }
    onProgress({ type: 'step', index, title, status: 'done', ms: performance.now() - started });
  }
}

function withoutAbort({ onProgress, log }: Conduct): Conduct {
  return { onProgress, log };
}

/** What went wrong, and what has become of the network; `hint` in place of the error's own. */
function withOutcome(cause: unknown, outcome: string, hint?: { hint: string }): LuthierError {
  return withMessage(cause, `${text(cause)}; ${outcome}`, hint);
}

function withMessage(cause: unknown, message: string, hint?: { hint: string }): LuthierError {
  const own = cause instanceof LuthierError && cause.hint !== undefined ? { hint: cause.hint } : {};
  return new LuthierError(cause instanceof LuthierError ? cause.code : 'E_INTERNAL', message, {
    cause,
    ...(hint ?? own),
  });
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
