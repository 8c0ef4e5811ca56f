/** A thousand hosts on one switch: all of them reach every tenth, and nothing is left of them. */
import { expect, it } from 'vitest';
import type { NetworkState } from '../../model/messages.js';
import { crowd, footprints, introduce, membersOf, pingEveryTenth, raiseNeighbourLimit, reachByArp } from './crowd.js';
import { agentPidOf, Bench, isRoot } from './machine.js';

const HOSTS = 1000;

const title = 'a thousand hosts on one switch ping every tenth (as root: only root may raise the limit of neighbours)';
it.skipIf(!isRoot)(title, { timeout: 600_000 }, async () => {
  await using bench = new Bench();
  await bench.ok('up', bench.scenario('crowd', crowd(HOSTS)));
  const { network } = JSON.parse(await bench.ok('inspect', '--json', 'crowd')) as { network: NetworkState };
  const members = membersOf(network);
  expect(members).toHaveLength(HOSTS);
  const limit = raiseNeighbourLimit(16_384);
  try {
    await reachByArp(members);
    await introduce(members);
    const pings = await pingEveryTenth(members);
    expect(pings.unanswered).toEqual([]);
    expect(pings.sent).toBeGreaterThanOrEqual(HOSTS * (HOSTS / 10) - HOSTS / 10);
    console.log(`${pings.sent} echoes, ${pings.received} answers (gc_thresh3 was ${limit.before})`);
  } finally {
    limit.restore();
  }
  for (const line of footprints(network, agentPidOf(bench.directory)!)) console.log(line);
  await bench.ok('down', 'crowd');
  await bench.nothingLeft();
});
