/**
 * What `bench link` measures on: two hosts whose one switch emulates the first one's link, beside two on a kernel bridge.
 *
 *     h1 ══ TAP ══ s1 ── TAP ── h2           k1 ── veth ── lan (in `hub`) ── veth ── k2
 *        h1--s1: what is measured                tbf, where a rate is compared
 *
 * A second network of the same kind is there where it is compared what a switch leaves out of delays (`rtt.ts`).
 */
import { readFileSync } from 'node:fs';
import { StateError } from '../../model/errors.js';
import type { RawLinkProperties } from '../../model/scenario.js';
import type { AgentClient } from '../../control/client.js';
import { kernelBridge, lanScenario, lanWays } from '../lan-stage.js';
import { StageNetwork, type Place } from '../stage.js';
import type { Way } from '../traffic.js';

export const LINK_NETWORK = 'bench-link';
export const UNCOMPENSATED_NETWORK = 'bench-link-uncompensated';
const LINK = 'h1--s1';

/** Nothing is emulated. */
const PLAIN: RawLinkProperties = {
  rate: 'none',
  queue: 'none',
  delay: 'none',
  jitter: 'none',
  segments: 'auto',
};

/** What a host's eth0 has sent and received since it was made. */
export interface InterfaceBytes {
  readonly received: number;
  readonly sent: number;
}

export class LinkStage implements AsyncDisposable {
  readonly ours: Way;
  readonly kernel: Way;
  readonly #network: StageNetwork;
  readonly #agent: AgentClient;

  private constructor(network: StageNetwork, agent: AgentClient, ours: Way, kernel: Way) {
    this.#network = network;
    this.#agent = agent;
    this.ours = ours;
    this.kernel = kernel;
  }

  /** Of a name of its own where its switch leaves nothing out of delays. */
  static async build(place: Place, signal: AbortSignal, { compensation = true } = {}): Promise<LinkStage> {
    const name = compensation ? LINK_NETWORK : UNCOMPENSATED_NETWORK;
    const network = await StageNetwork.up(place, lanScenario(name), signal, { compensation });
    try {
      await network.configure(kernelBridge(network));
      const { ours, kernel } = await lanWays(network);
      return new LinkStage(network, place.agent, ours, kernel);
    } catch (cause) {
      await network[Symbol.asyncDispose]();
      throw cause;
    }
  }

  get switches(): readonly number[] {
    return this.#network.switches;
  }

  /** What its switch leaves out of the delay of a link. */
  async compensationNs(): Promise<number> {
    const [state] = await this.#network.switchStates();
    if (state === undefined) throw new StateError(`the switch of network ${this.#network.name} does not answer`);
    return state.compensationNs;
  }

  /** From now on h1's link is this and nothing else: both ways, or only from h1. */
  async emulate(properties: RawLinkProperties, direction: 'both' | 'from h1' = 'both'): Promise<void> {
    await this.change(PLAIN);
    await this.change(properties, direction);
  }

  /** Returns when it was done, by CLOCK_MONOTONIC in nanoseconds; undefined where there was nothing to change, or nobody to do it. */
  async change(properties: RawLinkProperties, direction: 'both' | 'from h1' = 'both'): Promise<number | undefined> {
    if (Object.keys(properties).length === 0) return undefined;
    const from = direction === 'both' ? undefined : 'h1';
    const { doneMonotonicNs } = await this.#agent.setLink(this.#network.name, LINK, properties, from);
    return doneMonotonicNs;
  }

  /** What is measured of each setting, one after the other; at the end nothing is emulated. */
  async each<Setting, Report>(
    settings: readonly Setting[],
    measure: (setting: Setting) => Promise<Report>,
  ): Promise<Report[]> {
    const reports: Report[] = [];
    for (const setting of settings) reports.push(await measure(setting));
    await this.emulate({});
    return reports;
  }

  /** What k1 sends goes through a token bucket. */
  async kernelRate(
    rateBps: number,
    { burstBytes, limitBytes }: { burstBytes: number; limitBytes: number },
  ): Promise<void> {
    const filter = ['tbf', 'rate', `${rateBps}bit`, 'burst', `${burstBytes}`, 'limit', `${limitBytes}`];
    await this.#network.output('host:k1', ['tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', ...filter]);
  }

  async endKernelRate(): Promise<void> {
    await this.#network.output('host:k1', ['tc', 'qdisc', 'del', 'dev', 'eth0', 'root']);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#network[Symbol.asyncDispose]();
  }
}

/** Of a host by the process that holds its namespaces: without a program that would have to be started there first. */
export function interfaceBytes({ pid }: { readonly pid: number }): InterfaceBytes {
  const line = /^ *eth0: *(.*)$/m.exec(readFileSync(`/proc/${pid}/net/dev`, 'utf8'))![1]!;
  const fields = line.trim().split(/ +/).map(Number);
  return { received: fields[0]!, sent: fields[8]! };
}
