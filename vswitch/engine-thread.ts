/**
 * The main thread's end of an engine's thread: starts it, sends commands, reads the shared counters. Used by `engines.ts`.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { LuthierError, StateError } from '../model/errors.js';
import { native } from '../native/binding.js';
import type {
  Answer,
  CommandName,
  Commands,
  EngineEvent,
  EngineReady,
  EngineStart,
  Request,
  ScheduleEvent,
  TunnelEvent,
} from './commands.js';
import { FlightRecorder } from './flight-recorder.js';
import type { TrunkOptions } from './stack/trunk.js';
import { Gauge, Telemetry } from './telemetry.js';

/** The engine allocates little outside of its arena: a heap that grows is a mistake that should be seen. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8, codeRangeSizeMb: 16 };

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

export type EngineOptions = Partial<Pick<EngineStart, 'ioUring' | 'compensation' | 'trunks' | 'latencyFd'>>;

export class EngineThread {
  readonly telemetry: Telemetry;
  readonly recorder: FlightRecorder;
  /** Resolves when the thread has ended; rejects when it failed. */
  readonly ended: Promise<void>;
  /** Nanoseconds since 1970 when the engine's clock was 0. */
  readonly unixStartNs: bigint;
  /** As /proc/self/task names it. */
  readonly threadId: number;
  /** What it takes itself of a frame's time in a link, as measured at its start; 0: it was not. */
  readonly costNs: number;
  readonly #worker: Worker;
  readonly #wakeFd: number;
  /** Called with what the engine says unasked. */
  onTunnelEvent: (event: TunnelEvent) => void;
  onScheduleEvent: (event: ScheduleEvent) => void;
  readonly #pending: Map<number, Pending>;
  #lastId: number;
  #running: boolean;

  private constructor(worker: Worker, start: EngineStart, ended: Promise<void>, ready: EngineReady) {
    this.telemetry = new Telemetry(start.telemetry);
    this.recorder = new FlightRecorder(start.recorder);
    this.ended = ended;
    this.unixStartNs = ready.unixStartNs;
    this.threadId = ready.threadId;
    this.costNs = ready.costNs;
    this.#worker = worker;
    this.#wakeFd = start.wakeFd;
    this.onTunnelEvent = () => undefined;
    this.onScheduleEvent = () => undefined;
    this.#pending = new Map();
    this.#lastId = 0;
    this.#running = true;
    worker.on('message', (message: Answer | EngineEvent) => {
      if (!('event' in message)) this.#settle(message);
      else if (message.event === 'changed') this.onScheduleEvent(message);
      else this.onTunnelEvent(message);
    });
    worker.on('exit', () => {
      this.#abandon();
    });
  }

  /** Resolves when the engine is warm and waits for its first configuration. `zeroNs`: see `EngineStart`. */
  static async start(arenaBytes: number, zeroNs: number, options: EngineOptions = {}): Promise<EngineThread> {
    const { ioUring = true, compensation = true, trunks = new Map<number, TrunkOptions>(), latencyFd } = options;
    const workerData: EngineStart = {
      arenaBytes,
      zeroNs,
      ioUring,
      compensation,
      trunks,
      wakeFd: native.eventfd(),
      ...(latencyFd === undefined ? {} : { latencyFd }),
      telemetry: Telemetry.allocate(),
      recorder: FlightRecorder.allocate(),
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData, resourceLimits: RESOURCE_LIMITS });
    const ended = new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', () => {
        native.close(workerData.wakeFd);
        resolve();
      });
    });
    // Who waits for it later is told then.
    ended.catch(() => undefined);
    const [ready] = (await once(worker, 'message')) as [EngineReady];
    return new EngineThread(worker, workerData, ended, ready);
  }

  /** What its links leave out of delays (`Gauge`): for an engine that has none yet. */
  compensate(ns: number): void {
    this.telemetry.gauges[Gauge.compensationNs] = ns;
  }

  /** Of the engine's clock. */
  unixNs(nowNs: number): bigint {
    return this.unixStartNs + BigInt(Math.round(nowNs));
  }

  /** Rejects with what the engine threw, code and hint included. */
  call<Name extends CommandName>(name: Name, given: Commands[Name][0]): Promise<Commands[Name][1]> {
    if (!this.#running) return Promise.reject(new StateError('the engine has ended'));
    return new Promise((resolve, reject) => {
      const request: Request = { id: ++this.#lastId, name, arguments: given };
      this.#pending.set(request.id, { resolve, reject });
      this.#worker.postMessage(request);
      native.eventfdSignal(this.#wakeFd);
    });
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ('result' in answer) {
      pending?.resolve(answer.result as never);
    } else {
      const { code, message, hint } = answer.error;
      pending?.reject(new LuthierError(code, message, hint === undefined ? {} : { hint }));
    }
  }

  #abandon(): void {
    this.#running = false;
    const error = new StateError('the engine has ended');
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
