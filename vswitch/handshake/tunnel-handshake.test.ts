/** Both roles against each other on a virtual clock, with an exchange that only has the flights of TLS. */
import { describe, expect, it } from 'vitest';
import { Lab, type Path } from '../../test/handshake/lab.js';
import { bare, emitPacket, MAX_PACKET_BYTES, PacketKind } from './packet.js';
import type { StartSession } from './session.js';

const LAN: Path = { delayMs: 0.1 };
const BAD: Path = { delayMs: 20, jitterMs: 40, lossRatio: 0.2, duplicateRatio: 0.1 };
const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);

function sealed(path: Path, seed = 1, rekeyMs?: number): Lab {
  const lab = new Lab(path, seed, rekeyMs);
  lab.until(() => lab.isSealed, 60_000);
  return lab;
}

describe('the keys of a tunnel', () => {
  it('are there after a few round trips', () => {
    const lab = new Lab(LAN);
    expect(lab.until(() => lab.isSealed, 1_000)).toBeLessThan(2);
    expect(lab.ends.initiator.state.state).toMatchObject({ state: 'sealed', rekeys: 0, algorithm: 'aes-256-gcm' });
    lab.run(1_000);
    expect(lab.ends.initiator.sealed + lab.ends.responder.sealed).toBe(2);
    expect(lab.ends.initiator.failures).toEqual([]);
    expect(lab.ends.responder.failures).toEqual([]);
  });

  it('are exchanged once, however long the engine of the end that asked takes to use them', () => {
    const lab = new Lab(LAN);
    const { initiator, responder } = lab.ends;
    responder.withheld = [];
    lab.run(2_000);
    expect(responder.withheld).toHaveLength(1);
    responder.withheld.forEach((answer) => {
      answer();
    });
    responder.withheld = undefined;
    lab.run(5_000);
    expect([initiator.state.state, responder.state.state]).toMatchObject([{ rekeys: 0 }, { rekeys: 0 }]);
    expect([initiator.sealed, responder.sealed]).toEqual([1, 1]);
  });

  it.each(['initiator', 'responder'] as const)('come when the %s starts late', (late) => {
    const lab = new Lab(LAN);
    lab.ends[late].kill();
    lab.run(7_000);
    lab.ends[late].restart();
    // A responder that starts asks at once, and an initiator that waits for it repeats itself at once.
    expect(lab.until(() => lab.isSealed, 5_000)).toBeLessThan(5);
  });

  it('come over a path that loses, doubles and reorders', () => {
    for (const seed of SEEDS) {
      const lab = new Lab(BAD, seed);
      lab.until(() => lab.isSealed, 20_000);
    }
  });

  it('come over a path that changes bytes of every fifth datagram', () => {
    for (const seed of SEEDS) {
      const lab = new Lab({ ...LAN, corruptRatio: 0.2 }, seed);
      lab.until(() => lab.isSealed, 30_000);
    }
  });

  it.each([
    ['initiator', ['initiator']],
    ['responder', ['responder']],
    ['both', ['initiator', 'responder']],
  ] as const)('are new soon after a restart: %s', (_, which) => {
    for (const seed of SEEDS) {
      const lab = sealed({ delayMs: 10 }, seed);
      lab.run(seed * 10);
      for (const role of which) lab.ends[role].kill();
      lab.run(500);
      for (const role of which) lab.ends[role].restart();
      expect(lab.until(() => lab.isSealed, 5_000)).toBeLessThan(250);
    }
  });

  it('survive an end that is killed at any moment of the exchange', () => {
    for (const role of ['initiator', 'responder'] as const)
      for (let stopMs = 0; stopMs < 130; stopMs += 3) {
        const lab = new Lab({ delayMs: 10 });
        lab.run(stopMs);
        lab.ends[role].kill();
        lab.run(300);
        lab.ends[role].restart();
        lab.until(() => lab.isSealed, 5_000);
      }
  });

  it('are replaced in time, without a moment in which what is sealed cannot be opened', () => {
    for (const path of [LAN, BAD]) {
      const lab = sealed(path);
      const endMs = lab.nowMs + 3_700_000;
      while (lab.nowMs < endMs) {
        lab.run(lab.ends.initiator.nextMs - lab.nowMs, () => !lab.isSealed);
        expect(lab.isSealed).toBe(true);
        lab.run(1);
      }
      for (const end of Object.values(lab.ends)) {
        expect(end.state.state.rekeys).toBeGreaterThanOrEqual(6);
        expect(end.installed.size).toBeLessThanOrEqual(2);
      }
    }
  });

  it('are kept for ten seconds after others took their place, for what is late', () => {
    const lab = sealed(LAN);
    const [old] = lab.ends.initiator.installed.keys();
    lab.run(605_000);
    for (const end of Object.values(lab.ends)) expect([...end.installed.keys()]).toContain(old);
    lab.run(10_000);
    for (const end of Object.values(lab.ends)) expect([...end.installed.keys()]).not.toContain(old);
  });

  it.each(['initiator', 'responder'] as const)('are replaced when the %s has sealed as much as it may', (role) => {
    const lab = sealed(LAN);
    lab.run(1_000);
    const { sendsWith } = lab.ends[role];
    lab.ends[role].state.rekey(sendsWith! + 1);
    lab.run(1_000);
    expect(lab.ends[role].sendsWith).toBe(sendsWith);
    lab.ends[role].state.rekey(sendsWith!);
    lab.run(1_000);
    expect(lab.ends[role].sendsWith).not.toBe(sendsWith);
    expect(lab.isSealed).toBe(true);
  });

  it('are confirmed by a sealed datagram where the last packet got lost', () => {
    const lab = new Lab(LAN);
    const { initiator, responder } = lab.ends;
    lab.until(() => initiator.sendsWith !== undefined, 1_000);
    lab.lose();
    expect(responder.sendsWith).toBeUndefined();
    responder.state.epochSeen(initiator.sendsWith! ^ 1);
    expect(responder.sendsWith).toBeUndefined();
    responder.state.epochSeen(initiator.sendsWith!);
    expect(responder.sendsWith).toBe(initiator.sendsWith);
  });

  it('are not touched by a peer that has gone, and come back with it', () => {
    const lab = sealed(LAN);
    lab.path = { ...LAN, lossRatio: 1 };
    lab.run(700_000);
    for (const end of Object.values(lab.ends)) expect(end.state.state).toMatchObject({ state: 'sealed' });
    expect(lab.ends.initiator.state.state.reason).toBe('responder does not answer');
    expect(lab.isSealed).toBe(true);
    lab.path = LAN;
    lab.run(10_000);
    expect(lab.ends.initiator.state.state.reason).toBeUndefined();
    expect(lab.isSealed).toBe(true);
  });
});

