/**
 * When the processors of this machine were busy, all of them: looked at once a second by the agent, which wakes then anyway.
 * For verdicts: whoever is late has seldom another reason.
 */
import { readFileSync } from 'node:fs';
import { StrainLog } from '../model/strain-log.js';
import type { Strain } from '../model/verdict.js';

/** In ticks, since the machine was started; of all processors together. */
interface Ticks {
  readonly idle: number;
  readonly all: number;
}

export class ProcessorWatch {
  readonly #log = new StrainLog();
  #last: { readonly atNs: number; readonly ticks: Ticks } | undefined;

  look(atNs = Number(process.hrtime.bigint()), stat = readFileSync('/proc/stat', 'utf8')): void {
    const ticks = parseTicks(stat);
    const last = this.#last;
    this.#last = { atNs, ticks };
    if (last === undefined || ticks.all <= last.ticks.all) return;
    const busy = 1 - (ticks.idle - last.ticks.idle) / (ticks.all - last.ticks.all);
    const busyNs = Math.max(0, busy) * (atNs - last.atNs);
    this.#log.add({ fromNs: last.atNs, toNs: atNs, engineWaitNs: 0, busyNs, timed: 0, late: 0 });
  }

  /** Of the looks so far. */
  read(): readonly Strain[] {
    return this.#log.read();
  }
}

/**
 * proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in the first two already. Whoever waits
 * for a disk leaves its processor to others: that is idle here.
 */
function parseTicks(stat: string): Ticks {
  const [, ...numbers] = stat.slice(0, stat.indexOf('\n')).split(/\s+/).map(Number);
  const spent = numbers.slice(0, 8);
  return { idle: spent[3]! + spent[4]!, all: spent.reduce((sum, ticks) => sum + ticks, 0) };
}
