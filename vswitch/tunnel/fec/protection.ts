/**
 * Parity beside what a tunnel sends: as much as the loss of it needs, behind each block, and where a block does not fill, when
 * it is WAIT_NS old. Time comes in. Called by `../udp.ts`; the blocks are those of `../sender.ts`.
 */
import type { Lane } from '../lane.js';
import type { Loss } from '../health/loss.js';
import type { TunnelSocket } from '../socket.js';
import { TunnelField } from '../../telemetry.js';
import { type Parity, WAIT_NS } from './parity.js';

export interface ProtectionParts {
  readonly parity: Parity;
  readonly socket: TunnelSocket;
  readonly lane: Lane;
}

export class Protection {
  /** When `send` is due; Infinity: nothing waits for it. */
  nextNs: number;
  readonly #parity: Parity;
  readonly #socket: TunnelSocket;
  readonly #lane: Lane;

  constructor({ parity, socket, lane }: ProtectionParts) {
    this.nextNs = Infinity;
    this.#parity = parity;
    this.#socket = socket;
    this.#lane = lane;
    this.#use();
  }

  /** Frames are about to be sent. */
  begin(nowNs: number): void {
    this.#parity.tick(nowNs);
  }

  /** They were. */
  end(nowNs: number): void {
    if (!this.#parity.isOpen) this.nextNs = Infinity;
    else if (this.nextNs === Infinity) this.nextNs = nowNs + WAIT_NS;
  }

  /** The peer has told how much of what was sent did not come. */
  measured({ ratio, latestRatio }: Loss, nowNs: number): void {
    const { redundancy } = this.#parity;
    const { rows } = redundancy;
    redundancy.measured(latestRatio > ratio ? latestRatio : ratio, nowNs);
    if (redundancy.rows !== rows) this.#use();
  }

  /** Sends the parity of the block that is open, which gets no more; where nothing may be sealed, it is forgone. */
  send(): void {
    this.nextNs = Infinity;
    const { burst, maySendOne, outgoing, ring, sender } = this.#lane;
    if (!this.#parity.isOpen || !maySendOne || sender.packParity() === 0) return;
    const sent = outgoing.write(1, ring);
    if (sent > 0) burst.spend(sender.heldBytes[0]!);
    sender.finishParity(sent);
  }

  report(tunnels: Float64Array, base: number): void {
    tunnels[base + TunnelField.parity] = 1 + this.#parity.redundancy.ratio;
    tunnels[base + TunnelField.sentParity] = this.#parity.sentDatagrams;
  }

  #use(): void {
    this.#socket.parityRows = this.#parity.redundancy.rows;
    this.#lane.sender.parityChanged();
  }
}
