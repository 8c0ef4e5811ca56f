/**
 * Shows what the agent is doing, from the `Progress` that it reports. Called by `up`, `down` and the demonstration.
 *
 * On a terminal, all steps are listed at once and ticked off (listr2); elsewhere, and where the steps would not fit the
 * terminal's height, each step is a line of its own when it ends, so that a log stays readable.
 */
import pc from 'picocolors';
import type { Notice, Progress } from '../model/messages.js';

const COLORS = pc.createColors(process.stderr.isTTY ? pc.isColorSupported : false);

/** `report` takes what the agent says, in order; `finish` follows the last, whatever came of it. */
export interface ProgressView {
  report(progress: Progress): void;
  finish(): Promise<void>;
}

/** The view that fits standard error: that is where progress goes, so that standard output has results alone. */
export function progressView(): ProgressView {
  return process.stderr.isTTY
    ? new TerminalView(process.stderr.rows)
    : new LineView((line) => process.stderr.write(line));
}

/** For `--json`. */
export const silentView: ProgressView = { report: () => undefined, finish: () => Promise.resolve() };

/** One line a step, numbered within its plan. */
export class LineView implements ProgressView {
  readonly #write: (line: string) => void;
  #steps: number | undefined;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  report(progress: Progress): void {
    if (progress.type === 'plan') this.#plan(progress.steps.length);
    if (progress.type === 'notice') this.#write(noticeText(progress));
    if (progress.type !== 'step' || progress.status === 'start') return;
    const total = String(this.#steps ?? '?');
    const number = String(progress.index + 1).padStart(total.length);
    this.#write(`[${number}/${total}] ${progress.title}${ending(progress.ms, progress.detail)}\n`);
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  #plan(steps: number): void {
    if (this.#steps !== undefined) this.#write(`${UNDOING}\n`);
    this.#steps = steps;
  }
}

/** A second plan within one operation is the way back. */
const UNDOING = 'it failed: undoing what was made';

/** A step as listr2 sees it: a task that waits until the agent has reported its end. */
interface Step {
  readonly title: string;
  readonly ended: Promise<string>;
  end(title: string): void;
  fail(error: Error): void;
}

class TerminalView implements ProgressView {
  readonly #rows: number;
  /** Said while a list is shown, which redraws its own lines: they wait until it has ended. */
  readonly #notices: Notice[] = [];
  readonly #lines = new LineView((line) => process.stderr.write(line));
  #steps: readonly Step[] | undefined;
  #shown: Promise<void> = Promise.resolve();

  constructor(rows: number) {
    this.#rows = rows;
  }

  report(progress: Progress): void {
    if (progress.type === 'plan') this.#plan(progress.steps);
    else if (this.#steps === undefined) this.#lines.report(progress);
    else if (progress.type === 'notice') this.#notices.push(progress);
    else if (progress.type === 'step' && progress.status !== 'start') {
      const { index, title, ms, detail } = progress;
      this.#steps[index]?.end(`${title}${COLORS.dim(ending(ms, detail))}`);
    }
  }

  async finish(): Promise<void> {
    this.#giveUp();
    await this.#shown;
    for (const notice of this.#notices.splice(0)) process.stderr.write(noticeText(notice));
  }

  #plan(titles: readonly string[]): void {
    const undoing = this.#steps !== undefined;
    this.#giveUp();
    if (titles.length === 0) return;
    if (titles.length >= this.#rows - 2) {
      this.#steps = undefined;
      this.#lines.report({ type: 'plan', steps: titles });
      return;
    }
    const steps = titles.map(pendingStep);
    this.#steps = steps;
    this.#shown = this.#shown.then(() => {
      if (undoing) process.stderr.write(`${UNDOING}\n`);
      return showList(steps);
    });
  }

  /** Steps that have not ended by now never will: listr2 marks the one at work as failed, and stops. */
  #giveUp(): void {
    for (const step of this.#steps ?? []) step.fail(new Error(step.title));
  }
}

function pendingStep(title: string): Step {
  const { promise, resolve, reject } = deferred<string>();
  promise.catch(() => undefined); // it may fail before, or without, listr2 looking at it
  return { title, ended: promise, end: resolve, fail: reject };
}

async function showList(steps: readonly Step[]): Promise<void> {
  const { Listr } = await import('listr2');
  const tasks = steps.map((step) => ({
    title: step.title,
    task: async (_: unknown, task: { title: string }) => {
      task.title = await step.ended;
    },
  }));
  const list = new Listr(tasks, {
    concurrent: false,
    exitOnError: true,
    registerSignalListeners: false,
    rendererOptions: { showErrorMessage: false, collapseErrors: false },
  });
  // Why it failed is told once, by `cli/main.ts`: here a failed step only gets its cross.
  await list.run().catch(() => undefined);
}

function noticeText({ message, hint }: Notice): string {
  const follows = hint === undefined ? '' : `  ${hint}\n`;
  return `note: ${message}\n${follows}`;
}

function ending(ms: number | undefined, detail: string | undefined): string {
  const facts = [detail, ms === undefined ? undefined : `${Math.round(ms)} ms`].filter((fact) => fact !== undefined);
  return facts.length === 0 ? '' : ` (${facts.join(', ')})`;
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
