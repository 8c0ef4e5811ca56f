/**
 * A thousand hosts on one switch, for the test of limits and its benchmark: the scenario, every host pinging every tenth,
 * and what the processes of the network hold.
 *
 * Every pair would ask for its addresses by ARP first, and a switch floods each question to all: 100 000 questions to 1000
 * hosts are 100 million frames, on this switch as on any. So one question a host is asked for real (`reachByArp`), and the
 * other neighbours are entered beforehand (`introduce`).
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { nsrunPath, runSections } from '../../control/native-tools.js';
import type { NetworkState } from '../../model/messages.js';

const FPINGS_AT_ONCE = 16;
export function crowd(hosts: number): string {
  const names = Array.from({ length: hosts }, (_, i) => `h${i + 1}`);
  return [
    `name: crowd`,
    'nodes:',
    '  s1: { kind: switch, subnet: 10.0.0.0/16 }',
    ...names.map((name) => `  ${name}: { kind: host }`),
    'links:',
    ...names.map((name) => `  - { endpoints: [${name}, s1] }`),
  ].join('\n');
}

interface Member {
  readonly pid: number;
  readonly mac: string;
  readonly address: string;
}

export function membersOf(network: NetworkState): Member[] {
  return network.nodes.flatMap(({ pid, ports: [port] }) =>
    pid === undefined || port === undefined || !('mac' in port)
      ? []
      : [{ pid, mac: port.mac, address: port.addresses[0]!.split('/')[0]! }],
  );
}

export const everyTenth = <T>(members: readonly T[]): T[] => members.filter((_, i) => i % 10 === 9);

export interface Pings {
  readonly sent: number;
  readonly received: number;
  /** Who got no answer, and from whom, to any of the attempts. */
  readonly unanswered: readonly { from: Member; address: string }[];
  readonly ms: number;
}

/** Every host pings every tenth. An echo that is not answered is sent again, as `fping` does. */
export function pingEveryTenth(members: readonly Member[]): Promise<Pings> {
  const targets = everyTenth(members);
  return ping(members, (from) => targets.filter((target) => target !== from), 5);
}

/**
 * Resolves, with the time that it took, when every host has had an answer from the tenth of its own ten, found by ARP.
 * In the seconds after `up` the switch has much to flood: each host announces its multicast groups, and asks for routers.
 */
export async function reachByArp(members: readonly Member[]): Promise<number> {
  const start = performance.now();
  const tenth = new Map(members.map((member, i) => [member, members[i - (i % 10) + 9]!]));
  let left = members.filter((member) => tenth.get(member) !== member);
  while (left.length > 0) left = (await ping(left, (from) => [tenth.get(from)!], 1)).unanswered.map(({ from }) => from);
  return performance.now() - start;
}

async function ping(
  members: readonly Member[],
  targets: (from: Member) => readonly Member[],
  retries: number,
): Promise<Pings> {
  const start = performance.now();
  const unanswered: { from: Member; address: string }[] = [];
  let [next, sent, received] = [0, 0, 0];
  const work = async (): Promise<void> => {
    for (let from = members[next++]; from !== undefined; from = members[next++]) {
      const { stdout, stderr } = await fping(from.pid, targets(from), retries);
      sent += count(stderr, 'ICMP Echos sent');
      received += count(stderr, 'ICMP Echo Replies received');
      for (const address of stdout.split('\n')) if (address !== '') unanswered.push({ from, address });
    }
  };
  await Promise.all(Array.from({ length: FPINGS_AT_ONCE }, work));
  return { sent, received, unanswered, ms: performance.now() - start };
}

/** Enters every tenth host as a neighbour of all, and all as neighbours of these. */
export async function introduce(members: readonly Member[]): Promise<void> {
  const targets = new Set(everyTenth(members));
  await runSections(
    members.map((self) => [
      `@${self.pid}`,
      ...(targets.has(self) ? members : [...targets])
        .filter((other) => other !== self)
        .map(({ address, mac }) => `neigh replace ${address} lladdr ${mac} dev eth0 nud permanent`),
    ]),
  );
}

function fping(pid: number, targets: readonly Member[], retries: number): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const options = ['-q', '-u', '-s', '-i', '1', '-t', '1000', '-r', String(retries)];
    const child = execFile(nsrunPath, ['exec', String(pid), '--', 'fping', ...options], (cause, stdout, stderr) => {
      // 1: some did not answer; the caller is told of them.
      if (cause === null || cause.code === 1) resolve({ stdout, stderr });
      else reject(new Error(`fping: ${stderr.trim() || cause.message}`, { cause }));
    });
    child.stdin?.end(`${targets.map(({ address }) => address).join('\n')}\n`);
  });
}

function count(report: string, what: string): number {
  const found = new RegExp(`(\\d+) ${what}`).exec(report)?.[1];
  if (found === undefined) throw new Error(`fping said nothing of '${what}': ${report}`);
  return Number(found);
}

const THRESHOLDS = [3, 2, 1].map((i) => `/proc/sys/net/ipv4/neigh/default/gc_thresh${i}`);

/** The neighbour table is one for all namespaces; returns what restores its limit. */
export function raiseNeighbourLimit(entries: number): { readonly before: number; restore: () => void } {
  const before = THRESHOLDS.map((file) => readFileSync(file, 'utf8'));
  const write = (values: readonly string[]): void => {
    THRESHOLDS.forEach((file, i) => {
      writeFileSync(file, values[i]!);
    });
  };
  write(THRESHOLDS.map(() => String(entries)));
  return {
    before: Number(before[0]),
    restore: () => {
      write(before);
    },
  };
}

/** RSS and open descriptors of a process. */
export function footprint(pid: number): string {
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  return `${rss.toFixed(1)} MiB, ${readdirSync(`/proc/${pid}/fd`).length} descriptors`;
}

/** Of a network's processes: the agent, its switch, and the keeper with one of its inits. */
export function footprints(network: NetworkState, agent: number): string[] {
  const [init] = membersOf(network);
  const keeper = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${init!.pid}/status`, 'utf8'))![1]);
  const processes = { agent, keeper, switch: network.switchProcesses[0]!.pid, init: init!.pid };
  return Object.entries(processes).map(([name, pid]) => `${name}: ${footprint(pid)}`);
}
