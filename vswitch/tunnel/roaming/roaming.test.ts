/** Where a peer is taken to be, in virtual time and without sockets. */
import { beforeEach, describe, expect, it } from 'vitest';
import { ChallengeKind, emptyMessage, valueOf } from './challenge.js';
import { formatEndpoint, parseEndpoint } from './endpoint.js';
import { Roaming, type RoamingContext } from './roaming.js';

const SECOND = 1e9;
const HOME = parseEndpoint('192.0.2.1', 7000);
const NEW = parseEndpoint('192.0.2.9', 7000);
const OTHER = parseEndpoint('192.0.2.1', 7001);

class Context implements RoamingContext {
  /** In order, as text. */
  said: string[] = [];
  /** The last that was sent. */
  message: Uint8Array = new Uint8Array(0);
  isReachable = true;
  #randoms = 0;

  connect(endpoint: Uint8Array): boolean {
    this.said.push(`connect ${formatEndpoint(endpoint)}`);
    return this.isReachable;
  }

  open(): void {
    this.said.push('open');
  }

  sendTo(endpoint: Uint8Array, message: Uint8Array): void {
    this.message = message.slice();
    this.said.push(`${message[0] === ChallengeKind.challenge ? 'ask' : 'answer'} ${formatEndpoint(endpoint)}`);
  }

