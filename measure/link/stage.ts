/**
 * What `bench link` measures on: two hosts whose one switch emulates the first one's link, beside two on a kernel bridge.
 *
 *     h1 ══ TAP ══ s1 ── TAP ── h2           k1 ── veth ── lan (in `hub`) ── veth ── k2
 *        h1--s1: what is measured                tbf, where a rate is compared
 */
import { readFileSync } from 'node:fs';
import type { RawLinkProperties, RawScenario } from '../../model/scenario.js';
import type { AgentClient } from '../../control/client.js';
import { KERNEL_HOSTS, kernelBridge } from '../lan-stage.js';
import { StageNetwork, type Place } from '../stage.js';
import type { Way } from '../traffic.js';

export const LINK_NETWORK = 'bench-link';
const LINK = 'h1--s1';

const SCENARIO: RawScenario = {
  name: LINK_NETWORK,
  nodes: {
    s1: { kind: 'switch', subnet: '10.0.0.0/24' },
    h1: { kind: 'host' },
    h2: { kind: 'host' },
    k1: { kind: 'host' },
    k2: { kind: 'host' },
    hub: { kind: 'host' },
  },
  links: [{ endpoints: ['h1', 's1'] }, { endpoints: [{ node: 'h2', address: '10.0.0.2/24' }, 's1'] }],
};

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

  static async build(place: Place, signal: AbortSignal): Promise<LinkStage> {
    const network = await StageNetwork.up(place, SCENARIO, signal);
    try {
      await network.configure(kernelBridge(network));
      const [h1, h2, k1, k2] = await Promise.all(['h1', 'h2', 'k1', 'k2'].map((node) => network.access(node)));
      const ours = { from: h1!, to: h2!, address: '10.0.0.2' };
      const kernel = { from: k1!, to: k2!, address: KERNEL_HOSTS[1].address };
      return new LinkStage(network, place.agent, ours, kernel);
    } catch (cause) {
      await network[Symbol.asyncDispose]();
      throw cause;
    }
  }

  get switches(): readonly number[] {
    return this.#network.switches;
  }

  /** From now on h1's link is this and nothing else: both ways, or only from h1. */
  async emulate(properties: RawLinkProperties, direction: 'both' | 'from h1' = 'both'): Promise<void> {
    await this.change(PLAIN);
    await this.change(properties, direction);
  }

  async change(properties: RawLinkProperties, direction: 'both' | 'from h1' = 'both'): Promise<void> {
    if (Object.keys(properties).length === 0) return;
    await this.#agent.setLink(this.#network.name, LINK, properties, direction === 'both' ? undefined : 'h1');
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
