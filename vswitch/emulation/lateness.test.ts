import { expect, it } from 'vitest';
import { type LinkProperties, NO_EMULATION, NO_INPUTS, PLAIN } from '../../model/emulation.js';
import type { SwitchConfig } from '../../model/messages.js';
import { NativeIo } from '../device/native-io.js';
import { openDevice } from '../device/registry.js';
import { Engine } from '../engine.js';
import { MemoryCalls } from '../memory-calls.js';
import { Gauge } from '../telemetry.js';

const DELAY_NS = 1e6;
/** To everybody. */
const FRAME = new Uint8Array(60).fill(0xff, 0, 6).fill(2, 6, 12);

const DELAYED: LinkProperties = { state: 'up', emulation: { ...NO_EMULATION, delayNs: DELAY_NS } };

const CONFIG: SwitchConfig = {
  network: 'n',
  networkNumber: 1,
  seed: 1,
  inputs: NO_INPUTS,
  machine: 'local',
  bridges: [{ name: 's', transparent: false, ageingSeconds: 300, fdbLimit: 64 }],
  devices: ['t0', 't1'].map((name) => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: true })),
  links: ['t0', 't1'].map((tap, i) => ({
    name: tap,
    ends: [{ tap }, { bridge: 's' }],
    forward: i === 0 ? DELAYED : PLAIN,
    reverse: PLAIN,
  })),
};

/** An engine on a clock in hand: one frame goes over a link with a delay. */
class Bench {
  nowNs = 1e9;
  readonly #io: NativeIo;
  readonly engine: Engine;

  constructor(compensationNs = 0) {
    const calls = new MemoryCalls(() => this.nowNs);
    this.#io = new NativeIo(calls, 2 ** 20);
    this.engine = new Engine({ arena: this.#io.arena, clock: this.#io, io: this.#io });
    this.engine.telemetry.gauges[Gauge.compensationNs] = compensationNs;
    calls.openTap(0);
    calls.openTap(1);
    let fd = 0;
    this.engine.apply(CONFIG, (device, context) => openDevice(device, context, fd++, 1));
    calls.offer(0, { vnet: new Uint8Array(12), bytes: FRAME });
    this.engine.portReady(0);
    this.engine.breath();
  }

  /** A breath that begins at one time and has written all at another. */
  breath(beganNs: number, endedNs: number): void {
    this.tick(beganNs);
    this.nowNs = endedNs;
    this.engine.breath();
  }

  tick(nowNs: number): void {
    this.nowNs = nowNs;
    this.#io.tick();
  }

  /** Buckets of how late frames were: how many by number. */
  get late(): number[][] {
    const { lateness } = this.engine.telemetry.emulation(0, 0)!;
    return lateness.flatMap((frames, bucket) => (frames > 0 ? [[bucket, frames]] : []));
  }
}

it('is until a frame has been written: a breath that takes long is late, though it began in time', () => {
  const bench = new Bench();
  const dueNs = bench.engine.nextNs;
  bench.breath(dueNs, dueNs + 70_000);
  // 2¹⁶ ns and more
  expect(bench.late).toEqual([[17, 1]]);
});

it('counts what is left out of the delay as time that the breath has', () => {
  const bench = new Bench(50_000);
  const { nextNs } = bench.engine;
  expect(nextNs).toBe(1e9 + DELAY_NS - 50_000);
  bench.breath(nextNs, nextNs + 70_000);
  expect(bench.late).toEqual([[15, 1]]);

  const early = new Bench(50_000);
  early.breath(nextNs, nextNs + 30_000);
  expect(early.late).toEqual([[0, 1]]);
});

it('is that of the moment where a link goes down, and no breath comes before it is another', () => {
  const bench = new Bench();
  bench.tick(1e9 + DELAY_NS + 300_000);
  bench.engine.topology.setLinks([{ name: 't0', forward: { ...DELAYED, state: 'down' }, reverse: PLAIN }]);
  expect(bench.late).toEqual([[19, 1]]);
});
