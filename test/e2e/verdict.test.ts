/** A verdict on real runs: its numbers are those of the frames that were sent, and what nobody asked for is named. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NetworkState, SwitchState } from '../../model/messages.js';
import type { Verdict } from '../../model/verdict.js';
import { native } from '../../native/binding.js';
import { failure } from '../../native/fixture.js';
import { Bench } from './machine.js';

const SCENARIO = `
name: judged
nodes:
  s1: { kind: switch, subnet: 10.0.0.0/24 }
  h1: { kind: host }
  h2: { kind: host }
links:
  - { endpoints: [h1, s1], delay: 5ms }
  - { endpoints: [h2, s1] }
`;
const PINGS = 40;
const PATIENCE = { timeout: 30_000, interval: 200 };

let bench: Bench;

beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());

/** Its exit status says the same. */
async function verdict(): Promise<Verdict> {
  const { code, stdout } = await bench.luthier('verdict', '--json');
  const { verdict } = JSON.parse(stdout) as { verdict: Verdict };
  expect(code).toBe(verdict.faithful ? 0 : 1);
  return verdict;
}

async function inspect(): Promise<{ network: NetworkState; verdict: Verdict }> {
  return JSON.parse(await bench.ok('inspect', '--json')) as { network: NetworkState; verdict: Verdict };
}

const stateOf = ({ switchProcesses }: NetworkState): SwitchState => switchProcesses[0]!.state!;

it('has timed every frame of a delayed link; whether it was faithful, it says everywhere alike', async () => {
  await bench.ok('up', bench.scenario('judged', SCENARIO));
  await bench.ok('exec', 'h1', '--', 'ping', '-q', `-c${PINGS}`, '-i0.02', '-w60', 'h2');
  // Hosts say something of their own now and then: between two answers that are alike, nobody did.
  let before: Verdict;
  let seen: Awaited<ReturnType<typeof inspect>>;
  let after = await verdict();
  do {
    before = after;
    seen = await inspect();
    after = await verdict();
  } while (JSON.stringify(before.directions) !== JSON.stringify(after.directions));

  expect(after.directions.map(({ link, from, to }) => [link, from, to])).toEqual([
    ['h1--s1', 'h1:eth0', 's1'],
    ['h1--s1', 's1', 'h1:eth0'],
  ]);
  const { linkStates } = seen.network;
  const { forwardPackets, reversePackets } = linkStates.find(({ name }) => name === 'h1--s1')!;
  expect(after.directions.map(({ timed }) => timed)).toEqual([forwardPackets, reversePackets]);
  const counted = stateOf(seen.network).links.find(({ name }) => name === 'h1--s1')!;
  for (const emulation of [counted.forwardEmulation!, counted.reverseEmulation!]) {
    expect(emulation.timed).toBeGreaterThanOrEqual(PINGS);
    expect(emulation.lateness.reduce((sum, frames) => sum + frames, 0)).toBe(emulation.timed);
    expect(emulation).toMatchObject({ lost: 0, corrupted: 0, duplicated: 0, queueDropped: 0, overloaded: 0 });
  }
  // Of this machine at this moment it says what it likes; but as its numbers are.
  const isLate = after.directions.some(({ late, timed }) => late > 0.001 * timed);
  expect(after.reasons.some(({ code }) => code === 'late')).toBe(isLate);
  expect(after.reasons.filter(({ code }) => code !== 'late' && code !== 'strain')).toEqual([]);
  // Nothing passes any more that could be late: what is said now stays true.
  await bench.ok('link', 'down', 'h1--s1');
  const said = (await verdict()).faithful ? 'judged was faithful' : 'judged was not faithful:';
  expect(await bench.ok('inspect')).toContain(said);
  expect(await bench.ok('down', 'judged')).toContain(said);
});

/** Kills it; resolves once another one answers in its place. */
async function replaceSwitchProcess(): Promise<void> {
  const { pid } = (await inspect()).network.switchProcesses[0]!;
  process.kill(pid, 'SIGKILL');
  await expect
    .poll(async () => (await inspect()).network.switchProcesses[0]!.state?.pid ?? pid, PATIENCE)
    .not.toBe(pid);
}

