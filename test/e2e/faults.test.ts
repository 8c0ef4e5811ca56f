/** Faults of what is around: a full disk, files that vanish, a device that is missing. A clear error each, and no loss. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { journalFiles } from '../../control/journal.js';
import { isMachineRoot } from '../../control/privileges.js';
import { endProcess, processId } from '../../control/process.js';
import { agentPidOf, Bench, LUTHIER, run } from './machine.js';

const LAN = `
name: faults
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1] }
  - { endpoints: [h2, s1] }
`;
const isRoot = isMachineRoot();
const PAGE_BYTES = 4096;

let bench: Bench;
let file: string;

beforeAll(() => {
  bench = new Bench();
  file = bench.scenario('faults', LAN);
});
afterAll(() => bench[Symbol.asyncDispose]());

const up = (): Promise<string> => bench.ok('up', '--memory', '8MiB', file);
const reach = (): Promise<void> => bench.reach('h1', 'h2');

// Only root of the machine can mount a file system of limited size where the agent sees it.
it.runIf(isRoot)(
  'a disk that is full: up makes nothing, what runs is not lost, and down works again with room',
  async () => {
    const { state } = bench.paths;
    const filler = `${state}/filler`;
    mkdirSync(state, { mode: 0o700 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs', state]);
    try {
      const leave = (pages: number): void => {
        rmSync(filler, { force: true });
        const { bavail, bsize } = statfsSync(state);
        writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - pages * PAGE_BYTES)));
      };
      let failures = 0;
      for (let pages = 0; pages < 5; pages++) {
        leave(pages);
        const result = await bench.luthier('up', '--memory', '8MiB', file);
        if (result.code === 0) {
          await bench.ok('down', 'faults');
          continue;
        }
        failures++;
        expect(result, `with ${pages} pages left`).toMatchObject({ code: 1 });
        expect(result.stderr).toMatch(/ENOSPC|no space left/i);
        expect(result.stderr).toMatch(/free some disk space/);
        rmSync(filler);
        expect(await bench.ok('ls')).toBe('nothing runs\n');
      }
      expect(failures).toBeGreaterThan(0);

      rmSync(filler, { force: true });
      await up();
      // The record's last page is filled, and then the disk: not one byte more fits.
      const [record] = journalFiles(bench.paths);
      const text = readFileSync(record!, 'utf8').trimEnd();
      writeFileSync(record!, `${text.padEnd(Math.ceil((text.length + 1) / PAGE_BYTES) * PAGE_BYTES - 1)}\n`);
      leave(0);
      const down = await bench.luthier('down', 'faults');
      expect(down).toMatchObject({ code: 1 });
      expect(down.stderr).toMatch(/free some disk space/);
      await reach();
      rmSync(filler);
      // It is as it was before: a switch process that ends is there again.
      const { switchProcesses } = await (await AgentClient.connect(bench.paths)).network('faults');
      for (const { pid } of switchProcesses) process.kill(pid, 'SIGKILL');
      await reach();
      await bench.ok('down', 'faults');
    } finally {
      // The agent has its log there, and may be about to end.
      await endIdleAgent();
      execFileSync('umount', ['--lazy', state]);
      rmSync(state, { recursive: true, force: true });
    }
    await bench.nothingLeft();
  },
);

it('a record that is cut or damaged: nothing of it is touched, and other commands work', async () => {
  await up();
  process.kill(agentPidOf(bench.directory)!, 'SIGKILL');
  const [record] = journalFiles(bench.paths);
  const whole = readFileSync(record!);
  // A line in the middle that makes no sense.
  const lines = whole.toString().split('\n');
  writeFileSync(record!, [lines[0], 'no sense', ...lines.slice(1)].join('\n'));
  // An agent that takes nothing over ends after a moment, and its log with it.
  const log = openSync(bench.path('state/agent.log'), 'r');
  await bench.ok('ls');
  expect(readFileSync(log, 'utf8')).toContain('makes no sense');
  closeSync(log);
  // As it was: nothing is lost.
  await endIdleAgent();
  writeFileSync(record!, whole);
  await reach();
  // A line that was being written when the power went: the record without it is believed.
  process.kill(agentPidOf(bench.directory)!, 'SIGKILL');
  writeFileSync(record!, Buffer.concat([whole, Buffer.from('{"op":"sta')]));
  await reach();
  expect(await bench.ok('ls')).toContain('running');
  await bench.ok('down', 'faults');
  await bench.nothingLeft();
});

// In a mount namespace of its own, which an ordinary user cannot make without becoming root of a user namespace.
it.runIf(isRoot)('no /dev/net/tun: said with what to do, and nothing is made', async () => {
  const script = 'mount --bind /dev/null /dev/net/tun && exec "$@"';
  const result = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', LUTHIER, 'up', file], { env: bench.env });
  expect(result).toMatchObject({ code: 1 });
  expect(result.stderr).toMatch(/\/dev\/net\/tun/);
  await bench.nothingLeft();
});

it('a runtime folder that was removed under a running network: down still removes everything', async () => {
  await up();
  rmSync(bench.paths.runtime, { recursive: true });
  await bench.ok('ls');
  await bench.ok('down', 'faults');
  await bench.nothingLeft();
});

/** An agent that takes nothing over ends by itself; told to, at once. */
async function endIdleAgent(): Promise<void> {
  const agent = processId(agentPidOf(bench.directory) ?? 0);
  if (agent !== undefined) await endProcess(agent, Infinity);
}