describe('a peer that is looked for', () => {
  it.each(['initiator', 'responder'] as const)('gets keys from the %s, as it may not be able to begin', (role) => {
    const lab = sealed(LAN);
    const { [role]: end, [role === 'initiator' ? 'responder' : 'initiator']: other } = lab.ends;
    // It is another process, and what it says goes to where we are not.
    other.restart();
    let isFound = false;
    const carry = lab.carry.bind(lab);
    lab.carry = (from, payload, seal) => {
      if (from === end && seal === undefined) isFound = true;
      if (from === end || isFound) carry(from, payload, seal);
    };
    lab.run(5_000);
    expect([isFound, lab.isSealed]).toEqual([false, false]);
    end.state.searching(true);
    expect(lab.until(() => lab.isSealed, 3_000)).toBeLessThan(200);
    end.state.searching(false);
    lab.run(10_000);
    expect([end.failures, end.state.state.rekeys]).toEqual([[], 1]);
  });

  it.each(['initiator', 'responder'] as const)('costs the %s nothing when it comes back', (role) => {
    const lab = sealed(LAN);
    lab.run(1_000);
    const end = lab.ends[role];
    const before = end.sendsWith;
    const { path } = lab;
    lab.path = { ...path, lossRatio: 1 };
    end.state.searching(true);
    lab.run(60_000);
    expect(end.state.state).toMatchObject({ state: 'sealed', rekeys: 0 });
    expect([end.failures, end.sentOpen.length < 150]).toEqual([[], true]);
    end.state.searching(false);
    lab.path = path;
    end.sentOpen.length = 0;
    lab.run(60_000);
    expect([end.sendsWith, end.sentOpen]).toEqual([before, []]);
    expect(end.state.state.reason).toBeUndefined();
  });
});

