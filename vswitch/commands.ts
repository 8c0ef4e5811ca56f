/**
 * What the main thread asks of the engine's thread, and what it answers. Both travel over the worker's MessagePort; an
 * eventfd in the engine's epoll set says that there is something to receive. The engine takes messages between two
 * breaths (`receiveMessageOnPort`) and never returns to its event loop; so no shared ring has to be written by hand, and
 * shared memory can be passed along.
 */
import type { DoneChange, LinkChange, ScheduledLink } from '../model/messages.js';
import type { LaneKeys } from './device/device.js';
import type { EngineConfig } from './stack/config.js';
import type { TrunkOptions } from './stack/trunk.js';
import type { LaneBoard } from './tunnel/lane-board.js';

/** `workerData`. */
export interface EngineStart {
  readonly arenaBytes: number;
  /** CLOCK_MONOTONIC where the clock of all engines of the process is 0. */
  readonly zeroNs: number;
  /** Whether bursts of small frames are moved by io_uring, where the kernel lets this process. */
  readonly ioUring: boolean;
  /** Whether it measures at its start what it takes itself. */
  readonly compensation: boolean;
  /** To the other engines of the process, by their number. */
  readonly trunks: ReadonlyMap<number, TrunkOptions>;
  /** The eventfd that wakes the engine for a command. */
  readonly wakeFd: number;
  /** /dev/cpu_dma_latency, open for this engine; absent: others' processors sleep as they like. */
  readonly latencyFd?: number;
  /** Of `Telemetry.allocate` and `FlightRecorder.allocate`. */
  readonly telemetry: SharedArrayBuffer;
  readonly recorder: SharedArrayBuffer;
}

/** The first message, before any answer. */
export interface EngineReady {
  readonly ready: true;
  /** Nanoseconds since 1970 when the engine's clock was 0. */
  readonly unixStartNs: bigint;
  /** As /proc/self/task names it. */
  readonly threadId: number;
  /** `Rehearsal.costNs`; 0 where that was not asked for. */
  readonly costNs: number;
}

/** Which index of the shared counters belongs to whom. */
export interface Layout {
  /** By index, those of the past included as long as records of drops may name them. */
  readonly portNames: readonly string[];
  readonly linkNames: readonly string[];
  /** What is there now, in the configuration's order. */
  readonly ports: readonly { readonly name: string; readonly index: number }[];
  readonly links: readonly { readonly name: string; readonly index: number }[];
}

/** Command → [arguments, answer]. */
export interface Commands {
  /** Names of the devices that `prepare` needs descriptors for, and of trunks, which need none. */
  devicesToOpen: [config: EngineConfig, answer: string[]];
  /** What can fail of a change. The engine owns the descriptors from here on, also when it refuses. */
  prepare: [
    arguments: {
      config: EngineConfig;
      fds: ReadonlyMap<string, number>;
      /** Of the tunnels among them that have lanes, and of the lanes. */
      boards: ReadonlyMap<string, LaneBoard>;
    },
    answer: undefined,
  ];
  /** It is to be what it was prepared for; or is not, where it was. */
  commit: [arguments: undefined, answer: Layout];
  abandon: [arguments: undefined, answer: undefined];
  /** All at once, between two breaths; when one of them is unknown, none. */
  /** Answers by CLOCK_MONOTONIC when they were as they should be. */
  setLinks: [links: readonly ScheduledLink[], answer: number];
  /** As `PortDevice.watchArrivals`; the engine owns the descriptor from here on. */
  watchArrivals: [arguments: { device: string; fd: number }, answer: undefined];
  /** Per bridge; `hi` and `lo` as in `fdb.ts`, `link` an index, `refused` as `Fdb.refused`. */
  addresses: [
    arguments: undefined,
    answer: {
      bridge: string;
      addresses: { hi: number; lo: number; link: number; ageNs: number }[];
      refused: number;
    }[],
  ];
  /** Why io_uring is not used (any more) where it was asked for: an errno; else 0. */
  ioUringErrno: [arguments: undefined, answer: number];
  /** `channel`: -1 for all of the device. */
  startCapture: [
    arguments: { id: number; device: string; channel: number; ring: SharedArrayBuffer },
    answer: undefined,
  ];
  stopCapture: [id: number, answer: undefined];
  /** What comes into links and what becomes of it (`recording/`): `ring` is a `RecordReader`'s. */
  startRecording: [arguments: { id: number; links: readonly string[]; ring: SharedArrayBuffer }, answer: undefined];
  markRecording: [id: number, answer: undefined];
  stopRecording: [id: number, answer: undefined];
  /** Keys of a tunnel, and its handshake: as `TunnelControl` has them. `device` is its name. */
  installKeys: [arguments: { device: string; keys: LaneKeys }, answer: undefined];
  useKeys: [arguments: { device: string; epoch: number }, answer: undefined];
  dropKeys: [arguments: { device: string; epoch: number }, answer: undefined];
  markHandshakes: [arguments: { device: string; mark: Uint8Array }, answer: undefined];
  sendHandshake: [arguments: { device: string; payload: Uint8Array; isSealed: boolean }, answer: undefined];
  /** Releases everything; the thread ends. */
  end: [arguments: undefined, answer: undefined];
}

/** What the engine says unasked: what it did of its schedule. */
export interface ScheduleEvent {
  readonly event: 'changed';
  readonly changes: readonly LinkChange[];
  /** Of the same changes. */
  readonly done: readonly DoneChange[];
}

/** The same, as `TunnelEvents` has it. `device` is the tunnel's name. */
export type TunnelEvent =
  | { readonly event: 'handshake'; readonly device: string; readonly payload: Uint8Array; readonly isSealed: boolean }
  | { readonly event: 'epoch' | 'volume' | 'spent'; readonly device: string; readonly epoch: number }
  | { readonly event: 'searching'; readonly device: string; readonly isSearching: boolean }
  | { readonly event: 'foreign'; readonly device: string; readonly version: number; readonly network: number }
  | { readonly event: 'ecnAnomalies'; readonly device: string; readonly frames: number };

export type EngineEvent = ScheduleEvent | TunnelEvent;

export type CommandName = keyof Commands;

export interface Request<Name extends CommandName = CommandName> {
  readonly id: number;
  readonly name: Name;
  readonly arguments: Commands[Name][0];
}

export type Answer =
  | { readonly id: number; readonly result: unknown }
  | {
      readonly id: number;
      readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
    };
