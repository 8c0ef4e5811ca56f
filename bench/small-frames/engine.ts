/**
 *   engine.ts calls|io_uring NETNS NETNS
 *
 * The engine's thread as a switch process has it, with one switch between two TAPs `eth0`, one in each network namespace
 * (paths), until it is ended. Prints the thread's number when it forwards. Started by small-frames.ts.
 */
import { NO_INPUTS, PLAIN } from '../../model/emulation.js';
import type { SwitchConfig } from '../../model/messages.js';
import { native, TapOffload } from '../../native/binding.js';
import { EngineThread } from '../../vswitch/engine-thread.js';
import { monotonicNowNs } from '../../vswitch/unix-time.js';

const ARENA_BYTES = 64 * 2 ** 20;
const OFFLOAD = TapOffload.csum | TapOffload.tso4 | TapOffload.tso6 | TapOffload.uso4 | TapOffload.uso6;

const [by, ...namespaces] = process.argv.slice(2);
const taps = namespaces.map((netns, i) => ({
  name: `tap${i}`,
  fd: native.tapOpen({ netns, name: 'eth0', vnetHdr: true, offload: OFFLOAD, mtuBytes: 1500 }),
}));
const config: SwitchConfig = {
  network: 'small-frames',
  networkNumber: 1,
  seed: 1,
  inputs: NO_INPUTS,
  machine: 'local',
  bridges: [{ name: 's', transparent: false, ageingSeconds: 300, fdbLimit: 64 }],
  devices: taps.map(({ name }) => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: true })),
  links: taps.map(({ name }) => ({
    name,
    ends: [{ tap: name }, { bridge: 's' }],
    forward: PLAIN,
    reverse: PLAIN,
  })),
};
const engine = await EngineThread.start(ARENA_BYTES, monotonicNowNs(), { ioUring: by === 'io_uring' });
await engine.call('prepare', { config, fds: new Map(taps.map(({ name, fd }) => [name, fd])), boards: new Map() });
await engine.call('commit', undefined);
console.log(engine.threadId);
await engine.ended;
