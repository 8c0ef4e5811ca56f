import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StateError } from '../model/errors.js';
import { AgentClient } from './client.js';
import { makeFolders, requireOwnFolders } from './folders.js';
import type { Paths } from './paths.js';

let folder: string;
let paths: Paths;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'luthier-folders-'));
  paths = { runtime: join(folder, 'run/luthier'), state: join(folder, 'state/luthier') };
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

it('makes them, and finds its own again', () => {
  makeFolders(paths);
  makeFolders(paths);
  expect(statSync(paths.state).mode & 0o7777).toBe(0o700);
  expect(statSync(paths.runtime).mode & 0o077).toBe(0o011);
});

describe('refuses, and makes nothing,', () => {
  it.each<[string, (path: string) => void, RegExp]>([
    ['a file', (path) => writeFileSync(path, ''), /is no folder/],
    ['a link, wherever it leads', (path) => symlinkSync(folder, path), /is no folder/],
    [
      'a folder that others may write to',
      (path) => {
        mkdirSync(path);
        chmodSync(path, 0o1777);
      },
      /may be written by other users \(mode 1777\)/,
    ],
  ])('%s', async (_, make, why) => {
    mkdirSync(join(folder, 'run'));
    make(paths.runtime);
    for (const attempt of [() => makeFolders(paths), () => requireOwnFolders(paths)]) {
      expect(attempt).toThrow(StateError);
      expect(attempt).toThrow(why);
    }
    await expect(AgentClient.connect(paths)).rejects.toThrow(why);
    await expect(AgentClient.tryConnect(paths)).rejects.toThrow(why);
    expect(existsSync(paths.state)).toBe(false);
  });

  it('what fails half-way', () => {
    writeFileSync(join(folder, 'file'), '');
    const runtime = `${folder}/new/../file/below`;
    expect(() => makeFolders({ ...paths, runtime })).toThrow(/cannot use .*file\/below: /);
    expect(readdirSync(folder)).toEqual(['file']);
  });

  it('what turns out to be of another user in the end', () => {
    vi.spyOn(process, 'geteuid').mockReturnValue(process.geteuid!() + 1);
    expect(() => makeFolders(paths)).toThrow('belongs to another user');
    expect(readdirSync(folder)).toEqual([]);
  });

  it("another user's folder", () => {
    makeFolders(paths);
    const uid = process.geteuid!();
    vi.spyOn(process, 'geteuid').mockReturnValue(uid + 1);
    expect(() => makeFolders(paths)).toThrow(`${paths.runtime} belongs to another user (uid ${uid})`);
  });
});
