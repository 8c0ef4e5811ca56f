import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Journal, journalFiles, type JournalHeader } from './journal.js';

const header: JournalHeader = {
  luthier: 1,
  boot: 'b',
  name: 'n',
  number: 0xabc,
  uid: 1,
  since: '2026-01-01T00:00:00.000Z',
  memoryBytes: 1 << 26,
  network: { name: 'n', seed: 1, machines: [], nodes: [], links: [], lans: [], names: [] },
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

  it('goes with the network', () => {
    Journal.create(file, header).remove();
    expect(existsSync(join(directory, '00000abc'))).toBe(false);
  });
});
