/** The engines as the handshakes of a process see them, and the log that they write. Called by `main.ts`. */
import type { EngineThread } from '../engine-thread.js';
import type { Engines } from '../engines.js';
import { log } from '../log.js';
import type { Timer } from '../timer.js';
import { keysOfLane } from '../tunnel/tunnel-keys.js';
import { Handshakes, type HandshakeLog, type SealingEngine } from './handshakes.js';

type SealingEngines = Pick<Engines, 'lanesOf'> & {
  readonly ofTunnels: Pick<EngineThread, 'call'>;
  sendersOf(tunnel: string): { readonly lane: number; readonly thread: Pick<EngineThread, 'call'> }[];
};

export function handshakesOf(engines: Engines, timer: Timer): Handshakes {
  const handshakes = new Handshakes(sealing(engines), timer, HANDSHAKE_LOG);
  engines.onTunnelEvent = (said) => {
    switch (said.event) {
      case 'handshake':
        handshakes.received(said.device, said.payload, said.isSealed);
        break;
      case 'epoch':
        handshakes.epochSeen(said.device, said.epoch);
        break;
      case 'volume':
        handshakes.usedUp(said.device, said.epoch);
        break;
      case 'spent':
        handshakes.spent(said.device, said.epoch);
        break;
      case 'searching':
        handshakes.searching(said.device, said.isSearching);
        break;
      case 'foreign':
        handshakes.foreign(said.device, said.version, said.network);
        break;
      case 'ecnAnomalies':
        void warnOfAnomalies(said.device, said.frames);
        break;
    }
  };
  return handshakes;
}

async function warnOfAnomalies(tunnel: string, frames: number): Promise<void> {
  const what = 'the ECN fields of datagrams and of the frames in them do not go together (RFC 6040 §4.2)';
  (await log()).warn({ tunnel, frames }, `${what}: something on the way marks what it must not`);
}

/**
 * Each engine seals for its own lane of a tunnel, and the one that hears the tunnel opens what comes on all of the peer's: it is
 * given the keys for that, and no others.
 */
export function sealing(engines: SealingEngines): SealingEngine {
  const { ofTunnels } = engines;
  const asked = (answer: Promise<unknown>): void =>
    void answer.catch(async (error: unknown) => {
      (await log()).warn(error, 'the engine did not do its part of a handshake');
    });
  const dropKeys = (device: string, epoch: number): void => {
    for (const { thread } of engines.sendersOf(device)) asked(thread.call('dropKeys', { device, epoch }));
  };
  return {
    lanesOf: (tunnel) => engines.lanesOf(tunnel),
    installKeys: async (device, keys) => {
      const installed = engines
        .sendersOf(device)
        .map(async ({ lane, thread }) => thread.call('installKeys', { device, keys: keysOfLane(keys, lane) }));
      const refused = (await Promise.allSettled(installed)).find(({ status }) => status === 'rejected');
      if (refused === undefined) return;
      // Where one has none, the others have no use for theirs.
      dropKeys(device, keys.epoch);
      throw (refused as PromiseRejectedResult).reason;
    },
    useKeys: (device, epoch) =>
      Promise.all(engines.sendersOf(device).map(({ thread }) => thread.call('useKeys', { device, epoch }))),
    dropKeys,
    markHandshakes: (device, mark) => asked(ofTunnels.call('markHandshakes', { device, mark })),
    sendHandshake: (device, payload, isSealed) => asked(ofTunnels.call('sendHandshake', { device, payload, isSealed })),
  };
}

const HANDSHAKE_LOG: HandshakeLog = {
  failed: (peer, reason) => void log().then((logger) => logger.warn({ peer }, `the tunnel has no new keys: ${reason}`)),
  remarked: (peer, remark) => void log().then((logger) => logger.warn({ peer }, `not of this tunnel: ${remark}`)),
  recovered: (peer) => void log().then((logger) => logger.info({ peer }, 'the tunnel has new keys')),
};
