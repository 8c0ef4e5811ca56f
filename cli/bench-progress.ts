/** Tells how far a benchmark is: in place on a terminal, a line for each step elsewhere. */
import type { OnStep, PairStep } from '../measure/run.js';
import { UNDERLAY_TITLES } from '../measure/underlays.js';

export class BenchProgress {
  readonly #out: NodeJS.WriteStream;
  readonly #pairs: number;

  constructor(out: NodeJS.WriteStream, pairs: number) {
    this.#out = out;
    this.#pairs = pairs;
  }

  report(step: Parameters<OnStep>[0]): void {
    this.say(step === 'idle' ? 'the idle networks' : this.#pairText(step));
  }

  /** What is measured now. */
  say(text: string): void {
    this.#out.write(this.#out.isTTY ? `\r\u001b[Kmeasuring ${text} …` : `measuring ${text}\n`);
  }

  finish(): void {
    if (this.#out.isTTY) this.#out.write('\r\u001b[K');
  }

  #pairText({ title, underlay, pair }: PairStep): string {
    const where = [
      ...(title === undefined ? [] : [title]),
      ...(underlay === undefined ? [] : [`underlay: ${UNDERLAY_TITLES[underlay]}`]),
    ];
    return [`pair ${pair + 1} of ${this.#pairs}`, ...where].join(', ');
  }
}
