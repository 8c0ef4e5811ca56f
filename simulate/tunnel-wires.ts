/**
 * In place of tunnels: wires in memory, that take no time, lose nothing and have room for any frame. Both ends of a wire are
 * made with the first of them that is asked for; the other one has what its engine gives it when that asks for it.
 */
import type { DeviceContext, PortDevice } from '../vswitch/device/device.js';
import { MemoryDevice } from '../vswitch/device/memory.js';
import { MAX_FRAME_BYTES, type Arena } from '../vswitch/arena.js';
import type { DropSink } from '../vswitch/drops.js';

/** Frames under way: more than an engine sends to a tunnel in a breath. */
const CAPACITY = 4096;

/** Before its engine has opened it, nothing passes. */
class FarContext implements DeviceContext {
  readonly arena: Arena;
  readonly clock: DeviceContext['clock'];
  drops: DropSink = { drop: () => undefined };
  index = -1;

  constructor(arena: Arena, clock: DeviceContext['clock']) {
    this.arena = arena;
    this.clock = clock;
  }
}

export class TunnelWires {
  /** By the pair of machines: the end that was not asked for yet. */
  readonly #open = new Map<string, { readonly device: PortDevice; readonly context: FarContext }>();

  /** The end at `machine` of the tunnel to `peer`, whose frames are in `peerArena`. */
  open(machine: string, peer: string, context: DeviceContext, peerArena: Arena): PortDevice {
    const pair = [machine, peer].sort().join(' ');
    const waiting = this.#open.get(pair);
    if (waiting !== undefined) {
      waiting.context.drops = context.drops;
      waiting.context.index = context.index;
      return waiting.device;
    }
    const far = new FarContext(peerArena, context.clock);
    const [near, device] = MemoryDevice.pair(context, far, { mtuBytes: MAX_FRAME_BYTES, capacity: CAPACITY });
    this.#open.set(pair, { device, context: far });
    return near;
  }
}
