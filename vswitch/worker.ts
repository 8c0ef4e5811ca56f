/**
 * The engine's thread: breathes, waits, and takes commands between two breaths. It never returns to its event loop until
 * it is told to end. Started by `engine-thread.ts`.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { LuthierError, StateError } from '../model/errors.js';
import { ENGINE_THREAD } from '../model/messages.js';
import { native } from '../native/binding.js';
import type {
  Answer,
  CommandName,
  Commands,
  EngineEvent,
  EngineReady,
  EngineStart,
  Layout,
  Request,
} from './commands.js';
import type { KeyControl, TunnelControl, TunnelEvents } from './device/device.js';
import { NativeIo } from './device/native-io.js';
import { openDevice } from './device/registry.js';
import { Engine } from './engine.js';
import { FlightRecorder } from './flight-recorder.js';
import { READABLE } from './port.js';
import { LinkRecordings } from './recording/link-recordings.js';
import { Rehearsal } from './rehearsal.js';
import { Schedule } from './schedule.js';
import { Telemetry } from './telemetry.js';
import type { Poller, Prepared } from './topology.js';
import { unixNowNs } from './unix-time.js';
import { Waiter } from './waiter.js';
import { warmUp } from './warmup.js';

/** Token of the eventfd; ports have their index. */
const WAKE = -1;
/** Of a device that has none of its own. */
const NO_FD = -1;
/** The shortest that there is: among threads that share time, it so comes first when it is woken. */
const SLICE_NS = 100_000;
const PAUSE_MS = 3;

const start = workerData as EngineStart;
const port = parentPort!;

native.setThreadName(ENGINE_THREAD);
native.setTimerSlackNs(1);
native.setSliceNs(0, SLICE_NS);
const io = new NativeIo(native, start.arenaBytes, start.zeroNs);
if (start.ioUring) native.ringStart(io.handle);
const epoll = native.epollCreate();
native.epollAdd(epoll, start.wakeFd, WAKE, READABLE);

/** Descriptors that nothing is waited for on; epoll would report their errors, so they are not in its set. */
const resting = new Set<number>();

const poller: Poller = {
  add: (fd, token, interest) => {
    if (interest === 0) resting.add(fd);
    else native.epollAdd(epoll, fd, token, interest);
  },
  watch: (fd, token, interest) => {
    if (interest === 0) {
      native.epollRemove(epoll, fd);
      resting.add(fd);
    } else if (resting.delete(fd)) {
      native.epollAdd(epoll, fd, token, interest);
    } else {
      native.epollModify(epoll, fd, token, interest);
    }
  },
  remove: (fd) => {
    if (!resting.delete(fd)) native.epollRemove(epoll, fd);
  },
};

const engine = new Engine({
  arena: io.arena,
  clock: io,
  io,
  poller,
  telemetry: new Telemetry(start.telemetry),
  recorder: new FlightRecorder(start.recorder),
});
const recordings = new LinkRecordings(engine.topology, io.arena, io);
/** By CLOCK_MONOTONIC, as events are. */
const schedule = new Schedule();
let ended = false;
/** A change that is begun. */
let prepared: Prepared | undefined;

const commands: { [Name in CommandName]: (given: Commands[Name][0]) => Commands[Name][1] } = {
  devicesToOpen: (config) => engine.topology.devicesToOpen(config),

  prepare: ({ config, fds, boards }) => {
    const unused = new Map(fds);
    try {
      prepared = engine.topology.prepare(config, (device, context) => {
        const fd = device.kind === 'trunk' ? NO_FD : unused.get(device.name);
        if (fd === undefined) throw new StateError(`no descriptor came for ${device.name}`);
        const { trunks } = start;
        const board = boards.get(device.name);
        const shared = { trunks, ...(board === undefined ? {} : { board }) };
        const all = { ...context, ...shared, tunnelEvents: eventsOf(device.name) };
        const opened = openDevice(device, all, fd, config.networkNumber);
        unused.delete(device.name);
        return opened;
      });
    } finally {
      for (const fd of unused.values()) native.close(fd);
    }
    return undefined;
  },

  commit: () => {
    if (prepared === undefined) throw new StateError('there is no change to commit');
    engine.topology.commit(prepared);
    schedule.replaceAll(prepared.config.links);
    prepared = undefined;
    return layout();
  },

  abandon: () => {
    if (prepared !== undefined) engine.topology.abandon(prepared);
    prepared = undefined;
    return undefined;
  },

  setLinks: (links) => {
    engine.topology.setLinks(links);
    schedule.replace(links);
    return monotonicNs();
  },

  watchArrivals: ({ device, fd }) => {
    const watched = engine.topology.ports.get(device)?.device;
    if (watched?.watchArrivals === undefined) native.close(fd);
    else watched.watchArrivals(fd);
    return undefined;
  },

  addresses: () =>
    [...engine.topology.bridges].map(([name, bridge]) => ({
      bridge: name,
      addresses: bridge.addresses(),
      refused: bridge.fdb.refused,
    })),

  ioUringErrno: () => native.ringError(io.handle),

  startCapture: ({ id, device, channel, ring }) => {
    engine.startCapture(id, device, channel, ring);
    return undefined;
  },

  stopCapture: (id) => {
    engine.stopCapture(id);
    return undefined;
  },

  startRecording: ({ id, links, ring }) => {
    recordings.start(id, links, ring);
    return undefined;
  },

  markRecording: (id) => {
    recordings.mark(id);
    return undefined;
  },

  stopRecording: (id) => {
    recordings.stop(id);
    return undefined;
  },

  installKeys: ({ device, keys }) => {
    try {
      keysOf(device).installKeys(keys);
    } finally {
      // The thread that made them wipes its own.
      for (const secret of [keys.send, ...keys.receive]) secret.fill(0);
    }
    return undefined;
  },

  useKeys: ({ device, epoch }) => {
    keysOf(device).useKeys(epoch);
    return undefined;
  },

  dropKeys: ({ device, epoch }) => {
    keysOf(device).dropKeys(epoch);
    return undefined;
  },

  markHandshakes: ({ device, mark }) => {
    tunnel(device).markHandshakes(mark);
    return undefined;
  },

  sendHandshake: ({ device, payload, isSealed }) => {
    tunnel(device).sendHandshake(payload, isSealed);
    return undefined;
  },

  end: () => {
    ended = true;
    return undefined;
  },
};

