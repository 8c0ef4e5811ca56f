import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLatencyRequests } from './processors.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'luthier-processors-'));
  writeFileSync(join(directory, 'driver'), 'haltpoll\n');
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const open = (device: string, driver = join(directory, 'driver')): ReturnType<typeof openLatencyRequests> =>
  openLatencyRequests(2, device, driver);

describe.skipIf(cpus().length > 16)('requests that processors are awake (skipped: more than 16 processors)', () => {
  it('are opened one for each engine', () => {
    const fds = open('/dev/null') as number[];
    expect(new Set(fds).size).toBe(2);
    for (const fd of fds) closeSync(fd);
  });

  it('make no device where there is none, and write to nothing else', () => {
    const path = join(directory, 'device');
    expect(open(path)).toBe('device');
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, 'a file');
    expect([open(path), readFileSync(path, 'utf8')]).toEqual(['device', 'a file']);
  });

  it('are for machines on which somebody hears them', () => {
    writeFileSync(join(directory, 'none'), 'none\n');
    expect(open('/dev/null', join(directory, 'none'))).toBe('driver');
    expect(open('/dev/null', join(directory, 'absent'))).toBe('driver');
  });
});
