/** Makes the discipline that a link's queue is said to have. Called by `medium.ts`. */
import type { Queue } from '../../model/emulation.js';
import { Codel } from './codel.js';
import type { Discipline, Waiting } from './discipline.js';
import { DropTail } from './drop-tail.js';
import { FqCodel } from './fq-codel.js';
import { Pie } from './pie.js';
import type { RandomStream } from './random.js';
import { Red } from './red.js';

/** `stream`: makes that of a purpose, for those that draw. */
export function createDiscipline(
  queue: Queue,
  waiting: Waiting,
  stream: (purpose: 'queue') => RandomStream,
  rateBps: number,
  overheadBytes: number,
): Discipline {
  switch (queue.discipline) {
    case 'drop-tail':
      return new DropTail(waiting, queue.limit, rateBps, overheadBytes);
    case 'red':
      return new Red(queue, waiting, stream('queue'), rateBps, overheadBytes);
    case 'codel':
      return new Codel(queue, waiting, rateBps, overheadBytes);
    case 'fq-codel':
      return new FqCodel(queue, waiting, stream('queue'), rateBps, overheadBytes);
    case 'pie':
      return new Pie(queue, waiting, stream('queue'), rateBps, overheadBytes);
  }
}
