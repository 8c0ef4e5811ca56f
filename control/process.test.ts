import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { endProcess, isAlive, processId } from './process.js';

it('knows a process by pid and start time', async () => {
  const child = spawn('sleep', ['100']);
  const id = processId(child.pid!)!;
  expect(isAlive(id)).toBe(true);
  expect(isAlive({ ...id, start: id.start + 1 })).toBe(false);
  await endProcess(id, 1000);
  expect(isAlive(id)).toBe(false);
});

it('kills what does not end by itself', async () => {
  const child = spawn('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 1; done']);
  await once(child.stdout, 'data');
  const id = processId(child.pid!)!;
  await endProcess(id, 50);
  expect(isAlive(id)).toBe(false);
});

it('leaves another process alone that has the pid now', async () => {
  const child = spawn('sleep', ['100']);
  const id = processId(child.pid!)!;
  await endProcess({ pid: id.pid, start: id.start - 1 }, 50);
  expect(isAlive(id)).toBe(true);
  child.kill('SIGKILL');
});

it('has no id for a pid that does not exist', () => {
  expect(processId(2 ** 22 + 1)).toBeUndefined();
});
