import { expect, it } from 'vitest';
import { isMachineRoot, readPrivileges } from './privileges.js';

const status = (uid: number, effective: string): string =>
  `Name:\tnode\nUid:\t1\t${uid}\t1\t1\nCapEff:\t${effective}\n`;
const MACHINE = '         0          0 4294967295\n';
const ALL = '000001ffffffffff';

it.each([
  ['root', status(0, ALL), MACHINE, true],
  ['root of a virtual machine without CAP_SYS_RESOURCE', status(0, '000001fffeffffff'), MACHINE, true],
  ['an ordinary user', status(1000, '0000000000000000'), MACHINE, false],
  ['an ordinary user with capabilities', status(1000, ALL), MACHINE, false],
  ['root of a container', status(0, '00000000a80425fb'), MACHINE, false],
  ['root of a user namespace of one user', status(0, ALL), '         0       1000          1\n', false],
  ['root of a container with a range of users', status(0, ALL), '         0     100000      65536\n', false],
  ['root of a user namespace of all users', status(0, ALL), '0 0 1000\n1000 1000 4294966295\n', true],
])('%s', (_, text, uidMap, machine) => {
  expect(isMachineRoot(readPrivileges(text, uidMap))).toBe(machine);
});

it('names what a root lacks', () => {
  expect(readPrivileges(status(0, '00000000a80425fb'), MACHINE).lacking).toEqual(['CAP_NET_ADMIN', 'CAP_SYS_ADMIN']);
});
