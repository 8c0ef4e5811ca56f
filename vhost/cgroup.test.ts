import { describe, expect, it } from 'vitest';
import { planCgroups, type CgroupMounts } from './cgroup.js';

const v1: CgroupMounts = {
  v1: new Map([
    ['cpu', '/c/cpu'],
    ['memory', '/c/memory'],
  ]),
  v2: { path: '/c/unified', controllers: [] },
};
const v2: CgroupMounts = { v1: new Map(), v2: { path: '/c', controllers: ['cpu', 'memory', 'pids'] } };

describe('planCgroups', () => {
  it('makes nothing for a host without limits', () => {
    expect(planCgroups(v1, 'n/h', {})).toEqual([]);
  });

  it('uses v1 where v2 has no controllers, one group a controller', () => {
    expect(planCgroups(v1, 'n/h', { cpu: 0.5, memoryBytes: 1 << 28 })).toEqual([
      {
        directory: '/c/cpu/luthier/n/h',
        controllers: [],
        files: { 'cpu.cfs_period_us': '100000', 'cpu.cfs_quota_us': '50000' },
        optional: {},
      },
      {
        directory: '/c/memory/luthier/n/h',
        controllers: [],
        files: { 'memory.limit_in_bytes': '268435456' },
        optional: { 'memory.memsw.limit_in_bytes': '268435456' },
      },
    ]);
  });

  it('uses one group of v2 for both', () => {
    expect(planCgroups(v2, 'n/h', { cpu: 2, memoryBytes: 4096 })).toEqual([
      {
        directory: '/c/luthier/n/h',
        controllers: ['cpu', 'memory'],
        files: { 'cpu.max': '200000 100000', 'memory.max': '4096' },
        optional: { 'memory.swap.max': '0' },
      },
    ]);
  });

  it('says which controller is missing', () => {
    expect(() => planCgroups({ v1: new Map() }, 'n/h', { cpu: 1 })).toThrow(/no cgroup controller 'cpu'/);
  });
});
