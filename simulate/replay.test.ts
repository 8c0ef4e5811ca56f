import { describe, expect, test } from 'vitest';
import { loadText, resolve } from '../control/scenario/index.js';
import { tapName, switchConfigs } from '../control/wiring.js';
import { ManualClock } from '../model/clock.js';
import type { Network } from '../model/network.js';
import { RandomStream } from '../vswitch/emulation/random.js';
import { flowsOf, type Traffic } from './flows.js';
import { Arrivals } from './arrivals.js';
import { Recorder } from './recorder.js';
import { parseRecording, type Recording, RecordingWriter } from './recording.js';
import { replay } from './replay.js';
import { simulate } from './simulation.js';
import { VirtualSwitch } from './virtual-switch.js';

const MEMORY_BYTES = 8 * 2 ** 20;
const TRAFFIC: Traffic = { pattern: 'poisson', rateBps: 3e6, frameBytes: 1000, ecn: true };
const EVENTS = `events:
  - { at: 300ms, link: h1--s1, set: { delay: 4ms, loss: 5% }, from: h1 }
  - { at: 500ms, link: h2--s1, set: { state: down } }
  - { at: 700ms, link: h2--s1, set: { state: up, rate: 1mbit } }
  - { at: 700ms, link: h2--s1, set: { rate: 2mbit } }
`;
const TEXT = `name: n
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
  h3: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1], rate: 5mbit, delay: 10ms, jitter: 3ms, loss: 1%, duplicate: 2%, reorder: 2%, corrupt: 2% }
  - { endpoints: [h2, s1], rate: 4mbit, delay: 2ms, queue: { discipline: fq-codel, ecn: true } }
  - { endpoints: [h3, s1], delay: 1ms }
${EVENTS}`;

function networkOf(text: string): Network {
  return resolve(loadText(text, 'n.yaml'));
}

function record(network: Network): Recording {
  const lines: string[] = [];
  const recording = new RecordingWriter((line) => lines.push(line), network);
  const { durationNs } = simulate(network, { durationNs: 1e9, traffic: TRAFFIC, memoryBytes: MEMORY_BYTES, recording });
  recording.end(durationNs);
  return parseRecording(lines.join(''), 'run.jsonl');
}

/** As a real engine goes: it wakes up late, at any nanosecond, and takes all that has come meanwhile. */
function recordLate(network: Network): Recording {
  const lines: string[] = [];
  const recording = new RecordingWriter((line) => lines.push(line), network);
  const clock = new ManualClock();
  const machine = new VirtualSwitch(clock, MEMORY_BYTES);
  machine.apply(switchConfigs(network, 1, 0).get('local')!, () => {
    throw new RangeError('one machine has no tunnels');
  });
  for (const [link, { directions }] of machine.engine.topology.links)
    for (const way of [0, 1] as const)
      directions[way].observer = new Recorder(recording, { link, way }, machine.arena, clock);
  const arrivals = new Arrivals(flowsOf(network, TRAFFIC));
  const lateness = new RandomStream(1, 'lateness', 0, 'test');
  for (;;) {
    const dueNs = Math.min(arrivals.nextNs, machine.nextNs);
    if (dueNs > 1e9) break;
    clock.advance(Math.max(0, dueNs - clock.nowNs()) + ((lateness.next32() >>> 0) % 3_000_000));
    machine.changeLinks();
    while (arrivals.nextNs <= clock.nowNs()) {
      const { host, port, bytes } = arrivals.take();
      machine.offer(tapName(host, port), { bytes });
    }
    machine.settle();
  }
  recording.end(clock.nowNs());
  return parseRecording(lines.join(''), 'late.jsonl');
}

describe('a replay', () => {
  test('gives the nanosecond that was decided, however late the engine was', () => {
    const network = networkOf(TEXT.replace('machines: [a, b]', '').replaceAll(/, machine: ./g, ''));
    const recording = recordLate(network);
    const report = replay(network, recording, MEMORY_BYTES);
    expect(report.difference).toBeUndefined();
    expect(report.same).toBe(recording.outcomes.length);
    expect(report.frames).toBeGreaterThan(3000);
  });

  test('gives each frame the fate and the nanosecond of the recording', () => {
    const network = networkOf(TEXT);
    const recording = record(network);
    const report = replay(network, recording, MEMORY_BYTES);
    expect(report.difference).toBeUndefined();
    expect(report.same).toBe(recording.outcomes.length);
    expect(report.frames).toBeGreaterThan(3000);
    const all = { durationNs: 1e9, traffic: TRAFFIC, memoryBytes: MEMORY_BYTES };
    expect(report.directions).toEqual(simulate(network, all).directions);
  });

  test('tells where a network is not the one that was recorded', () => {
    const recording = record(networkOf(TEXT));
    const report = replay(networkOf(TEXT.replace('delay: 10ms', 'delay: 11ms')), recording, MEMORY_BYTES);
    expect(report.same).toBeLessThan(report.outcomes);
    expect(report.difference).toMatch(/^h1--s1, (forward|reverse), left: recorded: frame .* replayed: frame .*/);
    expect(() => replay(networkOf(`seed: 5\n${TEXT}`), recording, MEMORY_BYTES)).toThrow('with seed 5');
    expect(() => replay(networkOf(TEXT.replaceAll('h3', 'h4')), recording, MEMORY_BYTES)).toThrow('h3--s1');
  });
});

describe('a recording', () => {
  test.each([
    ['', 'run.jsonl:1:'],
    ['{"luthier":1,"recording":"links","network":"n","seed":1}\n{"at":1}\n', 'run.jsonl:2:'],
    ['{"luthier":1,"recording":"links","network":"n","seed":1}\n', 'the recording has no end'],
    ['\u0000\u0001', 'run.jsonl:1:'],
  ])('that is none is refused: %j', (text, message) => {
    expect(() => parseRecording(text, 'run.jsonl')).toThrow(message);
  });
});
