/** Recordings of an engine that runs already, through the ring that a switch process has, and replayed. */
import { beforeEach, describe, expect, test } from 'vitest';
import { loadText, resolve } from '../control/scenario/index.js';
import { switchConfigs, tapName } from '../control/wiring.js';
import { ManualClock } from '../model/clock.js';
import type { SwitchConfig } from '../model/messages.js';
import type { Network } from '../model/network.js';
import { RandomStream } from '../vswitch/emulation/random.js';
import { LinkRecordings } from '../vswitch/recording/link-recordings.js';
import { MergedRecords } from '../vswitch/recording/merged-records.js';
import { RecordReader } from '../vswitch/recording/record-ring.js';
import { RecordingLines } from '../vswitch/recording/stream.js';
import { Arrivals } from './arrivals.js';
import { flowsOf, type Traffic } from './flows.js';
import { parseRecording, type Recording } from './recording.js';
import { replay } from './replay.js';
import { VirtualSwitch } from './virtual-switch.js';

const MEMORY_BYTES = 64 * 2 ** 20;
const TRAFFIC: Traffic = { pattern: 'poisson', rateBps: 3e6, frameBytes: 1000, ecn: true };
const TEXT = `name: n
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host }
  h2: { kind: host }
  h3: { kind: host }
links:
  - { endpoints: [h1, s1], rate: 8mbit, delay: 10ms, jitter: 3ms, loss: gilbert-elliott 1% 20%, duplicate: 2%, reorder: 2%, corrupt: 2% }
  - { endpoints: [h2, s1], rate: 4mbit, delay: 2ms, queue: { discipline: fq-codel, ecn: true } }
  - { endpoints: [h3, s1], delay: 1ms, reverse: { rate: 7mbit, queue: { discipline: pie } } }
events:
  - { at: 1300ms, link: h1--s1, set: { delay: 4ms, loss: 5% }, from: h1 }
  - { at: 1500ms, link: h2--s1, set: { state: down } }
  - { at: 1700ms, link: h2--s1, set: { state: up, rate: 2mbit } }
`;
/** The engine's clock does not begin with the network. */
const STARTED_NS = 3e9;

let network: Network;
let clock: ManualClock;
let machine: VirtualSwitch;
let config: SwitchConfig;
let recordings: LinkRecordings;
let reader: RecordReader;
let lines: RecordingLines | undefined;
let text: string;

beforeEach(() => {
  network = resolve(loadText(TEXT, 'n.yaml'));
  clock = new ManualClock();
  machine = new VirtualSwitch(clock, MEMORY_BYTES);
  recordings = new LinkRecordings(machine.engine.topology, machine.arena, clock);
  config = switchConfigs(network, 1, STARTED_NS).get('local')!;
  clock.advance(STARTED_NS);
  apply(config);
  reader = new RecordReader();
  lines = undefined;
  text = '';
});

function apply(to: SwitchConfig): void {
  machine.apply(to, () => {
    throw new RangeError('one machine has no tunnels');
  });
}

function start(links: readonly string[]): void {
  recordings.start(1, links, reader.buffer);
  lines = new RecordingLines(new MergedRecords([{ reader, links }]), {
    name: 'n',
    seed: network.seed,
    machine: 'local',
  });
}

function take(): void {
  for (let next = lines?.next(); next !== undefined && next !== ''; next = lines?.next()) text += next;
}

/** As a real engine goes: late by any number of nanoseconds. Marks, and reads, every 100 ms. `each` is called between breaths. */
function run(arrivals: Arrivals, untilNs: number, each: () => void = () => undefined): void {
  const lateness = new RandomStream(1, 'lateness', 0, 'test');
  let markNs = 0;
  for (;;) {
    const dueNs = Math.min(arrivals.nextNs + STARTED_NS, machine.nextNs);
    if (dueNs > STARTED_NS + untilNs) break;
    clock.advance(Math.max(0, dueNs - clock.nowNs()) + ((lateness.next32() >>> 0) % 3_000_000));
    if (clock.nowNs() >= markNs) {
      recordings.mark(1);
      take();
      markNs = clock.nowNs() + 100e6;
    }
    each();
    machine.changeLinks();
    while (arrivals.nextNs + STARTED_NS <= clock.nowNs()) {
      const { host, port, bytes } = arrivals.take();
      machine.offer(tapName(host, port), { bytes });
    }
    machine.settle();
  }
}

function end(): Recording {
  recordings.mark(1);
  recordings.stop(1);
  take();
  return parseRecording(text, 'run.jsonl');
}

function replayed(recording: Recording): ReturnType<typeof replay> {
  return replay(network, recording, MEMORY_BYTES);
}

const LINKS = ['h1--s1', 'h2--s1', 'h3--s1'];

