/** Makes the discipline that a link's queue is said to have. Called by `emulator.ts`. */
import type { Queue } from '../../model/emulation.js';
import type { Discipline, Waiting } from './discipline.js';
import { DropTail } from './drop-tail.js';
import type { RandomStream } from './random.js';

/** `random`: the stream of purpose `queue`. */
export function createDiscipline(
  queue: Queue,
  waiting: Waiting,
  _random: RandomStream,
  rateBps: number,
  overheadBytes: number,
): Discipline {
  switch (queue.discipline) {
    case 'drop-tail':
      return new DropTail(waiting, queue.limit, rateBps, overheadBytes);
    default:
      throw new RangeError(`no discipline ${queue.discipline}`);
  }
}
