/**
 * `bench peers`: the stages of `bench lan` and `bench tunnel`, with the peers beside. Those in a switch's place have a
 * network of their own, `bench-peers`, with nothing in it but their hosts; those on two machines use the machines, and so
 * the underlay, that kernel VXLAN and the sealed tunnel have.
 */
import type { AbsentReport, UnderlayName } from '../../model/bench.js';
import { LuthierError } from '../../model/errors.js';
import type { RawScenario } from '../../model/scenario.js';
import { lanStage } from '../lan-stage.js';
import { StageNetwork, type Arm, type Place, type Stage, type Stages } from '../stage.js';
import { tunnelStage } from '../tunnel-stage.js';
import type { Choice, Peer } from './index.js';
import { hostsOf, Site } from './site.js';

const NETWORK = 'bench-peers';

export async function peersStages(
  place: Place,
  { places, peers, absent }: Choice,
  underlays: readonly UnderlayName[],
  signal: AbortSignal,
): Promise<Stages> {
  const made: AsyncDisposable[] = [];
  const company = new Company(signal);
  const end = async (): Promise<void> => {
    await company.leave();
    for (const one of made) await one[Symbol.asyncDispose]();
  };
  const at = (where: Peer['place']): Peer[] => peers.filter((peer) => peer.place === where);
  try {
    const stages: Stage[] = [];
    if (places.has('switch')) {
      const lan = await lanStage(place, { mtuSized: false }, signal);
      made.push(lan);
      const arms = [...lan.arms];
      const beside = at('switch');
      if (beside.length > 0) {
        const network = await StageNetwork.up(place, scenario(beside), signal);
        made.push(network);
        arms.push(...(await company.join(network, beside)));
      }
      stages.push({ ...lan, title: 'one switch', arms });
    }
    if (places.has('machines')) {
      const beside = at('machines');
      const options = { underlays, bridged: false, guests: guests(beside) };
      const tunnel = await tunnelStage(place, options, signal);
      made.push(tunnel);
      const arms = [...tunnel.arms, ...(await company.join(tunnel.network, beside))];
      stages.push({ ...tunnel, title: 'two machines', arms });
    }
    return {
      stages,
      absent: [...absent, ...company.absent],
      failure: company.failure,
      [Symbol.asyncDispose]: end,
    };
  } catch (cause) {
    await end();
    throw cause;
  }
}

function scenario(peers: readonly Peer[]): RawScenario {
  return { name: NETWORK, nodes: guests(peers) };
}

function guests(peers: readonly Peer[]): RawScenario['nodes'] {
  return Object.assign({}, ...peers.map(hostsOf)) as RawScenario['nodes'];
}

/** The peers that run. */
class Company {
  readonly absent: AbsentReport[] = [];
  readonly #signal: AbortSignal;
  readonly #failure = new AbortController();
  readonly #sites: Site[] = [];

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Aborted when one ends by itself. */
  get failure(): AbortSignal {
    return this.#failure.signal;
  }

  /** One that cannot be set up here is left out, and the others are measured. */
  async join(network: StageNetwork, peers: readonly Peer[]): Promise<Arm[]> {
    const arms: Arm[] = [];
    for (const [index, peer] of peers.entries()) {
      let site: Site | undefined;
      try {
        site = await Site.prepare(network, peer, index, this.#signal);
        await peer.start(site);
        await site.answered();
        arms.push(await site.arm());
        site.onEnd((failure) => this.#failure.abort(failure));
        this.#sites.push(site);
      } catch (cause) {
        await site?.end();
        this.#signal.throwIfAborted();
        if (!(cause instanceof LuthierError)) throw cause;
        const hint = cause.hint === undefined ? '' : `: ${cause.hint}`;
        this.absent.push({ name: peer.name, title: peer.title, reason: `${cause.message}${hint}` });
      }
    }
    return arms;
  }

  async leave(): Promise<void> {
    for (const site of this.#sites) await site.end();
  }
}