describe('strangers', () => {
  it('that send anything at all change nothing of keys that work', () => {
    const lab = sealed(LAN);
    lab.run(100);
    const recorded = Object.values(lab.ends).flatMap(({ sent }) => sent);
    const { initiator, responder } = lab.ends;
    const [mine, yours] = [initiator.sendsWith, responder.sendsWith];
    for (let i = 0; i < 20_000; i++) {
      const old = recorded[i % recorded.length]!.slice();
      const forged = i % 3 === 0 ? lab.randomBytes(i % 1300) : old;
      if (i % 3 === 1) forged[i % forged.byteLength]! ^= 1 << (i & 7);
      for (const end of [initiator, responder]) end.receive(forged);
      if (i % 50 === 0) lab.run(1);
    }
    expect(lab.isSealed).toBe(true);
    expect(lab.ends.initiator.installed.get(mine!)).toBeDefined();
    expect(lab.ends.responder.installed.get(yours!)).toBeDefined();
    lab.until(() => initiator.nextMs > lab.nowMs + 100_000 && responder.nextMs > lab.nowMs + 100_000, 60_000);
    expect(lab.isSealed).toBe(true);
  });

  it('get no more from a responder than they sent, and nothing of an exchange', () => {
    const lab = new Lab({ ...LAN, lossRatio: 1 });
    const { initiator, responder } = lab.ends;
    lab.run(10);
    const first = initiator.sent[0]!;
    responder.sent.length = 0;
    for (let i = 0; i < 100; i++) {
      const forged = first.slice();
      forged.set(lab.randomBytes(16), 4);
      responder.receive(forged);
    }
    expect(responder.sent).toHaveLength(100);
    for (const answer of responder.sent) {
      expect(answer[0]).toBe(PacketKind.cookie);
      expect(answer.byteLength).toBeLessThanOrEqual(first.byteLength);
    }
  });

  it('that ask an initiator for attempts get few, and each asks for more than it causes', () => {
    const lab = sealed(LAN);
    lab.run(100);
    const { initiator } = lab.ends;
    const plea = new Uint8Array(MAX_PACKET_BYTES);
    lab.path = { ...LAN, lossRatio: 1 };
    initiator.sent.length = 0;
    initiator.receive(plea.subarray(1));
    expect(initiator.sent).toHaveLength(0);
    initiator.receive(plea);
    lab.run(60_000);
    const bytes = initiator.sent.reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(3 * plea.byteLength);
    initiator.sent.length = 0;
    for (let i = 0; i < 10_000; i++) {
      initiator.receive(plea);
      lab.run(1);
    }
    const attempts = new Set(initiator.sent.map((payload) => Buffer.from(payload.subarray(4, 12)).toString('hex')));
    expect(attempts.size).toBeLessThan(15);
  });
});

