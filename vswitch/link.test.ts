/** Emulations that come and go, and a link that moves to another engine. */
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../model/clock.js';
import { type Emulation, NO_EMULATION, NO_INPUTS, PLAIN } from '../model/emulation.js';
import type { SwitchConfig } from '../model/messages.js';
import { FrameBatch } from './arena.js';
import type { LinkDirection } from './link.js';
import { MemoryNetwork } from './memory-network.js';
import { DEFAULT_FIFO_FRAMES, Fifo } from './qdisc/fifo.js';

const MS = 1e6;
const LINK = 'a--b';
const SLOW: Emulation = {
  ...NO_EMULATION,
  rateBps: 8e6,
  delayNs: 10 * MS,
  loss: { model: 'random', lossRatio: 0.5, correlationRatio: 0.5 },
};

const config = (emulation?: Emulation): SwitchConfig => ({
  network: 'n',
  networkNumber: 1,
  seed: 1,
  inputs: NO_INPUTS,
  machine: 'local',
  bridges: [],
  devices: ['a', 'b'].map((name) => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: false })),
  links: [
    {
      name: LINK,
      ends: [{ tap: 'a' }, { tap: 'b' }],
      forward: emulation === undefined ? PLAIN : { state: 'up', emulation },
      reverse: PLAIN,
    },
  ],
});

class Lab {
  readonly clock: ManualClock;
  readonly net: MemoryNetwork;
  /** Of frames that came out: their number, and when. */
  readonly out: [number, number][] = [];
  readonly #startNs: number;

  constructor(emulation?: Emulation, startNs = 0) {
    this.#startNs = startNs;
    this.clock = new ManualClock(startNs);
    this.net = new MemoryNetwork({ clock: this.clock });
    this.net.apply(config(emulation));
  }

  get forward(): LinkDirection {
    return this.net.engine.topology.links.get(LINK)!.directions[0];
  }

  get nowNs(): number {
    return this.clock.nowNs() - this.#startNs;
  }

  set(emulation?: Emulation): void {
    const [link] = config(emulation).links;
    this.net.engine.topology.setLinks([{ name: LINK, forward: link!.forward, reverse: link!.reverse }]);
  }

  send(number: number): void {
    const frame = new Uint8Array(1000).fill(2);
    frame[14] = number;
    this.net.send('a', frame);
    this.net.settle();
    this.#collect();
  }

  until(atNs: number): void {
    for (;;) {
      const nextNs = Math.min(this.net.engine.nextNs, atNs + this.#startNs);
      this.clock.advance(Math.max(0, nextNs - this.clock.nowNs()));
      this.net.settle();
      this.#collect();
      if (this.nowNs >= atNs) return;
    }
  }

  #collect(): void {
    for (const { bytes } of this.net.receive('b')) this.out.push([bytes[14]!, this.nowNs]);
  }
}

describe('a link of which the emulation is taken away', () => {
  it('keeps what it promised, in order, and is a plain queue again once that has left', () => {
    const lab = new Lab({ ...NO_EMULATION, delayNs: 10 * MS });
    lab.send(1);
    lab.set();
    lab.send(2);
    expect(lab.forward.qdisc).not.toBeInstanceOf(Fifo);
    lab.until(20 * MS);
    expect(lab.out).toEqual([
      [1, 10 * MS],
      [2, 10 * MS],
    ]);
    expect(lab.forward.qdisc).toBeInstanceOf(Fifo);
    lab.send(3);
    expect(lab.out.at(-1)).toEqual([3, 20 * MS]);
    expect(lab.net.arena.freeSlots).toBe(lab.net.arena.slotCount);
  });

  it('has its usual bound again', () => {
    const lab = new Lab({ ...NO_EMULATION, delayNs: 10 * MS });
    lab.set();
    const one = new FrameBatch(1);
    for (let i = 0; i <= DEFAULT_FIFO_FRAMES; i++) lab.forward.send(one.only(lab.net.arena.write(new Uint8Array(60))));
    expect(lab.forward.qdisc.length).toBe(DEFAULT_FIFO_FRAMES);
    expect(lab.net.telemetry.dropsByReason()).toEqual({ queueFull: 1 });
  });

  it('and given back, draws on from where it was', () => {
    const lost = (isInterrupted: boolean): number[] => {
      const lab = new Lab({ ...SLOW, loss: { model: 'random', lossRatio: 0.5, correlationRatio: 0 } });
      for (let i = 0; i < 200; i++) {
        if (i === 100 && isInterrupted) {
          lab.set();
          lab.until(lab.nowNs + 20 * MS);
          expect(lab.forward.qdisc).toBeInstanceOf(Fifo);
          lab.set({ ...SLOW, loss: { model: 'random', lossRatio: 0.5, correlationRatio: 0 } });
        }
        lab.send(i);
        lab.until(lab.nowNs + 20 * MS);
      }
      return lab.out.map(([number]) => number);
    };
    expect(lost(true)).toEqual(lost(false));
  });
});

describe('a link that moves to another engine', () => {
  it('goes on as it would have', () => {
    const run = (isMoved: boolean): [number, number][] => {
      const first = new Lab(SLOW);
      for (let i = 0; i < 20; i++) first.send(i);
      first.until(5.5 * MS);
      if (!isMoved) {
        for (let i = 20; i < 40; i++) first.send(i);
        first.until(100 * MS);
        return first.out;
      }
      const state = structuredClone(first.net.engine.topology.exportLink(LINK));
      expect(first.net.arena.freeSlots).toBe(first.net.arena.slotCount);
      const second = new Lab(SLOW, 7e12);
      second.until(5.5 * MS);
      second.net.engine.topology.importLink(LINK, state);
      for (let i = 20; i < 40; i++) second.send(i);
      second.until(100 * MS);
      expect(second.net.arena.freeSlots).toBe(second.net.arena.slotCount);
      return [...first.out, ...second.out];
    };
    const stayed = run(false);
    expect(stayed.length).toBeGreaterThan(10);
    expect(run(true)).toEqual(stayed);
  });

  it('also with what is left of an emulation that was taken away', () => {
    const first = new Lab({ ...NO_EMULATION, delayNs: 10 * MS });
    first.send(1);
    first.set();
    first.send(2);
    const second = new Lab(undefined, 5e9);
    second.net.engine.topology.importLink(LINK, structuredClone(first.net.engine.topology.exportLink(LINK)));
    second.until(10 * MS);
    expect(second.out).toEqual([
      [1, 10 * MS],
      [2, 10 * MS],
    ]);
    expect(second.forward.qdisc).toBeInstanceOf(Fifo);
  });

  it('is refused where frames are, and where the properties are others', () => {
    const first = new Lab(SLOW);
    first.send(1);
    const state = first.net.engine.topology.exportLink(LINK);
    const other = new Lab({ ...SLOW, delayNs: 11 * MS });
    other.send(2);
    expect(() => other.net.engine.topology.importLink(LINK, state)).toThrow('holds frames already');
    other.until(50 * MS);
    expect(() => other.net.engine.topology.importLink(LINK, state)).toThrow('has other properties');
    expect(() => new Lab().net.engine.topology.importLink(LINK, state)).toThrow('has other properties');
    expect(() => other.net.engine.topology.importLink('c--d', state)).toThrow('there is no link c--d');
  });
});
