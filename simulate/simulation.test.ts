import { describe, expect, test } from 'vitest';
import { loadText, resolve } from '../control/scenario/index.js';
import type { SimulatedDirection, SimulationReport } from '../model/simulation.js';
import type { Traffic } from './flows.js';
import { simulate } from './simulation.js';

const TRAFFIC: Traffic = { pattern: 'poisson', rateBps: 1e6, frameBytes: 1000, ecn: true };
const MEMORY_BYTES = 8 * 2 ** 20;

function run(text: string, seconds = 2, traffic: Partial<Traffic> = {}): SimulationReport {
  const network = resolve(loadText(text, 'n.yaml'));
  return simulate(network, {
    durationNs: seconds * 1e9,
    traffic: { ...TRAFFIC, ...traffic },
    memoryBytes: MEMORY_BYTES,
  });
}

/** Two hosts at a switch, the first by a link with these properties. */
function pair(link: string, more = ''): string {
  return `name: n
seed: 7
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1]${link} }
  - { endpoints: [h2, s1] }
${more}`;
}

function direction({ directions }: SimulationReport, link: string, from: string): SimulatedDirection {
  return directions.find((each) => each.link === link && each.from.startsWith(from))!;
}

function expectConserved({ directions }: SimulationReport): void {
  for (const each of directions) {
    const { framesIn, duplicated, frames, lost, queueDropped, overloaded, refused, held } = each;
    expect(frames + lost + queueDropped + overloaded + refused + held, each.link).toBe(framesIn + duplicated);
  }
}

const BUSY = ', rate: 2mbit, delay: 10ms, jitter: 2ms, loss: 5%, duplicate: 5%, corrupt: 5%, reorder: 5%';

describe('a simulation', () => {
  test('is the same for the same seed, and another for another', () => {
    const text = pair(BUSY);
    const first = run(text);
    expect(JSON.stringify(run(text))).toBe(JSON.stringify(first));
    const other = run(text.replace('seed: 7', 'seed: 8'));
    expect(other.directions).not.toEqual(first.directions);
    expectConserved(first);
    const { lost, duplicated, corrupted, reordered } = direction(first, 'h1--s1', 'h1');
    expect(Math.min(lost, duplicated, corrupted, reordered)).toBeGreaterThan(0);
  });

  test('has a link delay what comes, to the nanosecond', () => {
    const report = run(pair(', rate: 100mbit, delay: 10ms'), 2, { pattern: 'constant' });
    // 1000 bytes at 100 Mbit/s take 80 µs.
    const delay = { meanNs: 10_080_000, p50Ns: 10_080_000, p99Ns: 10_080_000, maxNs: 10_080_000 };
    expect(direction(report, 'h1--s1', 'h1').delay).toEqual(delay);
    expect(direction(report, 'h2--s1', 'h2').delay).toEqual({ meanNs: 0, p50Ns: 0, p99Ns: 0, maxNs: 0 });
    // Every 8 ms a frame, of which the last one or two are under way.
    const { framesIn, frames, held } = direction(report, 'h1--s1', 'h1');
    expect(framesIn).toBe(250);
    expect(frames).toBe(250 - held);
    expect(held).toBeLessThanOrEqual(2);
  });

  test('has a bottleneck pass its rate, and drop the rest', () => {
    const report = run(pair(', rate: 1mbit, queue: 20p'), 10, { rateBps: 3e6 });
    const { rateBps, queueDropped } = direction(report, 'h1--s1', 'h1');
    expect(Math.abs(rateBps / 1e6 - 1)).toBeLessThan(0.01);
    expect(queueDropped).toBeGreaterThan(2000);
    expectConserved(report);
  });

  test('does not change what a link does when there is another one', () => {
    const links = pair(BUSY);
    const more = links
      .replace(
        '  h1:',
        '  s2: { kind: switch, subnet: 10.0.2.0/24 }\n  h3: { kind: host }\n  h4: { kind: host }\n  h1:',
      )
      .concat(`  - { endpoints: [h3, s2]${BUSY} }\n  - { endpoints: [h4, s2]${BUSY} }\n`);
    const [alone, together] = [run(links), run(more)];
    for (const { link, from } of alone.directions)
      expect(direction(together, link, from)).toEqual(direction(alone, link, from));
    expect(direction(together, 'h3--s2', 'h3').lost).toBeGreaterThan(0);
  });

  test('does events at their times', () => {
    const events = `events:
  - { at: 1s, link: h1--s1, set: { state: down } }
  - { at: 2s, link: h1--s1, set: { state: up, delay: 50ms } }
`;
    const report = run(pair(', delay: 10ms', events), 4, { pattern: 'constant' });
    expect(report.changes).toBe(2);
    const { framesIn, refused, delay } = direction(report, 'h1--s1', 'h1');
    expect(framesIn).toBe(500);
    // A second of 125 frames, and one or two that were in flight.
    expect(refused).toBeGreaterThanOrEqual(125);
    expect(refused).toBeLessThanOrEqual(127);
    expect(delay!.maxNs).toBe(50_000_000);
    expectConserved(report);
  });

  test('joins machines by wires that take no time', () => {
    const report = run(`name: n
machines: [a, b]
nodes:
  s1: { kind: switch, subnet: 10.0.1.0/24 }
  h1: { kind: host, machine: a }
  h2: { kind: host, machine: b }
  h3: { kind: host, machine: b }
links:
  - { endpoints: [h1, s1], delay: 5ms }
  - { endpoints: [h2, s1], delay: 5ms }
  - { endpoints: [h3, h1], delay: 3ms, loss: 5% }
`);
    expect(report.flows).toBe(4);
    expect(direction(report, 'h2--s1', 's1').delay!.maxNs).toBe(5_000_000);
    expect(direction(report, 'h2--s1', 's1').frames).toBeGreaterThan(200);
    for (const from of ['h1', 'h3']) {
      expect(direction(report, 'h3--h1', from).delay!.maxNs).toBe(3_000_000);
      expect(direction(report, 'h3--h1', from).lost).toBeGreaterThan(0);
    }
    expectConserved(report);
  });

  test.each([
    ['20p', false],
    ['{ discipline: red, min: 5kB, max: 15kB, ecn: true }', true],
    ['{ discipline: codel, ecn: true }', true],
    ['{ discipline: fq-codel, ecn: true }', true],
    ['{ discipline: pie, ecn: true }', true],
  ])('runs a queue: %s', (queue, marks) => {
    const report = run(pair(`, rate: 2mbit, delay: 5ms, queue: ${queue}`), 10, { rateBps: 2.4e6 });
    const { rateBps, marked, queueDropped } = direction(report, 'h1--s1', 'h1');
    expect(rateBps).toBeGreaterThan(1.9e6);
    expect(marked + queueDropped).toBeGreaterThan(0);
    if (marks) expect(marked).toBeGreaterThan(0);
    expectConserved(report);
  });

  test('refuses frames that a host cannot send', () => {
    expect(() => run(pair(''), 1, { frameBytes: 1515 })).toThrow('h1:eth0 sends no frames of 1515 bytes');
  });

  test('has nothing to do where no two hosts share a LAN', () => {
    const report = run(
      'name: n\nnodes:\n  s1: { kind: switch, subnet: 10.0.1.0/24 }\n  h1: { kind: host }\nlinks:\n  - { endpoints: [h1, s1] }\n',
    );
    expect(report.flows).toBe(0);
    expect(report.directions.every(({ framesIn }) => framesIn === 0)).toBe(true);
  });
});