describe('who sees the packets and forges some', () => {
  it('leaves no end with keys that the other forgets', () => {
    const lab = sealed({ delayMs: 10 });
    const { initiator, responder } = lab.ends;
    lab.run(1_000);
    let known = new Set(responder.installed.keys());
    for (const endMs = lab.nowMs + 60_000; lab.nowMs < endMs;) {
      // He asks for attempts as well.
      initiator.receive(new Uint8Array(MAX_PACKET_BYTES));
      lab.run(1, () => [...responder.installed.keys()].some((epoch) => !known.has(epoch)));
      if ([...responder.installed.keys()].some((epoch) => !known.has(epoch))) {
        // It has answered, and the initiator will use what it has just installed: a forged end, before it does.
        const answer = responder.sent.at(-1)!;
        responder.receive(emitPacket(bare(PacketKind.close, answer.slice(4, 12), answer.slice(12, 20))));
      }
      known = new Set(responder.installed.keys());
      // Something is always sent.
      if (initiator.isHeard) responder.state.epochSeen(initiator.sendsWith!);
      expect(lab.isSealed).toBe(true);
    }
    expect(responder.failures.length).toBeGreaterThan(5);
  });

  it('does not hold an attempt up for long, byte by byte', () => {
    const lab = new Lab(LAN);
    const { initiator, responder } = lab.ends;
    responder.kill();
    lab.run(10);
    const attempt = initiator.sent[0]!.slice(4, 12);
    for (let offset = 0; offset < 32; offset++) {
      expect(initiator.failures.length).toBe(offset < 30 ? 0 : 1);
      const piece = { ...bare(PacketKind.piece, attempt, new Uint8Array(8)), offset, data: new Uint8Array(1) };
      initiator.receive(emitPacket(piece));
      lab.run(1_000);
    }
  });

  it('asks in vain while an attempt goes on', () => {
    const lab = new Lab({ delayMs: 450 });
    for (let ms = 0; ms < 5_000 && !lab.isSealed; ms += 10) {
      lab.ends.initiator.receive(new Uint8Array(MAX_PACKET_BYTES));
      lab.run(10);
    }
    expect(lab.isSealed).toBe(true);
  });
});

describe('who stands between the ends', () => {
  /** Datagrams of a handshake that is not sealed: recorded, forged, and made to end and to begin attempts. */
  function disturb(lab: Lab, salt: number): void {
    const recorded = Object.values(lab.ends).flatMap(({ sentOpen }) => sentOpen.slice(-50));
    for (const end of Object.values(lab.ends)) {
      const old = recorded[salt % recorded.length]!.slice();
      end.receive(old.slice());
      end.receive(emitPacket(bare(PacketKind.close, old.slice(4, 12), old.slice(12, 20))));
      old[salt % old.byteLength]! ^= 1 << (salt & 7);
      end.receive(old);
      end.receive(lab.randomBytes(40));
      end.receive(new Uint8Array(MAX_PACKET_BYTES));
    }
  }

  it('and changes all that is not sealed, prevents no rekey', () => {
    const lab = sealed(LAN, 1, 20_000);
    lab.run(100);
    lab.path = { ...LAN, openCorruptRatio: 1 };
    const { initiator, responder } = lab.ends;
    for (let i = 0; i < 2_000; i++) {
      disturb(lab, i);
      lab.run(100, () => !lab.isSealed);
      expect(lab.isSealed).toBe(true);
      // Something is always sent.
      responder.state.epochSeen(initiator.sendsWith!);
    }
    for (const end of [initiator, responder]) {
      expect(end.state.state).toMatchObject({ state: 'sealed' });
      expect(end.state.state.rekeys).toBeGreaterThanOrEqual(9);
      expect(end.state.state.epochAgeSeconds).toBeLessThan(21);
      expect(end.installed.size).toBeLessThanOrEqual(8);
    }
  });

  it('and repeats and adds what is not sealed, prevents no restart', () => {
    for (const which of [['initiator'], ['responder'], ['initiator', 'responder']] as const) {
      const lab = sealed({ delayMs: 10 });
      lab.run(1_000);
      for (let i = 0; i < 500; i++) {
        if (i === 100) for (const role of which) lab.ends[role].kill();
        if (i === 110) for (const role of which) lab.ends[role].restart();
        disturb(lab, i * 7);
        lab.run(10);
      }
      // He stands aside at last: it was disturbed, and is there at once.
      lab.until(() => lab.isSealed, 5_000);
    }
  });

  it('and lets an open exchange come to keys, and never to its end, prevents no rekey', () => {
    /** From the plea to keys at the initiator. */
    const opened = (lab: Lab): number => {
      const { initiator } = lab.ends;
      const old = initiator.sendsWith;
      initiator.receive(new Uint8Array(MAX_PACKET_BYTES));
      return lab.until(() => initiator.sendsWith !== old, 1_000);
    };
    const rehearsal = sealed({ delayMs: 10 }, 1, 20_000);
    rehearsal.run(1_000);
    const tookMs = opened(rehearsal);
    const lab = sealed({ delayMs: 10 }, 1, 20_000);
    lab.run(1_000);
    const { initiator, responder } = lab.ends;
    // The keys are due while it goes on.
    lab.run(initiator.nextMs - lab.nowMs - tookMs + 5);
    opened(lab);
    lab.lose();
    lab.path = { ...lab.path, openLossRatio: 1 };
    const [inUse, before] = [initiator.sendsWith, initiator.state.state.rekeys!];
    for (let ms = 0; ms < 30_000; ms += 100) {
      responder.state.epochSeen(initiator.sendsWith!);
      lab.run(100, () => !lab.isSealed);
      expect(lab.isSealed).toBe(true);
    }
    expect(initiator.sendsWith).not.toBe(inUse);
    expect(initiator.state.state.rekeys).toBeGreaterThan(before);
  });

  it('hears nothing but what is sealed while keys are replaced', () => {
    const lab = sealed(LAN);
    lab.run(1_000);
    for (const end of Object.values(lab.ends)) end.sentOpen.length = 0;
    lab.run(3_700_000);
    for (const end of Object.values(lab.ends)) {
      expect(end.state.state.rekeys).toBe(6);
      expect(end.sentOpen).toEqual([]);
    }
  });
});