  random(into: Uint8Array): void {
    into.fill(++this.#randoms);
  }

  moved(): void {
    this.said.push('moved');
  }

  /** What was said since the last time. */
  take(): string[] {
    return this.said.splice(0);
  }
}

let context: Context;
let roaming: Roaming;

beforeEach(() => {
  context = new Context();
  roaming = new Roaming(context, HOME, HOME, 0);
});

function answerTo(challenge: Uint8Array): Uint8Array {
  const answer = emptyMessage(ChallengeKind.answer);
  valueOf(answer).set(valueOf(challenge));
  return answer;
}

function hearFrom(source: Uint8Array, nowNs: number): void {
  roaming.heardFrom(source, nowNs);
  roaming.act(nowNs);
}

/** As the device tells it: what it says, then whence it came. */
function answer(source: Uint8Array | null, nowNs: number, challenge: Uint8Array = context.message): void {
  expect(roaming.onProbe(answerTo(challenge), 0, challenge.byteLength, source)).toBe(true);
  if (source !== null) roaming.heardFrom(source, nowNs);
  roaming.act(nowNs);
}

function hear(nowNs: number): void {
  roaming.heard();
  roaming.act(nowNs);
}

/** Searches from `nowNs` on. */
function search(nowNs: number): void {
  roaming.poll(nowNs, nowNs);
  expect(context.take()).toEqual(['open']);
}

/** Has moved to NEW at that time. */
function move(nowNs: number): void {
  search(nowNs);
  hearFrom(NEW, nowNs);
  answer(NEW, nowNs);
  expect(context.take()).toEqual([`ask ${formatEndpoint(NEW)}`, 'moved']);
}

describe('a peer that is heard', () => {
  it('stays where it is, whoever says what', () => {
    for (let i = 0; i < 10; i++) {
      hear(i);
      hearFrom(NEW, i);
      answer(NEW, i, emptyMessage(ChallengeKind.challenge));
      roaming.poll(i, SECOND);
    }
    expect([context.take(), roaming.isOpen, roaming.nextNs(SECOND)]).toEqual([[], false, SECOND]);
  });

  it('is answered, and nobody else is', () => {
    const challenge = emptyMessage(ChallengeKind.challenge);
    valueOf(challenge).fill(77);
    roaming.onProbe(challenge, 0, challenge.byteLength, NEW);
    roaming.act(0);
    expect(context.take()).toEqual([]);
    roaming.onProbe(challenge, 0, challenge.byteLength, null);
    roaming.act(0);
    expect(context.take()).toEqual([`answer ${formatEndpoint(HOME)}`]);
    expect(context.message).toEqual(answerTo(challenge));
  });

  it('is found where it was after a silence', () => {
    search(SECOND);
    expect(roaming.isOpen).toBe(true);
    hear(2 * SECOND);
    expect([context.take(), roaming.isOpen]).toEqual([[`connect ${formatEndpoint(HOME)}`], false]);
  });
});

describe('a peer that is heard elsewhere', () => {
  beforeEach(() => {
    search(SECOND);
  });

  it('is asked, followed when it answers from there, and connected to after a trial', () => {
    hearFrom(NEW, SECOND);
    answer(NEW, SECOND);
    expect(roaming.destination).toEqual(NEW);
    expect(context.take()).toEqual([`ask ${formatEndpoint(NEW)}`, 'moved']);
    for (let ns = SECOND; ns < 4 * SECOND; ns += 0.5 * SECOND) roaming.poll(ns, Infinity);
    expect(context.take()).toEqual(Array.from({ length: 6 }, () => `ask ${formatEndpoint(HOME)}`));
    roaming.poll(4 * SECOND, Infinity);
    expect([context.take(), roaming.isOpen]).toEqual([[`connect ${formatEndpoint(NEW)}`], false]);
    expect(roaming.moves).toBe(1);
  });

  it('gets no more than it sends', () => {
    for (let ms = 0; ms < 1000; ms++) hearFrom(NEW, SECOND + ms * 1e6);
    expect(context.take()).toHaveLength(10);
    for (let s = 2; s < 100; s++) roaming.poll(s * SECOND, 0);
    expect(context.take()).toEqual([]);
  });

  it('is not believed when the answer is wrong', () => {
    hearFrom(NEW, SECOND);
    answer(NEW, SECOND, emptyMessage(ChallengeKind.challenge));
    hearFrom(NEW, SECOND);
    expect([roaming.moves, roaming.destination]).toEqual([0, HOME]);
  });

  it('is not believed when it falls silent, though its answer comes from anywhere else', () => {
    hearFrom(NEW, SECOND);
    const challenge = context.message;
    answer(OTHER, SECOND, challenge);
    answer(null, SECOND, challenge);
    expect([roaming.moves, roaming.destination]).toEqual([0, HOME]);
  });

  it('is followed though somebody copies all that it says, and is always the faster one', () => {
    let nowNs = SECOND;
    const copied = (from: () => void): void => {
      from();
      // What it says itself is a twin then, and tells only whence it came.
      roaming.heardFrom(NEW, nowNs);
      roaming.act(nowNs);
    };
    for (; roaming.moves === 0 && nowNs < 5 * SECOND; nowNs += 0.1 * SECOND) {
      copied(() => roaming.heardFrom(OTHER, nowNs));
      // The copier passes nothing on: only what was sent to the peer is answered.
      const last = context.said.at(-1);
      if (last === `ask ${formatEndpoint(NEW)}`) {
        copied(() => {
          roaming.onProbe(answerTo(context.message), 0, context.message.byteLength, OTHER);
          roaming.heardFrom(OTHER, nowNs);
        });
      }
    }
    expect([roaming.destination, roaming.moves]).toEqual([NEW, 1]);
    expect(nowNs).toBeLessThan(2.5 * SECOND);
  });

  it('has to make way for another after a while', () => {
    hearFrom(OTHER, SECOND);
    const challenge = context.message;
    hearFrom(NEW, 1.5 * SECOND);
    expect(context.take()).toEqual([`ask ${formatEndpoint(OTHER)}`]);
    hearFrom(NEW, 2 * SECOND);
    expect(context.take()).toEqual([`ask ${formatEndpoint(NEW)}`]);
    // What the one was asked is no proof of the other.
    answer(NEW, 2 * SECOND, challenge);
    expect(roaming.moves).toBe(0);
    answer(NEW, 2 * SECOND);
    expect(roaming.moves).toBe(1);
  });

  it('is not asked any more when it is heard where it was', () => {
    hearFrom(NEW, SECOND);
    const challenge = context.message;
    hear(SECOND);
    answer(NEW, SECOND, challenge);
    expect([roaming.moves, roaming.isOpen]).toEqual([0, false]);
  });
});

describe('a trial', () => {
  beforeEach(() => {
    move(SECOND);
  });

  it('ends where the tunnel was before, when that answers', () => {
    roaming.poll(SECOND, Infinity);
    // It has got what it was asked, but says so from elsewhere: a translator that keeps the port before for a while.
    answer(NEW, SECOND);
    answer(null, SECOND);
    expect(roaming.destination).toEqual(NEW);
    roaming.heardFrom(OTHER, SECOND);
    roaming.act(SECOND);
    expect(roaming.destination).toEqual(NEW);
    roaming.heardFrom(HOME, SECOND);
    roaming.act(SECOND);
    expect(context.take()).toEqual([`ask ${formatEndpoint(HOME)}`, 'moved', `connect ${formatEndpoint(HOME)}`]);
  });

  it('is over when the peer is silent again', () => {
    roaming.poll(2 * SECOND, 2 * SECOND);
    hearFrom(OTHER, 2 * SECOND);
    answer(OTHER, 2 * SECOND);
    expect([roaming.moves, roaming.destination]).toEqual([2, OTHER]);
  });
});

describe('a peer that is lost', () => {
  it('is looked for where it was configured as well, once it has moved', () => {
    move(SECOND);
    roaming.poll(4 * SECOND, Infinity);
    roaming.poll(5 * SECOND, 5 * SECOND);
    context.take();
    const at: string[] = [];
    for (let s = 5; s < 20; s += 2.5) {
      if (roaming.nextNs(0) <= s * SECOND) roaming.poll(s * SECOND, 0);
      at.push(formatEndpoint(roaming.destination));
    }
    const [home, moved] = [formatEndpoint(HOME), formatEndpoint(NEW)];
    expect(at).toEqual([moved, moved, home, home, moved, moved]);
    roaming.poll(20 * SECOND, 0);
    hear(20 * SECOND);
    expect(context.take()).toEqual(['moved', `connect ${home}`]);
  });

  it('is found where it was last, also while it is looked for where it was configured', () => {
    move(SECOND);
    roaming.poll(2 * SECOND, 2 * SECOND);
    roaming.poll(7 * SECOND, 0);
    expect(roaming.destination).toEqual(HOME);
    context.take();
    hearFrom(NEW, 8 * SECOND);
    expect(context.take()).toEqual([`connect ${formatEndpoint(NEW)}`]);
  });

  it('is looked for as long as there is no way to it', () => {
    expect([roaming.lost(0), roaming.lost(0)]).toEqual([true, false]);
    context.isReachable = false;
    hear(1);
    expect([roaming.isOpen, context.take()]).toEqual([true, ['open', `connect ${formatEndpoint(HOME)}`, 'open']]);
    context.isReachable = true;
    hear(2);
    expect(roaming.isOpen).toBe(false);
  });

  it('is where the socket was connected to, for a process that begins', () => {
    const begun = new Roaming(context, HOME, NEW, 0);
    expect([begun.destination, context.take()]).toEqual([NEW, []]);
  });

  it('is looked for at once by a process whose predecessor did', () => {
    const begun = new Roaming(context, HOME, null, 0);
    expect([begun.destination, begun.isSearching, context.take()]).toEqual([HOME, true, ['open']]);
    begun.heard();
    begun.act(1);
    expect(context.take()).toEqual([`connect ${formatEndpoint(HOME)}`]);
  });

  it('is where it was configured when nothing is sealed', () => {
    const begun = new Roaming(context, HOME, null, 0, false);
    expect([begun.destination, begun.isSearching, context.take()]).toEqual([
      HOME,
      false,
      [`connect ${formatEndpoint(HOME)}`],
    ]);
  });

  it('may be where a handshake came from, which gets thrice what it sent at most', () => {
    search(SECOND);
    const { lead } = roaming;
    expect(lead.spend(1)).toBe(false);
    lead.heard(NEW, 100, SECOND);
    lead.heard(OTHER, 5000, SECOND);
    expect([lead.endpoint, lead.spend(200), lead.spend(101), lead.spend(100)]).toEqual([NEW, true, false, true]);
    // Another's turn begins with nothing of the first one's.
    lead.heard(NEW, 500, SECOND);
    lead.heard(OTHER, 10, 2 * SECOND);
    expect([lead.endpoint, lead.spend(31), lead.spend(30)]).toEqual([OTHER, false, true]);
    // Nor does a search with what was left from the last one.
    lead.heard(OTHER, 500, 2 * SECOND);
    hear(2 * SECOND);
    roaming.poll(3 * SECOND, 3 * SECOND);
    expect([roaming.isSearching, lead.spend(1)]).toEqual([true, false]);
  });
});