it('says what is left out of delays: nothing where `up` was told so, in place of a process that was killed too', async () => {
  const compensation = async (): Promise<string[]> =>
    (await verdict()).notes.flatMap(({ code, message }) => (code === 'compensation' ? [message] : []));
  const nothing = ['leaves nothing out of delays: what it takes itself comes on top (up --no-compensation)'];
  await bench.ok('up', '--no-compensation', bench.scenario('judged', SCENARIO));
  expect(await compensation()).toEqual(nothing);
  await replaceSwitchProcess();
  expect(await compensation()).toEqual(nothing);
  await bench.ok('down', 'judged');
  await bench.ok('up', bench.scenario('judged', SCENARIO));
  expect(await compensation()).toEqual([expect.stringMatching(/^leaves [\d.]+ µs out of delays/)]);
  await bench.ok('down', 'judged');
});

it('counts delays from when hosts sent, where the kernel tells: after `up`, `set`, and a killed switch process', async () => {
  const codes = async (): Promise<string[]> =>
    (await verdict()).notes.map(({ code }) => code).filter((code) => code === 'arrivals');
  const expected = mayWatchArrivals() ? [] : ['arrivals'];
  await bench.ok('up', bench.scenario('judged', SCENARIO));
  expect(await codes()).toEqual(expected);
  await replaceSwitchProcess();
  expect(await codes()).toEqual(expected);
  await bench.ok('down', 'judged');
  await bench.ok('up', bench.scenario('judged', SCENARIO.replace(', delay: 5ms', '')));
  await bench.ok('set', 'h1--s1', 'delay=5ms');
  expect(await codes()).toEqual(expected);
  await bench.ok('down', 'judged');
});

/** Whether a program of the kernel's may be loaded here: then what refuses it is only that an event is no TAP. */
function mayWatchArrivals(): boolean {
  const event = native.eventfd();
  try {
    return (failure(() => native.arrivalsOpen(event)).errno ?? '') === 'ENOTTY';
  } finally {
    native.close(event);
  }
}

it('names memory that did not suffice, and what the kernel dropped while nobody read', async () => {
  await bench.ok('up', '--memory', '4MiB', bench.scenario('judged', SCENARIO));
  await bench.reach('h1', 'h2');
  // Soon nobody answers, who could say that h2 still is where it was.
  await bench.ok('exec', 'h1', '--', 'ip', 'neigh', 'change', '10.0.0.2', 'dev', 'eth0', 'nud', 'permanent');
  await bench.ok('set', 'h1--s1', 'delay=10m');
  // 2048 frames fit. Answers would take twenty minutes.
  const flood = async (): Promise<void> => {
    const burst = ['-l', '500', '-c', '500', '-s', '1000', '-W', '0.01'];
    await bench.luthier('exec', 'h1', '--', 'ping', '-q', '-f', ...burst, '10.0.0.2');
  };
  const reasons = async (): Promise<string[]> => (await verdict()).reasons.map(({ code }) => code);
  await expect
    .poll(
      async () => {
        await flood();
        return reasons();
      },
      { timeout: 100_000 },
    )
    .toContain('overload');
  // A TAP holds a thousand packets for a switch that stands still.
  const { pid } = (await inspect()).network.switchProcesses[0]!;
  process.kill(pid, 'SIGSTOP');
  try {
    for (let sent = 0; sent < 2000; sent += 500) await flood();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  const { reasons: named } = await verdict();
  expect(named.find(({ code }) => code === 'overload')).toMatchObject({ where: 'link h1--s1' });
  expect(named.find(({ code }) => code === 'tap-drops')).toMatchObject({ where: 'tap:h1:eth0' });
  const { removed } = JSON.parse(await bench.ok('down', 'judged', '--json')) as { removed: { verdict: Verdict }[] };
  expect(removed).toMatchObject([{ name: 'judged', verdict: { faithful: false } }]);
}, 150_000);

it('judges nothing of a network of which nothing was asked', async () => {
  await bench.ok('up', bench.scenario('judged', SCENARIO.replace(', delay: 5ms', '')));
  expect(await verdict()).toMatchObject({ faithful: true, notes: [{ code: 'nothing-asked' }], directions: [] });
  expect(await bench.ok('inspect')).not.toContain('faithful');
  expect(await bench.ok('down', 'judged')).not.toContain('faithful');
});

it('does not know what a switch process did that was killed, and says so', async () => {
  await bench.ok('up', bench.scenario('judged', SCENARIO));
  const { pid } = (await inspect()).network.switchProcesses[0]!;
  process.kill(pid, 'SIGKILL');
  await expect
    .poll(async () => (await inspect()).network.switchProcesses[0], { timeout: 60_000 })
    .toMatchObject({ pid: expect.not.toBeOneOf([pid]) as number, state: { pid: expect.any(Number) as number } });
  expect((await verdict()).reasons).toContainEqual(
    expect.objectContaining({ code: 'unknown', where: 'switch of local' }),
  );
});