describe('two attempts at once', () => {
  it('sealed and open, of both ends at any distance in time, leave keys that both have', () => {
    for (const seed of SEEDS.slice(0, 10)) {
      const lab = sealed({ delayMs: 10, jitterMs: 15, lossRatio: 0.05 }, seed);
      lab.run(1_000);
      const { initiator, responder } = lab.ends;
      for (let round = 0; round < 10; round++) {
        const [first, second] = round % 2 === 0 ? [initiator, responder] : [responder, initiator];
        first.state.rekey(first.sendsWith!);
        lab.run((seed * 3 + round * 5) % 60, () => !lab.isSealed);
        expect(lab.isSealed).toBe(true);
        initiator.receive(new Uint8Array(MAX_PACKET_BYTES));
        second.state.rekey(second.sendsWith!);
        // What is sealed is being sent all the time.
        for (let ms = 0; ms < 15_000; ms += 100) {
          lab.run(100, () => !lab.isSealed);
          expect(lab.isSealed).toBe(true);
          responder.state.epochSeen(initiator.sendsWith!);
        }
        expect(initiator.sendsWith).toBe(responder.sendsWith);
      }
      expect(initiator.state.state.rekeys).toBeGreaterThanOrEqual(10);
    }
  });

  it('of which one is left for the other, fail at neither end', () => {
    for (const seed of SEEDS) {
      const lab = sealed({ delayMs: 10, jitterMs: 5 }, seed);
      lab.run(1_000);
      const { initiator, responder } = lab.ends;
      initiator.state.rekey(initiator.sendsWith!);
      lab.run(seed);
      initiator.receive(new Uint8Array(MAX_PACKET_BYTES));
      for (let ms = 0; ms < 10_000; ms += 100) {
        lab.run(100);
        responder.state.epochSeen(initiator.sendsWith!);
      }
      expect(initiator.sendsWith).toBe(responder.sendsWith);
      for (const { failures, state } of [initiator, responder]) {
        expect(failures).toEqual([]);
        expect(state.state.reason).toBeUndefined();
      }
    }
  });
});

