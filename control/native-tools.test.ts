import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { isRoot, KeeperFixture, nsrunPath } from '../native/fixture.js';
import { lacksProcesses, runSections } from './native-tools.js';

it.skipIf(!isRoot)('configures hosts side by side, the others though one fails', async () => {
  await using keeper = await KeeperFixture.start();
  const inits = Array.from({ length: 20 }, (_, i) => keeper.host(`h${i}`));
  const forwarding = () =>
    inits.map((init) =>
      execFileSync(nsrunPath, ['exec', String(init), '--', 'cat', '/proc/sys/net/ipv4/ip_forward'], {
        encoding: 'utf8',
      }).trim(),
    );
  const sections = (last: string) =>
    inits.map((init, i) => [`@${init}`, `sysctl net/ipv4/ip_forward ${i < 19 ? '1' : last}`]);
  await runSections([]);
  // The last of its batch, so that nothing else is left undone.
  await expect(runSections(sections('many'))).rejects.toThrow(
    /cannot configure the network: section @\d+: line \d+: sysctl net\/ipv4\/ip_forward many: Invalid argument/,
  );
  expect(forwarding()).toEqual(inits.map((_, i) => (i < 19 ? '1' : '0')));
  await runSections(sections('1'));
  expect(forwarding()).toEqual(inits.map(() => '1'));
});

it('tells a want of processes from other failures of a batch', () => {
  expect(lacksProcesses({ code: 'EAGAIN' }, '')).toBe(true);
  expect(lacksProcesses({ code: 1 }, 'nsrun: ip: Resource temporarily unavailable\n')).toBe(true);
  expect(lacksProcesses({ code: 1 }, 'nsrun: ip: No such file or directory\n')).toBe(false);
  const busy = 'section @1: line 1: sysctl net/x 1: Resource temporarily unavailable\n';
  expect(lacksProcesses({ code: 1 }, busy)).toBe(false);
});
