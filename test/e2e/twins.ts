/** A network that is changed, and beside it one of the same scenario that never was another: they must look the same. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { AgentClient } from '../../control/client.js';
import { load } from '../../control/scenario/index.js';
import type { NetworkState } from '../../model/messages.js';
import type { RawScenario } from '../../model/scenario.js';
import { Bench, QUICK } from './machine.js';
import { observe, pinned } from './observe.js';

/** Carrier is told to a host a moment after it has changed (net/core/link_watch.c): up to a second. */
const SETTLING_MS = 15_000;
/** Keeps an agent there between two networks. */
const IDLE: RawScenario = { name: 'idle', nodes: { idle: { kind: 'host' } } };

export class Twins implements AsyncDisposable {
  readonly bench = new Bench();
  readonly #scratch = new Bench();
  #agent: AgentClient | undefined;
  #fresh: AgentClient | undefined;

  static async start(): Promise<Twins> {
    const twins = new Twins();
    twins.#agent = await twins.#connect(twins.bench);
    twins.#fresh = await twins.#connect(twins.#scratch);
    return twins;
  }

  get agent(): AgentClient {
    return this.#agent!;
  }

  async up(raw: RawScenario): Promise<void> {
    await this.agent.up(load(raw), QUICK);
  }

  async down(name: string): Promise<void> {
    await this.agent.down(name);
  }

  /** Of the network that is changed, which must be what `raw` says. */
  async expectSame(raw: RawScenario, what: string): Promise<NetworkState> {
    const state = await this.agent.network(raw.name);
    const scenario = pinned(raw, state);
    expect((await this.agent.plan(scenario)).steps, `left to do after ${what}`).toEqual([]);
    const fresh = this.#fresh!;
    await fresh.up(scenario, QUICK);
    const deadline = performance.now() + SETTLING_MS;
    for (;;) {
      const [changed, wanted] = await Promise.all([observe(this.agent, raw.name), observe(fresh, raw.name)]);
      try {
        expect(changed, what).toEqual(wanted);
        break;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(50);
      }
    }
    await fresh.down(raw.name);
    return state;
  }

  /** Both, before either counts what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scratch.luthier('down', '--all');
    await this.bench[Symbol.asyncDispose]();
    await this.#scratch[Symbol.asyncDispose]();
  }

  async #connect(bench: Bench): Promise<AgentClient> {
    const agent = await AgentClient.connect(bench.paths);
    await agent.up(load(IDLE), QUICK);
    return agent;
  }
}
