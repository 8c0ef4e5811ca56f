import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_INPUTS, PLAIN } from '../model/emulation.js';
import type { Network } from '../model/network.js';
import { Journal } from './journal.js';
import { LiveNetwork } from './live.js';
import { NetworkPaths } from './paths.js';
import { bootId } from './process.js';

const NUMBER = 0xabc;
const EVENTS = 20_000;

const network: Network = {
  name: 'n',
  seed: 1,
  seal: 'auto',
  machines: [],
  nodes: [],
  links: [{ name: 'a--b', id: 1, ends: [{ node: 'a' }, { node: 'b' }], forward: PLAIN, reverse: PLAIN }],
  lans: [],
  inputs: NO_INPUTS,
  events: Array.from({ length: EVENTS }, (_, i) => ({ atNs: i * 1_000, link: 'a--b', set: { delay: `${i + 1}ns` } })),
  passedEvents: 0,
  names: [],
};

describe('LiveNetwork', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'luthier-live-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('says of which moment it is: all events until then have passed, and none that comes later', () => {
    const paths = new NetworkPaths({ state: join(directory, 'state'), runtime: join(directory, 'run') }, NUMBER);
    const header = {
      luthier: 1,
      boot: bootId(),
      name: 'n',
      number: NUMBER,
      uid: 1,
      since: '',
      memoryBytes: 1,
    } as const;
    const journal = Journal.create(paths.journal, { ...header, network });
    const live = new LiveNetwork(journal, paths, { switchEnv: {}, home: '/' });
    expect(live.present).toEqual({ network, nowNs: -Infinity });
    journal.append({ op: 'zero', monotonicNs: Number(process.hrtime.bigint()) + 1e6, at: '' });
    let passed = 0;
    while (passed < EVENTS) {
      const { network: now, nowNs } = live.present;
      passed = now.passedEvents;
      expect(passed).toBe(Math.min(Math.max(Math.floor(nowNs / 1_000) + 1, 0), EVENTS));
      if (passed > 0) expect(now.links[0]!.forward.emulation?.delayNs).toBe(passed);
    }
    journal.close();
  });
});
