import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { choose, PEER_NAMES } from './index.js';
import { knowsMtu } from './tinc.js';

const folder = mkdtempSync(join(tmpdir(), 'luthier-peers-'));
mkdirSync(join(folder, 'bin'));
for (const program of ['vde_switch', 'edge', 'ovsdb-server'])
  writeFileSync(join(folder, 'bin', program), '', { mode: 0o755 });
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const path = join(folder, 'bin');

describe('which peers are measured', () => {
  it('is those that are here, and of the others how to get them', () => {
    const { peers, absent, places } = choose(undefined, path);
    expect(peers.map(({ name }) => name)).toEqual(['vde']);
    expect([...places]).toEqual(['switch', 'machines']);
    expect(absent.map(({ name, install }) => [name, install])).toEqual([
      ['ovs', 'apt-get install openvswitch-switch ethtool'],
      ['n2n', 'apt-get install n2n'],
      ['tinc', 'apt-get install tinc'],
      ['wireguard-go', 'apt-get install wireguard-go'],
    ]);
    expect(absent[1]!.reason).toBe('this machine does not have supernode');
  });

  it('is those that were asked for, in their place beside the kernel’s own', () => {
    expect(choose(['vde'], path)).toMatchObject({ peers: [{ name: 'vde' }], absent: [], places: new Set(['switch']) });
    expect(choose(['vxlan'], path)).toEqual({ peers: [], absent: [], places: new Set(['machines']) });
  });

  it('refuses a name that there is not, with the nearest', () => {
    const refusal = (name: string): unknown => {
      try {
        return choose(['vde', name], path);
      } catch (error) {
        return error;
      }
    };
    expect(refusal('vdee')).toMatchObject({ code: 'E_USAGE', hint: 'did you mean "vde"?' });
    expect(refusal('zerotier')).toMatchObject({ hint: `there is ${PEER_NAMES.join(', ')}` });
  });
});

it('reads from tinc whether it knows the MTU', () => {
  const line = (min: number, max: number): string =>
    ` two at 100.64.0.2 port 655 cipher 91 digest 64 maclength 4 options c status 001a pmtu ${max} (min ${min} max ${max})\n`;
  expect([line(0, 1518), line(0, 0), line(1400, 1451), line(1451, 1451)].map(knowsMtu)).toEqual([
    false,
    false,
    false,
    true,
  ]);
});
