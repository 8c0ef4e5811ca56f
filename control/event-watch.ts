/**
 * Sees to it that an event of a running network is on record, in the log and announced once it has happened. The switch
 * processes do events by themselves and say when; nothing that frames meet waits for this.
 */
import { settingsText } from '../model/link-properties.js';
import type { DoneChange } from '../model/messages.js';
import type { Network, NetworkEvent } from '../model/network.js';
import { announceHosts } from './actions/hosts.js';
import { comesUp } from './link-changes.js';
import type { LiveNetwork } from './live.js';
import { untilLookMs } from './look.js';
import { eventKey } from './schedule.js';
import { moved } from './stations.js';
import { machinesOf } from './wiring.js';

/** After an event is due, until the switch processes are asked, and between two times that they are. */
const PAUSE_MS = 20;
/** A timer of Node has 31 bits of milliseconds. */
const LONGEST_PAUSE_MS = 3600e3;
/**
 * A switch process that was started again after an event was due was configured with what came of it, and knows nothing of
 * the event itself: once it answers for so long, it is taken as happened.
 */
const GRACE_NS = 1e9;

/** What a switch process has said. */
interface Known {
  readonly pid: number;
  /** Since when it answers, by time zero; undefined while it does not. */
  answeredNs: number | undefined;
  /** How many changes of it are known. */
  count: number;
  /** When what was done on which link; by a process before it too. */
  readonly done: Map<string, number>;
}

export class EventWatch {
  readonly #live: LiveNetwork;
  /** Another agent may have taken over, unnoticed but for this. */
  readonly #isInCharge: () => boolean;
  readonly #log: (message: string) => void;
  /** By machine. */
  readonly #known = new Map<string, Known>();
  /** Of these events, so many have been seen to pass; of those, the ones that are not known to have happened. */
  #events: readonly NetworkEvent[] = [];
  #seen = 0;
  #awaited: NetworkEvent[] = [];
  readonly #stop = new AbortController();
  readonly #watch: Promise<void>;
  /** What it was at the last look. */
  #last: Network;

  constructor(live: LiveNetwork, isInCharge: () => boolean, log: (message: string) => void) {
    this.#live = live;
    this.#isInCharge = isInCharge;
    this.#log = log;
    this.#last = live.network;
    this.#watch = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#watch;
  }

  /** There may be other events to come: `up` of another file. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted && this.#isInCharge()) {
      const network = this.#live.network;
      this.#see(network);
      if (this.#awaited.length > 0) await this.#ask();
      this.#awaited = this.#awaited.filter((event) => !this.#record(network, event));
      await this.#announce(network);
      await pause(this.#pauseMs(), signal);
    }
  }

  /** Looks at each event once, however many there are. */
  #see({ events, passedEvents }: Network): void {
    if (this.#events !== events) {
      this.#events = events;
      this.#seen = 0;
      this.#awaited = [];
    }
    const { happened } = this.#live.journal.state;
    for (; this.#seen < passedEvents; this.#seen++) {
      const event = events[this.#seen]!;
      if (!happened.has(eventKey(event))) this.#awaited.push(event);
    }
  }

  #pauseMs(): number {
    // Of processes that say nothing, one may not come back.
    if (this.#awaited.length > 0)
      return [...this.#known.values()].every(({ answeredNs }) => answeredNs !== undefined) ? PAUSE_MS : untilLookMs();
    const { nowNs } = this.#live;
    const next = this.#events[this.#seen];
    return next === undefined ? LONGEST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, (next.atNs - nowNs) / 1e6 + PAUSE_MS);
  }

  async #ask(): Promise<void> {
    await Promise.all(
      this.#live.switches().map(async ([machine, { pid }]) => {
        let known = this.#known.get(machine);
        if (known?.pid !== pid)
          this.#known.set(
            machine,
            (known = {
              pid,
              answeredNs: undefined,
              count: 0,
              done: known?.done ?? new Map<string, number>(),
            }),
          );
        let changes: DoneChange[];
        try {
          changes = await this.#live.switchOf(machine).changes(known.count);
        } catch {
          // It is being started again: it is asked again in a moment.
          known.answeredNs = undefined;
          return;
        }
        known.answeredNs ??= this.#live.nowNs;
        known.count += changes.length;
        // Of one that was told twice, the first time counts.
        for (const { link, atNs, doneNs } of changes)
          if (!known.done.has(`${link} ${atNs}`)) known.done.set(`${link} ${atNs}`, doneNs);
      }),
    );
  }

  /** Whether it is known to have happened. */
  #record(network: Network, event: NetworkEvent): boolean {
    const zeroNs = this.#live.header.zero!.monotonicNs;
    const link = network.links.find(({ name }) => name === event.link);
    const known = (link === undefined ? [] : machinesOf(network, link)).map((machine) => this.#known.get(machine));
    const done = known.map((process) => process?.done.get(`${event.link} ${zeroNs + event.atNs}`));
    const isDone = done.every((at) => at !== undefined) && done.length > 0;
    // Whoever knows nothing of it was told what came of it, at the earliest when it was first heard of.
    const toldNs = Math.max(event.atNs, ...known.map((process) => process?.answeredNs ?? Infinity));
    if (!isDone && this.#live.nowNs < toldNs + GRACE_NS) return false;
    const doneNs = isDone ? Math.max(...done) - zeroNs : toldNs;
    const { journal, header } = this.#live;
    const what = `${event.link}${event.from === undefined ? '' : ` from ${event.from}`} ${settingsText(event.set)}`;
    const how = isDone ? '' : ', as a switch process was started again, or the scenario changed';
    this.#log(
      `network ${header.name}: event: ${what}: due ${seconds(event.atNs)}, done ${seconds(doneNs)} after ${header.zero!.at}${how}`,
    );
    try {
      journal.append({ op: 'happened', event, doneNs });
    } catch (cause) {
      // It is for people: what they are told now, an agent after this one may not know.
      journal.state.happened.set(eventKey(event), doneNs);
      this.#log(`network ${header.name}: not recorded: ${(cause as Error).message}`);
    }
    return true;
  }

  /** Hosts that others can reach again, as after `luthier link up`. */
  async #announce(network: Network): Promise<void> {
    const last = this.#last;
    this.#last = network;
    if (last === network) return;
    const changed = new Set(
      passed(network)
        .slice(last.passedEvents)
        .map(({ link }) => link),
    );
    const was = new Map(last.links.map((link) => [link.name, link]));
    const isUp = network.links.some((link) => changed.has(link.name) && comesUp(was.get(link.name) ?? link, link));
    if (!isUp) return;
    try {
      await announceHosts({ live: this.#live, to: network }, { nodes: moved(last, network) });
    } catch (cause) {
      // Others forget what is wrong by themselves, in half a minute.
      this.#log(`network ${network.name}: not announced: ${(cause as Error).message}`);
    }
  }
}

function passed({ events, passedEvents }: Network): readonly NetworkEvent[] {
  return events.slice(0, passedEvents);
}

function seconds(ns: number): string {
  return `${(ns / 1e9).toFixed(6)} s`;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.max(ms, 1));
    signal.addEventListener('abort', end);
  });
}