describe('a recording of links that were in use before', () => {
  test('is replayed to the nanosecond, through events, from where each direction was idle', () => {
    const arrivals = new Arrivals(flowsOf(network, TRAFFIC));
    run(arrivals, 300e6);
    start(LINKS);
    // They are in use, and begin when they are not: nothing comes for a while.
    const paused = new Arrivals([]);
    run(paused, 1000e6);
    run(arrivals, 2000e6);
    const recording = end();
    expect(recording.startNs).toBeGreaterThan(STARTED_NS);
    const report = replayed(recording);
    expect(report.difference).toBeUndefined();
    expect(report.same).toBe(recording.outcomes.length);
    expect(report.frames).toBeGreaterThan(3000);
    expect(new Set(recording.causes.filter((cause) => 'changed' in cause).map(({ link }) => link))).toEqual(
      new Set(['h1--s1', 'h2--s1']),
    );
  });

  test('says how many directions have not begun, and leaves them out', () => {
    const arrivals = new Arrivals(flowsOf(network, { ...TRAFFIC, rateBps: 6e6 }));
    run(arrivals, 300e6);
    start(['h2--s1']);
    run(arrivals, 600e6);
    const recording = end();
    // Either way comes more than 4 Mbit/s: its queue is never empty.
    expect(text).toMatch(/"end":true,"waiting":2\}\n$/);
    expect(recording.causes).toEqual([]);
    expect(replayed(recording).difference).toBeUndefined();
  });

  test('ends for a link that is taken away, with what was due by then', () => {
    const arrivals = new Arrivals(flowsOf(network, TRAFFIC));
    start(LINKS);
    let removed = false;
    run(arrivals, 800e6, () => {
      if (removed || clock.nowNs() < STARTED_NS + 400e6) return;
      removed = true;
      apply({ ...config, links: config.links.filter(({ name }) => name !== 'h1--s1') });
      apply(config);
    });
    const recording = end();
    expect(recording.gone.map(({ link, way }) => [link, way])).toEqual([
      ['h1--s1', 0],
      ['h1--s1', 1],
    ]);
    const report = replayed(recording);
    expect(report.difference).toBeUndefined();
    expect(report.same).toBe(recording.outcomes.length);
  });

  test('ends where nobody takes it, and says what was missed', () => {
    const arrivals = new Arrivals(flowsOf(network, { ...TRAFFIC, rateBps: 30e6 }));
    start(['h3--s1']);
    const unread = lines;
    lines = undefined;
    run(arrivals, 3000e6);
    lines = unread;
    const recording = end();
    expect(text).toMatch(/\n\{"missed":\d+\}\n$/);
    expect(lines?.over).toBe(true);
    expect(recording.endNs).toBeLessThan(STARTED_NS + 3000e6);
    const report = replayed(recording);
    expect(report.difference).toBeUndefined();
    expect(report.frames).toBeGreaterThan(1000);
  });

  test('in two engines is one, and is replayed to the nanosecond', () => {
    const parts = [
      { its: machine, to: reader, links: ['h1--s1'] },
      { its: new VirtualSwitch(clock, MEMORY_BYTES), to: new RecordReader(), links: ['h2--s1', 'h3--s1'] },
    ].map((part) => {
      const { engine, arena } = part.its;
      return { ...part, follows: new LinkRecordings(engine.topology, arena, clock) };
    });
    parts[1]!.its.apply(config, () => {
      throw new RangeError('one machine has no tunnels');
    });
    const records = new MergedRecords(parts.map(({ to, links }) => ({ reader: to, links })));
    lines = new RecordingLines(records, { name: 'n', seed: network.seed, machine: 'local' });
    for (const { follows, links, to } of parts) {
      follows.start(1, links, to.buffer);
      clock.advance(1000);
    }
    const arrivals = new Arrivals(flowsOf(network, TRAFFIC));
    const lateness = new RandomStream(1, 'lateness', 0, 'test');
    for (let turn = 0; clock.nowNs() < STARTED_NS + 2000e6; turn++) {
      const dueNs = Math.min(arrivals.nextNs + STARTED_NS, ...parts.map(({ its }) => its.nextNs));
      clock.advance(Math.max(0, dueNs - clock.nowNs()));
      while (arrivals.nextNs + STARTED_NS <= clock.nowNs()) {
        const { host, port, bytes } = arrivals.take();
        parts[host === 'h1' ? 0 : 1]!.its.offer(tapName(host, port), { bytes });
      }
      for (const [i, { its, follows }] of parts.entries()) {
        clock.advance((lateness.next32() >>> 0) % 1_000_000);
        its.changeLinks();
        its.settle();
        if (turn % (70 + 50 * i) === 0) follows.mark(1);
      }
      if (turn % 40 === 0) take();
    }
    for (const { follows } of parts) {
      follows.stop(1);
      clock.advance(1_000_000);
    }
    records.end();
    take();
    const recording = parseRecording(text, 'run.jsonl');
    const times = recording.causes.map(({ at }) => at);
    expect(times).toEqual([...times].sort((x, y) => x - y));
    expect(new Set(recording.causes.map(({ link }) => link))).toEqual(new Set(LINKS));
    const report = replayed(recording);
    expect(report.difference).toBeUndefined();
    expect(report.same).toBe(recording.outcomes.length);
    expect(report.frames).toBeGreaterThan(1000);
  });

  test('is one at a time, and of links that there are', () => {
    expect(() => start(['h9--s1'])).toThrow('there is no link h9--s1');
    start(LINKS);
    expect(() => start(LINKS)).toThrow('being recorded already');
    recordings.stop(1);
    start(LINKS);
  });
});