describe('an engine that refuses', () => {
  it.each([
    ['initiator', 'installRefusal'],
    ['initiator', 'sendRefusal'],
    ['responder', 'installRefusal'],
    ['responder', 'sendRefusal'],
  ] as const)('at the %s (%s) fails the attempt, which is said and made again, and old keys go on', (role, refusal) => {
    const lab = sealed(LAN);
    const end = lab.ends[role];
    lab.run(1_000);
    end[refusal] = 'no room';
    lab.ends.initiator.state.rekey(lab.ends.initiator.sendsWith!);
    lab.ends.initiator.state.epochSeen(lab.ends.responder.sendsWith!);
    let seen: number | undefined;
    for (let ms = 0; ms < 30_000; ms += 100) {
      lab.run(100, () => !lab.isSealed);
      expect(lab.isSealed).toBe(true);
      // Frames are sent all the time.
      if (lab.ends.initiator.sendsWith !== seen) lab.ends.responder.state.epochSeen(lab.ends.initiator.sendsWith!);
      seen = lab.ends.initiator.sendsWith;
    }
    expect(end.state.state.reason).toBe('no room');
    const { length } = end.failures;
    expect(length).toBeGreaterThan(3);
    expect(length).toBeLessThan(60);
    end[refusal] = undefined;
    lab.run(10_000);
    expect(lab.isSealed).toBe(true);
    for (const each of Object.values(lab.ends)) {
      expect(each.state.state.reason).toBeUndefined();
      expect(each.state.state.epochAgeSeconds).toBeLessThan(41);
    }
  });

  it('from the beginning is asked again until it does not', () => {
    const lab = new Lab(LAN);
    lab.ends.responder.installRefusal = 'no room';
    lab.run(20_000);
    expect(lab.ends.responder.state.state).toEqual({ state: 'failed', reason: 'no room' });
    lab.ends.responder.installRefusal = undefined;
    lab.until(() => lab.isSealed, 6_000);
  });
});

describe('keys that cannot be replaced', () => {
  it('are used for an hour, and no longer', () => {
    const lab = sealed(LAN);
    lab.path = { ...LAN, lossRatio: 1 };
    lab.run(3_590_000);
    expect(lab.isSealed).toBe(true);
    lab.run(20_000);
    for (const end of Object.values(lab.ends)) {
      expect(end.sendsWith).toBeUndefined();
      expect(end.installed.size).toBe(0);
      expect(end.state.state.state).toBe('failed');
    }
    lab.path = LAN;
    lab.until(() => lab.isSealed, 6_000);
  });

  it.each(['initiator', 'responder'] as const)('at the %s, whose frames wait for others', (role) => {
    const lab = sealed(LAN);
    lab.run(1_000);
    lab.path = { ...LAN, lossRatio: 1 };
    const end = lab.ends[role];
    end.state.spent(end.sendsWith! ^ 1);
    expect(end.state.isSealed).toBe(true);
    end.state.spent(end.sendsWith!);
    expect(end.state.state).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('sealed as much as they may') as string,
    });
    lab.run(20_000);
    expect(end.state.isSealed).toBe(false);
    lab.path = LAN;
    lab.until(() => end.state.isSealed, 6_000);
    lab.run(100);
    expect(end.state.state.reason).toBeUndefined();
    expect(lab.isSealed).toBe(true);
  });
});

describe('a peer that fails', () => {
  const refusing: StartSession = (_, events) => {
    let isOver = false;
    return {
      receive: () => {
        if (!isOver) events.failed('wrong certificate');
        isOver = true;
      },
      confirm: () => undefined,
      close: () => (isOver = true),
    };
  };

  it('is tried again at growing intervals, and both ends say why', () => {
    const lab = new Lab(LAN);
    const { initiator, responder } = lab.ends;
    const good = responder.startSession;
    responder.startSession = refusing;
    lab.run(30_000);
    expect(responder.state.state).toEqual({ state: 'failed', reason: 'wrong certificate' });
    expect(initiator.state.state).toMatchObject({ state: 'failed', reason: /its log says why/ });
    expect(initiator.failures.length).toBeGreaterThan(4);
    expect(initiator.failures.length).toBeLessThan(40);
    responder.startSession = good;
    lab.until(() => lab.isSealed, 6_000);
    lab.run(1);
    expect(initiator.state.state.reason).toBeUndefined();
  });

  it('leaves no more than eight epochs behind', () => {
    const lab = sealed(LAN);
    const { initiator, responder } = lab.ends;
    const { startSession } = initiator;
    // An initiator that always fails at its end of the exchange, where the responder has installed keys already.
    initiator.startSession = (role, events) =>
      startSession(role, { ...events, authenticated: () => events.failed('no') });
    for (let i = 0; i < 10; i++) {
      initiator.state.rekey(initiator.sendsWith!);
      lab.run(8_000);
      expect(responder.installed.size).toBeLessThanOrEqual(8);
      expect(lab.isSealed).toBe(true);
    }
  });
});
