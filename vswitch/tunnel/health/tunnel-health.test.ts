/** Health in virtual time: two ends over a path that changes under them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Path, coin } from '../../../test/tunnel/path.js';
import '../../../test/properties.js';
import { PeerState } from './liveness.js';
import { BASE_BYTES } from './path-mtu.js';
import { PROBE_BYTES, Probe, ProbeKind } from './probe.js';

const SECOND = 1e9;

function settled(largestBytes = 1500): Path {
  const path = new Path(largestBytes);
  path.run(2 * SECOND);
  expect(path.a.health.pathMtuBytes).toBe(largestBytes);
  return path;
}

describe('an idle tunnel', () => {
  it('wakes each end twice a second, whenever which of them last had a reason to ask, and asks as often as before', () => {
    // Who both begin at the same moment go on with it, each too early to have heard of the other's question.
    const later = fc.integer({ min: 50e6, max: 950e6 });
    const jitter = fc.infiniteStream(fc.integer({ min: 10e3, max: 5e6 }));
    fc.assert(
      fc.property(later, jitter, (laterNs, delays) => {
        const path = new Path();
        let sentNs = -1;
        path.loses = () => {
          // What is sent at one moment arrives at one.
          if (path.nowNs !== sentNs) path.delayNs = delays.next().value as number;
          sentNs = path.nowNs;
          return false;
        };
        path.run(2 * SECOND + laterNs);
        path.b.health.doubtPathMtu(path.nowNs);
        path.run(3 * SECOND);
        const ends = [path.a, path.b];
        const before = ends.map(({ wakes, asked }) => [wakes, asked.length] as const);
        path.run(20 * SECOND);
        ends.forEach(({ wakes, asked }, i) => {
          expect(wakes - before[i]![0]).toBeLessThanOrEqual(2 * 21);
          expect(asked.length - before[i]![1]).toBeGreaterThanOrEqual(19);
          expect(asked.length - before[i]![1]).toBeLessThanOrEqual(21);
        });
      }),
      { numRuns: 50 },
    );
  });
});

describe('path MTU', () => {
  it('begins with what always goes, and has the largest within two round trips', () => {
    const path = new Path();
    expect(path.a.health.pathMtuBytes).toBe(BASE_BYTES);
    path.run(4.1 * path.delayNs);
    expect([path.a.health.pathMtuBytes, path.b.health.pathMtuBytes]).toEqual([1500, 1500]);
  });

  it('follows a path that becomes narrower and wider, within seconds', () => {
    const path = settled();
    for (const mtuBytes of [1400, 1280, 1400, 1500, 1280, 1500]) {
      const isNarrower = mtuBytes < path.mtuBytes;
      path.mtuBytes = mtuBytes;
      path.run(isNarrower ? 1.5 * SECOND : 0);
      // Nothing is lost any more.
      expect(path.a.health.pathMtuBytes).toBeLessThanOrEqual(mtuBytes);
      path.run(8 * SECOND);
      expect(path.a.health.pathMtuBytes, `at ${mtuBytes}`).toBe(mtuBytes);
    }
  });

  it('comes within a few bytes of any path, and stays there', () => {
    fc.assert(
      fc.property(fc.integer({ min: BASE_BYTES, max: 9000 }), (mtuBytes) => {
        const path = new Path(9000);
        path.mtuBytes = mtuBytes;
        path.run(10 * SECOND);
        const found = path.a.health.pathMtuBytes;
        expect(found).toBeLessThanOrEqual(mtuBytes);
        expect(found).toBeGreaterThan(mtuBytes * (mtuBytes <= 1500 ? 0.98 : 0.6));
        path.run(20 * SECOND);
        expect(path.a.health.pathMtuBytes).toBe(found);
      }),
      { numRuns: 40 },
    );
  });

  it('asks the kernel only once for what it refuses', () => {
    const path = settled();
    path.a.interfaceBytes = 1400;
    expect(path.a.health.refused(path.nowNs)).toBe(true);
    expect(path.a.health.pathMtuBytes).toBe(BASE_BYTES);
    path.run(0.1 * SECOND);
    expect(path.a.health.pathMtuBytes).toBe(1400);
    path.a.interfaceBytes = 1500;
    path.run(6 * SECOND);
    expect(path.a.health.pathMtuBytes).toBe(1500);
  });

  it('notices by its own probes that the kernel refuses what it took before', () => {
    const path = settled();
    path.a.interfaceBytes = 1400;
    path.run(1.5 * SECOND);
    expect(path.a.health.pathMtuBytes).toBe(1400);
  });

  it('believes no hint, but asks at once', () => {
    const path = settled();
    path.run(0.5 * SECOND);
    const asked = path.a.asked.length;
    for (let i = 0; i < 100; i++) path.a.health.doubtPathMtu(path.nowNs);
    path.a.health.poll(path.nowNs);
    for (let i = 0; i < 100; i++) path.a.health.doubtPathMtu(path.nowNs);
    path.a.health.poll(path.nowNs);
    expect(path.a.asked.length).toBe(asked + 1);
    path.run(0.4 * SECOND);
    expect(path.a.health.pathMtuBytes).toBe(1500);
    path.mtuBytes = 1400;
    path.a.health.doubtPathMtu(path.nowNs);
    path.run(0.35 * SECOND);
    expect(path.a.health.pathMtuBytes).toBeLessThanOrEqual(1400);
  });

  it('finds its size on a path that loses every tenth packet', () => {
    const path = new Path();
    path.loses = coin(0.1);
    path.mtuBytes = 1400;
    path.run(20 * SECOND);
    let seconds = 0;
    for (let i = 0; i < 60; i++) {
      path.run(SECOND);
      if (path.a.health.pathMtuBytes === 1400) seconds++;
      expect(path.a.health.pathMtuBytes).toBeLessThanOrEqual(1400);
    }
    expect(seconds).toBeGreaterThan(50);
  });
});

describe('liveness', () => {
  it('notices within 3 s that a peer has stopped, and at once that it goes on', () => {
    const path = settled();
    // At any moment of the second between two questions.
    for (let i = 0; i < 10; i++) {
      path.run(2 * SECOND + i * 0.1 * SECOND);
      path.b.isStopped = true;
      path.run(1.4 * SECOND);
      expect(path.a.health.isDead).toBe(false);
      path.run(1.6 * SECOND);
      expect(path.a.health.isDead).toBe(true);
      path.run(7 * SECOND);
      path.b.isStopped = false;
      path.run(0.01 * SECOND);
      expect([path.a.health.isDead, path.b.health.isDead]).toEqual([false, false]);
    }
    path.run(SECOND);
    expect(path.a.health.pathMtuBytes).toBe(1500);
  });

  it('is not confused by having been stopped itself', () => {
    const path = settled();
    path.a.isStopped = true;
    path.run(60 * SECOND);
    path.a.isStopped = false;
    path.run(0);
    path.a.health.poll(path.nowNs);
    expect(path.a.health.isDead).toBe(false);
    path.run(SECOND);
    expect([path.a.health.liveness.state, path.a.health.liveness.sinceNs]).toEqual([PeerState.alive, 1e6]);
  });

  it('does the same over the longest path there is', () => {
    const path = new Path();
    path.delayNs = 0.45 * SECOND;
    path.run(60 * SECOND);
    expect([path.a.health.pathMtuBytes, path.a.health.liveness.state]).toEqual([1500, PeerState.alive]);
    const asked = path.a.asked.length;
    path.run(60 * SECOND);
    expect(path.a.asked.length - asked).toBeLessThan(250);
    expect([path.a.health.pathMtuBytes, path.a.health.liveness.sinceNs]).toEqual([1500, 0.45 * SECOND]);
    path.isOpen = false;
    path.run(3.45 * SECOND);
    expect(path.a.health.isDead).toBe(true);
  });

  it('is not shaken by every fifth packet lost, for an hour', () => {
    const path = settled();
    path.loses = coin(0.2);
    path.run(3600 * SECOND);
    expect([path.a.health.liveness.state, path.a.health.liveness.sinceNs]).toEqual([PeerState.alive, 1e6]);
  });

  it('asks an idle peer once a second, a dead one no more often', () => {
    const path = settled();
    const asked = path.a.asked.length;
    path.run(60 * SECOND);
    expect(path.a.asked.length - asked).toBeLessThanOrEqual(60);
    path.isOpen = false;
    path.run(10 * SECOND);
    const before = path.a.asked.length;
    path.run(60 * SECOND);
    expect(path.a.asked.length - before).toBeLessThanOrEqual(60);
  });
});

describe('RTT and loss', () => {
  it('are those of the path', () => {
    const path = settled();
    path.delayNs = 7e6;
    path.run(90 * SECOND);
    expect(path.a.health.rtt.smoothedNs).toBeCloseTo(14e6, -3);
    expect(path.a.health.rtt.leastNs).toBe(2e6);
    path.run(90 * SECOND);
    expect(path.a.health.rtt.leastNs).toBe(14e6);
    expect(path.a.health.loss.ratio).toBe(0);
  });

  it('counts each datagram with frames, and none that was meant to be lost', () => {
    const path = new Path(9000);
    path.mtuBytes = 1500;
    path.loses = coin(0.05);
    for (let i = 0; i < 30_000; i++) {
      path.a.sendFrames(1280);
      path.run(1e6);
    }
    expect(path.a.health.loss.ratio).toBeGreaterThan(0.04);
    expect(path.a.health.loss.ratio).toBeLessThan(0.06);
    path.loses = () => false;
    path.run(20 * SECOND);
    expect(path.a.health.loss.ratio).toBe(0);
  });
});

describe('what a peer says', () => {
  it('changes nothing when it answers what was never asked', () => {
    const path = settled();
    const { health } = path.a;
    const { smoothedNs } = health.rtt;
    const bytes = new Uint8Array(PROBE_BYTES);
    const probe = new Probe();
    for (const [timeNs, sent] of [
      [path.nowNs + 1, 0],
      [path.nowNs, 2 ** 50],
    ] as const) {
      Object.assign(probe, { kind: ProbeKind.reply, packetBytes: 9000, timeNs, sent, received: 7 }).emit(bytes, 0);
      expect(health.onProbe(bytes, 0, PROBE_BYTES, path.nowNs)).toBe(true);
    }
    expect(health.onProbe(bytes, 0, PROBE_BYTES - 1, path.nowNs)).toBe(false);
    expect([health.pathMtuBytes, health.rtt.smoothedNs]).toEqual([1500, smoothedNs]);
    expect(health.loss.ratio).toBe(0);
  });

  it('is answered with no more bytes than it asked with, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, isRequest) => {
        const path = settled();
        if (isRequest && bytes.byteLength > 2) bytes.set([ProbeKind.request, 0]);
        path.a.health.onProbe(bytes, 0, bytes.byteLength, path.nowNs);
        expect(path.a.health.pathMtuBytes).toBe(1500);
        expect(path.a.health.nextNs).toBeGreaterThan(path.nowNs);
      }),
    );
  });
});
