/**
 * What this process may do to the machine, read from /proc. Root works on the machine itself; everybody else works in a
 * user namespace (`user-namespace.ts`): an ordinary user, a container's root without the capabilities, and root of a
 * user namespace that has too few users for the switch processes.
 */
import { readFileSync } from 'node:fs';

/** The switch processes of each network have a uid from here on: far above what distributions give out, below 2³¹. */
export const SWITCH_UIDS = { first: 0x6000_0000, count: 0x1000_0000 } as const;

/** capabilities(7): bits of CapEff in /proc/PID/status. */
const NEEDED_CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 };

export interface Privileges {
  readonly root: boolean;
  /** Of those that namespaces and interfaces need. */
  readonly lacking: readonly string[];
  /** Whether switch processes can have a user of their own each. */
  readonly switchUids: boolean;
}

export function readPrivileges(
  status = readFileSync('/proc/self/status', 'utf8'),
  uidMap = readFileSync('/proc/self/uid_map', 'utf8'),
): Privileges {
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)![1]!;
  const effective = BigInt(`0x${field('CapEff')}`);
  return {
    root: field('Uid').split(/\s+/)[1] === '0',
    lacking: Object.entries(NEEDED_CAPABILITIES)
      .filter(([, bit]) => ((effective >> BigInt(bit)) & 1n) === 0n)
      .map(([capability]) => capability),
    switchUids: mapsSwitchUids(uidMap),
  };
}

/** Whether it works on the machine itself, without a user namespace. */
export function isMachineRoot({ root, lacking, switchUids } = readPrivileges()): boolean {
  return root && lacking.length === 0 && switchUids;
}

/** user_namespaces(7): each line is the first uid inside, the first outside, and how many. */
function mapsSwitchUids(uidMap: string): boolean {
  return uidMap
    .trim()
    .split('\n')
    .some((line) => {
      const [inside = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
      return inside <= SWITCH_UIDS.first && inside + count >= SWITCH_UIDS.first + SWITCH_UIDS.count;
    });
}
