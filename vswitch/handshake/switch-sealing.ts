/** The engine's thread as the handshakes of a process see it, and the log that they write. Called by `main.ts`. */
import type { EngineThread } from '../engine-thread.js';
import { log } from '../log.js';
import type { Timer } from '../timer.js';
import { Handshakes, type HandshakeLog, type SealingEngine } from './handshakes.js';

export function handshakesOf(engine: EngineThread, timer: Timer): Handshakes {
  const handshakes = new Handshakes(sealing(engine), timer, HANDSHAKE_LOG);
  engine.onTunnelEvent = (said) => {
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

function sealing(engine: EngineThread): SealingEngine {
  const asked = (answer: Promise<unknown>): void =>
    void answer.catch(async (error: unknown) => {
      (await log()).warn(error, 'the engine did not do its part of a handshake');
    });
  return {
    installKeys: (device, keys) => engine.call('installKeys', { device, keys }),
    useKeys: (device, epoch) => engine.call('useKeys', { device, epoch }),
    dropKeys: (device, epoch) => asked(engine.call('dropKeys', { device, epoch })),
    markHandshakes: (device, mark) => asked(engine.call('markHandshakes', { device, mark })),
    sendHandshake: (device, payload, isSealed) => asked(engine.call('sendHandshake', { device, payload, isSealed })),
  };
}

const HANDSHAKE_LOG: HandshakeLog = {
  failed: (peer, reason) => void log().then((logger) => logger.warn({ peer }, `the tunnel has no new keys: ${reason}`)),
  remarked: (peer, remark) => void log().then((logger) => logger.warn({ peer }, `not of this tunnel: ${remark}`)),
  recovered: (peer) => void log().then((logger) => logger.info({ peer }, 'the tunnel has new keys')),
};
