import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readCgroupRoom } from './cgroup-room.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'luthier-cgroups-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

/** A file system with these files. */
function files(texts: Readonly<Record<string, string | number>>): void {
  for (const [name, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${text}\n`);
  }
}

const V2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';
const v2 = (group: string): void => {
  files({
    'proc/self/mountinfo': V2,
    'proc/self/cgroup': `0::${group}`,
    'sys/fs/cgroup/cgroup.controllers': 'cpu memory pids',
  });
};

describe('what the cgroups leave', () => {
  it('is unknown where there are none, or none that are limited', () => {
    expect(readCgroupRoom(root)).toEqual({ processes: undefined, memory: undefined });
    v2('/user.slice/session-1.scope');
    files({
      'sys/fs/cgroup/user.slice/pids.max': 'max',
      'sys/fs/cgroup/user.slice/pids.current': 12,
      'sys/fs/cgroup/user.slice/memory.max': 'max',
      'sys/fs/cgroup/user.slice/memory.current': 4096,
    });
    expect(readCgroupRoom(root)).toEqual({ processes: undefined, memory: undefined });
  });

  it('is what the tightest of ours and those above leaves, and of two alike the nearer one', () => {
    v2('/user.slice/user-1000.slice/session-1.scope');
    const slice = 'sys/fs/cgroup/user.slice';
    files({
      [`${slice}/user-1000.slice/session-1.scope/pids.max`]: 1000,
      [`${slice}/user-1000.slice/session-1.scope/pids.current`]: 100,
      [`${slice}/user-1000.slice/pids.max`]: 500,
      [`${slice}/user-1000.slice/pids.current`]: 200,
      [`${slice}/pids.max`]: 600,
      [`${slice}/pids.current`]: 300,
    });
    expect(readCgroupRoom(root).processes).toEqual({
      limit: 500,
      used: 200,
      file: `/${slice}/user-1000.slice/pids.max`,
    });
    files({ [`${slice}/pids.current`]: 450 });
    expect(readCgroupRoom(root).processes).toEqual({ limit: 600, used: 450, file: `/${slice}/pids.max` });
  });

  it('counts memory that the kernel takes back when it is asked for as free', () => {
    v2('/a');
    files({
      'sys/fs/cgroup/a/memory.max': 1000,
      'sys/fs/cgroup/a/memory.current': 900,
      'sys/fs/cgroup/a/memory.stat':
        'anon 400\nfile 350\ninactive_anon 40\ninactive_file 200\nactive_file 150\nslab_reclaimable 50\nslab 60',
    });
    expect(readCgroupRoom(root).memory).toEqual({ limit: 1000, used: 500, file: '/sys/fs/cgroup/a/memory.max' });
  });

  it('is read of version 1 beside a version 2 without controllers, each where it is mounted', () => {
    files({
      'proc/self/mountinfo': [
        '32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct',
        '35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
        '39 31 0:36 / /sys/fs/cgroup/pids\\040of\\040all rw - cgroup cgroup rw,pids',
        '41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
      ].join('\n'),
      'proc/self/cgroup': '8:pids:/box\n4:memory:/box/inner\n1:cpu,cpuacct:/\n0::/',
      'sys/fs/cgroup/unified/cgroup.controllers': '',
      'sys/fs/cgroup/pids of all/box/pids.max': 64,
      'sys/fs/cgroup/pids of all/box/pids.current': 4,
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
      'sys/fs/cgroup/memory/memory.usage_in_bytes': 12345,
      'sys/fs/cgroup/memory/box/memory.limit_in_bytes': 1000,
      'sys/fs/cgroup/memory/box/memory.usage_in_bytes': 700,
      'sys/fs/cgroup/memory/box/memory.stat': 'inactive_file 1\ntotal_inactive_file 100\ntotal_active_file 50',
      'sys/fs/cgroup/memory/box/inner/memory.limit_in_bytes': '9223372036854771712',
      'sys/fs/cgroup/memory/box/inner/memory.usage_in_bytes': 600,
    });
    expect(readCgroupRoom(root)).toEqual({
      processes: { limit: 64, used: 4, file: '/sys/fs/cgroup/pids of all/box/pids.max' },
      memory: { limit: 1000, used: 550, file: '/sys/fs/cgroup/memory/box/memory.limit_in_bytes' },
    });
  });

  it.each([
    ['is bound into it', '/docker/1234', '/docker/1234', ''],
    ['is bound into it, and ours is below', '/docker/1234', '/docker/1234/app', '/app'],
    ['has its own name space', '/', '/', ''],
    ['is not to be seen', '/docker/1234', '/elsewhere', ''],
  ])('of a container is that of its group, which %s', (_, top, own, folder) => {
    files({
      'proc/self/mountinfo': `39 31 0:36 ${top} /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids`,
      'proc/self/cgroup': `8:pids:${own}`,
      [`sys/fs/cgroup/pids${folder}/pids.max`]: 64,
      [`sys/fs/cgroup/pids${folder}/pids.current`]: 4,
    });
    const file = `/sys/fs/cgroup/pids${folder}/pids.max`;
    expect(readCgroupRoom(root).processes).toEqual({ limit: 64, used: 4, file });
  });

  it.each([
    ['before ours', ['/other.slice /mnt/other', '/ /sys/fs/cgroup']],
    ['after ours', ['/ /sys/fs/cgroup', '/other.slice /mnt/other']],
    ['with a part of ours', ['/mine /mnt/mine', '/ /sys/fs/cgroup', '/other.slice /mnt/other']],
  ])("is not that of somebody else's group that is mounted too, %s", (_, mounts) => {
    files({
      'proc/self/mountinfo': mounts.map((mount, i) => `${30 + i} 23 0:26 ${mount} rw - cgroup2 cgroup2 rw`).join('\n'),
      'proc/self/cgroup': '0::/mine/inner',
      'mnt/other/cgroup.controllers': 'memory pids',
      'mnt/other/pids.max': 5,
      'mnt/other/pids.current': 4,
      'mnt/mine/cgroup.controllers': 'memory pids',
      'mnt/mine/pids.max': 1000,
      'mnt/mine/pids.current': 4,
      'sys/fs/cgroup/cgroup.controllers': 'memory pids',
      'sys/fs/cgroup/mine/pids.max': 1000,
      'sys/fs/cgroup/mine/pids.current': 4,
      'sys/fs/cgroup/mine/inner/pids.max': 'max',
      'sys/fs/cgroup/mine/inner/pids.current': 2,
    });
    expect(readCgroupRoom(root).processes).toEqual({ limit: 1000, used: 4, file: '/sys/fs/cgroup/mine/pids.max' });
  });

  it('is unknown of a group outside of the name space', () => {
    v2('/../other');
    files({ 'sys/fs/cgroup/pids.max': 5, 'sys/fs/cgroup/pids.current': 4 });
    expect(readCgroupRoom(root).processes).toBeUndefined();
  });

  it('is read on this machine', () => {
    for (const room of Object.values(readCgroupRoom()))
      if (room !== undefined) expect(room).toMatchObject({ file: expect.stringMatching(/^\/.*max|limit/) as string });
  });
});