function tunnel(name: string): TunnelControl {
  const control = engine.topology.ports.get(name)?.device.tunnel;
  if (control === undefined) throw new StateError(`there is no tunnel ${name}`);
  return control;
}

/** Of a tunnel, or of a lane of one. */
function keysOf(name: string): KeyControl {
  const keys = engine.topology.ports.get(name)?.device.keys;
  if (keys === undefined) throw new StateError(`there is no tunnel ${name}`);
  return keys;
}

function eventsOf(device: string): TunnelEvents {
  const tell = (event: EngineEvent): void => {
    port.postMessage(event);
  };
  return {
    handshake: (payload, isSealed) => {
      tell({ event: 'handshake', device, payload, isSealed });
    },
    epoch: (epoch) => {
      tell({ event: 'epoch', device, epoch });
    },
    volume: (epoch) => {
      tell({ event: 'volume', device, epoch });
    },
    spent: (epoch) => {
      tell({ event: 'spent', device, epoch });
    },
    searching: (isSearching) => {
      tell({ event: 'searching', device, isSearching });
    },
    foreign: (version, network) => {
      tell({ event: 'foreign', device, version, network });
    },
    ecnAnomalies: (frames) => {
      tell({ event: 'ecnAnomalies', device, frames });
    },
  };
}

/** All of it between the same two breaths. */
function changeWhatIsDue(): void {
  const doneNs = start.zeroNs + io.nowNs();
  const due = schedule.takeDue(doneNs);
  if (due.length === 0) return;
  const changes = due.map(({ change }) => change);
  engine.topology.setLinks(changes);
  const done = due.map(({ atNs, change }) => ({ link: change.name, atNs, doneNs }));
  port.postMessage({ event: 'changed', changes, done } satisfies EngineEvent);
}

/** By CLOCK_MONOTONIC, read now. */
function monotonicNs(): number {
  io.tick();
  return start.zeroNs + io.nowNs();
}

function layout(): Layout {
  const { links, linkNames, portNames, ports } = engine.topology;
  return {
    portNames,
    linkNames,
    ports: [...ports].map(([name, { index }]) => ({ name, index })),
    links: [...links].map(([name, { index }]) => ({ name, index })),
  };
}

function takeCommands(): void {
  native.eventfdDrain(start.wakeFd);
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
    const request = received.message as Request;
    port.postMessage(answer(request));
  }
}

function answer({ id, name, arguments: given }: Request): Answer {
  try {
    const command = commands[name] as (given: unknown) => unknown;
    return { id, result: command(given) };
  } catch (error) {
    const { message } = error as Error;
    if (!(error instanceof LuthierError)) return { id, error: { code: 'E_INTERNAL', message } };
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return { id, error: { code: error.code, message, ...hint } };
  }
}

function run(waiter: Waiter): void {
  const { ready } = io;
  while (!ended) {
    engine.breath();
    io.deadlineNs = Math.min(engine.nextNs, schedule.nextNs - start.zeroNs);
    io.spinNs = engine.spinNs;
    const count = waiter.wait();
    if (count < 0) throw new StateError(`waiting failed: errno ${-count}`);
    let commanded = false;
    for (let i = 0; i < count; i++) {
      if (ready[i] === WAKE) commanded = true;
      else engine.portReady(ready[i]!);
    }
    if (commanded) takeCommands();
    // After the commands: of what they brought, some may be due, and no frame passes before it is done.
    if (start.zeroNs + io.now[0]! >= schedule.nextNs) changeWhatIsDue();
  }
}

/** Longer than code stays in caches for. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}

/** A quarter of what it takes to start. */
function ownCostNs(): number {
  const measured = new Rehearsal(native);
  const costNs = rehearsal.costNs(measured, tickNs, pause);
  measured.close();
  return costNs;
}

function tickNs(): number {
  io.tick();
  return io.nowNs();
}

/** Of all processors of the machine, as long as this thread asks for it (`Native.requestLatency`). */
const { latencyFd } = start;
const keepAwake =
  latencyFd === undefined ? undefined : (isAwake: boolean) => void native.requestLatency(latencyFd, isAwake ? 0 : -1);

warmUp(native, tickNs);
const rehearsal = new Rehearsal(native);
const costNs = start.compensation ? ownCostNs() : 0;
io.tick();
port.postMessage({
  ready: true,
  unixStartNs: unixNowNs() - BigInt(Math.round(io.nowNs())),
  threadId: native.threadId(),
  costNs,
} satisfies EngineReady);
run(new Waiter(io, rehearsal, () => native.wait(io.handle, epoll), keepAwake));
engine.close();
rehearsal.close();
io.close();
native.close(epoll);
port.close();
