import { NO_INPUTS } from '../model/emulation.js';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Link, Network } from '../model/network.js';
import { Journal, journalFiles, type JournalHeader, type JournalState } from './journal.js';
import { eventKey } from './schedule.js';

const header: JournalHeader = {
  luthier: 1,
  boot: 'b',
  name: 'n',
  number: 0xabc,
  uid: 1,
  since: '2026-01-01T00:00:00.000Z',
  memoryBytes: 1 << 26,
  network: {
    name: 'n',
    seed: 1,
    seal: 'auto',
    machines: [],
    nodes: [],
    links: [],
    lans: [],
    inputs: NO_INPUTS,
    events: [],
    passedEvents: 0,
    names: [],
  },
};

describe('Journal', () => {
  let directory: string;
  let file: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'luthier-journal-'));
    file = join(directory, '00000abc', 'journal.jsonl');
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('gives back what was recorded', () => {
    const journal = Journal.create(file, header);
    journal.append({ op: 'make', action: 'keeper' });
    journal.append({ op: 'made', processes: { keeper: { pid: 5, start: 9 } } });
    journal.append({ op: 'cgroup', directory: '/sys/fs/cgroup/luthier/x' });
    journal.append({ op: 'status', status: 'running' });
    journal.close();
    const { state } = Journal.open(file)!;
    expect(state).toEqual(journal.state);
    expect(state.header).toEqual(header);
    expect([...state.actions]).toEqual(['keeper']);
    expect(state.processes.get('keeper')).toEqual({ pid: 5, start: 9 });
    expect(state.status).toBe('running');
  });

  it('refuses to begin where a network is recorded already', () => {
    Journal.create(file, header).close();
    expect(() => Journal.create(file, header)).toThrow(/EEXIST/);
  });

  it('ignores a line that was cut short at any byte, and goes on after it', () => {
    const journal = Journal.create(file, header);
    journal.append({ op: 'make', action: 'keeper' });
    journal.close();
    const whole = readFileSync(file, 'utf8');
    const line = '{"op":"make","action":"hosts"}';
    for (let cut = 1; cut < line.length; cut++) {
      rmSync(file);
      appendFileSync(file, whole + line.slice(0, cut));
      const reopened = Journal.open(file)!;
      expect([...reopened.state.actions]).toEqual(['keeper']);
      reopened.append({ op: 'make', action: 'ports' });
      reopened.close();
      expect([...Journal.open(file)!.state.actions]).toEqual(['keeper', 'ports']);
    }
  });

  it('has nothing to tell when not even the header was written', () => {
    Journal.create(file, header).close();
    const whole = readFileSync(file, 'utf8');
    rmSync(file);
    appendFileSync(file, whole.slice(0, 20));
    expect(Journal.open(file)).toBeUndefined();
  });

  it('lists the journals of a state directory, which need not exist', () => {
    Journal.create(file, header).close();
    expect(journalFiles({ state: directory, runtime: directory })).toEqual([file]);
    expect(journalFiles({ state: join(directory, 'none'), runtime: directory })).toEqual([]);
  });

  it('tells its observer of each record before and after it is on the disk', () => {
    const told: string[] = [];
    const journal = Journal.create(file, header, (when, what) => {
      const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 'none';
      told.push(`${when} ${typeof what === 'string' ? what : 'op' in what ? what.op : 'header'}: ${lines}`);
    });
    journal.append({ op: 'status', status: 'running' });
    journal.remove();
    const first = ['before header: 0', 'after header: 1'];
    expect(told).toEqual([...first, 'before status: 1', 'after status: 2', 'before removal: 2', 'after removal: none']);
  });

  describe('of a change', () => {
    const wanted: Network = { ...header.network, seed: 2 };
    const running = (): Journal => {
      const journal = Journal.create(file, header);
      journal.append({ op: 'make', action: 'hosts' });
      journal.append({ op: 'made', processes: { keeper: { pid: 5, start: 9 }, 'host:h1': { pid: 6, start: 9 } } });
      journal.append({ op: 'cgroup', directory: '/cgroup/h1' });
      journal.append({ op: 'status', status: 'running' });
      return journal;
    };
    /** As the next agent reads it: what is in memory is on the disk. */
    const reopened = (journal: Journal): JournalState => {
      const { state } = Journal.open(file)!;
      expect(state).toEqual(journal.state);
      return state;
    };

    it('counts what ran until the commit, and then what is wanted', () => {
      const journal = running();
      journal.append({ op: 'change', network: wanted, file: 'new.yaml', memoryBytes: 1 << 20, compensation: false });
      expect(reopened(journal)).toMatchObject({ status: 'changing', header });
      expect(journal.state.change!.header).toEqual({
        ...header,
        network: wanted,
        file: 'new.yaml',
        memoryBytes: 1 << 20,
        compensation: false,
      });
      journal.append({ op: 'restart', node: 'h1' });
      expect([...reopened(journal).change!.restarted]).toEqual(['h1']);
      journal.append({ op: 'commit' });
      const { status, header: now, change } = reopened(journal);
      expect([status, now.network, now.file]).toEqual(['clearing', wanted, 'new.yaml']);
      expect(change!.from).toEqual(header.network);
    });

    it('is as if the network had come up that way when it is complete', () => {
      const journal = running();
      journal.append({ op: 'change', network: wanted, memoryBytes: 1 << 26 });
      journal.append({ op: 'made', processes: { 'host:h2': { pid: 7, start: 9 } } });
      journal.append({ op: 'cgroup', directory: '/cgroup/h2' });
      journal.append({ op: 'commit' });
      journal.append({ op: 'ended', roles: ['host:h1'] });
      journal.append({ op: 'lifted', directory: '/cgroup/h1' });
      journal.complete();
      const { status, change, processes, cgroups, actions } = reopened(journal);
      expect([status, change]).toEqual(['running', undefined]);
      expect([...processes.keys()]).toEqual(['keeper', 'host:h2']);
      expect([...cgroups]).toEqual(['/cgroup/h2']);
      expect([...actions]).toEqual(['hosts']);
      const lines = readFileSync(file, 'utf8');
      expect(JSON.parse(lines.slice(0, lines.indexOf('\n')))).toEqual({ ...header, network: wanted });
      expect(lines).not.toContain('"commit"');
      journal.append({ op: 'make', action: 'ports' });
      expect([...reopened(journal).actions]).toEqual(['hosts', 'ports']);
    });

    it('leaves what ran when it was taken back', () => {
      const journal = running();
      journal.append({ op: 'change', network: wanted, memoryBytes: 1 << 26 });
      journal.append({ op: 'status', status: 'running' });
      expect(reopened(journal)).toMatchObject({ status: 'running', header, change: undefined });
    });

    it('refuses a commit of no change', () => {
      running().close();
      appendFileSync(file, '{"op":"commit"}\n');
      expect(() => Journal.open(file)).toThrow(/makes no sense: a commit without a change/);
    });
  });

  describe('of links', () => {
    const link: Link = {
      name: 'h1--s1',
      id: 1,
      ends: [{ node: 'h1', port: 'eth0' }, { node: 's1' }],
      forward: { state: 'up' },
      reverse: { state: 'up' },
    };
    const event = { atNs: 5e9, link: 'h1--s1', from: 'h1', set: { delay: '20ms' } } as const;
    const withEvent: JournalHeader = { ...header, network: { ...header.network, links: [link], events: [event] } };
    const linksIn = (journal: Journal): readonly Link[] => {
      const { state } = Journal.open(file)!;
      expect(state).toEqual(journal.state);
      return state.header.network.links;
    };

    it('keeps what one was changed to by hand, and what events had made of it before', () => {
      const journal = Journal.create(file, withEvent);
      journal.append({ op: 'zero', monotonicNs: 1e12, at: '2026-01-01T00:00:01.000Z' });
      journal.append({ op: 'link', atNs: 4e9, link: { ...link, reverse: { state: 'down' } } });
      expect(linksIn(journal)).toEqual([{ ...link, reverse: { state: 'down' } }]);
      expect(journal.state.header.network.passedEvents).toBe(0);
      journal.append({ op: 'link', atNs: 5e9, link });
      expect(linksIn(journal)).toEqual([link]);
      expect(journal.state.header.network.passedEvents).toBe(1);
      expect(journal.state.header.zero).toEqual({ monotonicNs: 1e12, at: '2026-01-01T00:00:01.000Z' });
      expect([...journal.state.changedLinks]).toEqual(['h1--s1']);
    });

    it('keeps when events happened, through a change too, as long as there are such events', () => {
      const journal = Journal.create(file, withEvent);
      journal.append({ op: 'status', status: 'running' });
      journal.append({ op: 'zero', monotonicNs: 1e12, at: '2026-01-01T00:00:01.000Z' });
      journal.append({ op: 'happened', event, doneNs: 5.1e9 });
      const other = { ...event, atNs: 9e9 };
      journal.append({ op: 'change', network: { ...withEvent.network, events: [event, other] }, memoryBytes: 1 });
      journal.append({ op: 'commit' });
      journal.complete();
      const { header: now, happened } = Journal.open(file)!.state;
      expect([...happened]).toEqual([[eventKey(event), 5.1e9]]);
      expect([now.zero?.monotonicNs, now.network.events.length]).toEqual([1e12, 2]);
      journal.append({ op: 'change', network: { ...withEvent.network, events: [other] }, memoryBytes: 1 });
      journal.append({ op: 'commit' });
      journal.complete();
      expect(Journal.open(file)!.state.happened.size).toBe(0);
    });

    it('reads the state that one was given by hand, as it was recorded once', () => {
      const journal = Journal.create(file, withEvent);
      journal.append({ op: 'link', link: 'h1--s1', state: 'down' });
      expect(linksIn(journal)).toEqual([{ ...link, forward: { state: 'down' }, reverse: { state: 'down' } }]);
      journal.append({ op: 'link', link: 'h1--s1', state: 'up' });
      journal.append({ op: 'link', link: 'h9--s1', state: 'down' });
      expect(linksIn(journal)).toEqual([link]);
    });
  });

  it('reads a network that was recorded when there were no events', () => {
    const { inputs, events, passedEvents, ...network } = header.network;
    const wanted = { ...network, seed: 2 } as Network;
    const journal = Journal.create(file, { ...header, network: network as Network });
    journal.append({ op: 'status', status: 'running' });
    journal.append({ op: 'change', network: wanted, memoryBytes: 1 });
    journal.close();
    const { state } = Journal.open(file)!;
    expect(state.header).toEqual(header);
    expect(state.change?.header.network).toEqual({ ...wanted, inputs, events, passedEvents });
  });

  it('goes with the network', () => {
    Journal.create(file, header).remove();
    expect(existsSync(join(directory, '00000abc'))).toBe(false);
  });
});
