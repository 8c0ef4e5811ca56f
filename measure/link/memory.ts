/**
 * Part `memory`: what emulation adds to a switch process for each link on which nothing passes. Two networks of many
 * switches without hosts, the one with all of its links emulated and the other with none; the difference of their switch
 * processes' memory in RAM, of which V8's own moods are some megabytes: many links make them small.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MemoryReport } from '../../model/bench-link.js';
import type { RawLinkProperties, RawScenario } from '../../model/scenario.js';
import { rssBytes } from '../accounting.js';
import { StageNetwork, type Place } from '../stage.js';

const EMULATION: RawLinkProperties = { rate: '100mbit', delay: '10ms', jitter: '1ms', loss: '0.1%' };
/** After it is up, V8 gives back what the start took. */
const SETTLE_SECONDS = 5;

export async function measureMemory(
  place: Place,
  { links, settleSeconds = SETTLE_SECONDS }: { readonly links: number; readonly settleSeconds?: number },
  signal: AbortSignal,
): Promise<MemoryReport> {
  const plainRssBytes = await idleRss(place, star('bench-link-plain', links, {}), settleSeconds, signal);
  const emulatedRssBytes = await idleRss(place, star('bench-link-idle', links, EMULATION), settleSeconds, signal);
  return { links, plainRssBytes, emulatedRssBytes, bytesPerLink: (emulatedRssBytes - plainRssBytes) / links };
}

async function idleRss(place: Place, raw: RawScenario, settleSeconds: number, signal: AbortSignal): Promise<number> {
  await using network = await StageNetwork.up(place, raw, signal);
  await sleep(settleSeconds * 1000, undefined, { signal });
  return rssBytes(network.switches);
}

function star(name: string, links: number, properties: RawLinkProperties): RawScenario {
  const leaves = Array.from({ length: links }, (_, i) => `s${i + 1}`);
  return {
    name,
    nodes: Object.fromEntries(['s0', ...leaves].map((leaf) => [leaf, { kind: 'switch' as const }])),
    links: leaves.map((leaf) => ({ endpoints: ['s0', leaf] as const, ...properties })),
  };
}
