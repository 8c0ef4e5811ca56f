/**
 * A recording: what came into the emulated directions of a network's links and what became of each frame, by the engine's
 * clock, as lines of JSON in the order in which the engine told them. All that a direction decides follows from the network
 * (its seed and inputs), the frames, and when they and changes came: `simulate/replay.ts` shows it. docs/json.md has the
 * format. Written here of an engine that runs for real (`stream.ts`), and by `luthier simulate`.
 *
 *   {"luthier":1,"recording":"links","network":"n","seed":1,"compensation":0}
 *   {"at":1000,"link":"h1--s1","way":0,"begun":{"state":"up", …}}                of a network that ran before
 *   {"at":1200,"link":"h1--s1","way":0,"came":"AgAA…"}                           also "gsoSize", "checksum"
 *   {"at":5000,"link":"h1--s1","way":0,"changed":{"state":"up", …}}
 *   {"at":11200,"link":"h1--s1","way":0,"left":"<hash>","since":1200}            "at": when it was due
 *   {"link":"h1--s1","way":0,"dropped":"lost","frame":"<hash>"}
 *   {"at":1000000000,"end":true}
 */
import { hash } from 'node:crypto';
import type { LinkProperties } from '../../model/emulation.js';
import { Checksum } from '../arena.js';
import { completeChecksum } from '../wire/checksum.js';

/** Of which direction of which link: 0 forward, 1 reverse. */
export interface Way {
  readonly link: string;
  readonly way: 0 | 1;
}

/** A frame as a device would bring it. */
export interface OfferedFrame {
  readonly bytes: Uint8Array;
  /** Of a super-frame, as in `Arena.gsoSize`. */
  readonly gsoSize?: number;
  /** `Arena.csumState`, `csumStart`, `csumOffset`. */
  readonly checksum?: readonly [state: number, start: number, offset: number];
}

/** What comes: the same again makes the same of it. `begun`: it is an idle link that was made that moment, from there on. */
export type Cause = Way & { readonly at: number } & (
    { readonly frame: OfferedFrame } | { readonly changed: LinkProperties } | { readonly begun: LinkProperties }
  );

/** What becomes of it. `at` is when a frame was due, `since` when it came; the time of a drop is that of nobody's clock. */
export type Outcome = Way &
  (
    | { readonly at: number; readonly since: number; readonly left: string }
    | { readonly dropped: string; readonly frame: string }
  );

export interface RecordedNetwork {
  readonly name: string;
  readonly seed: number;
  /** Whose switch process it is; absent: it is of the whole network. */
  readonly machine?: string;
  /** `Gauge.compensationNs` of the engine. */
  readonly compensationNs?: number;
}

/** Takes one line after the other, each with its line feed. */
export type Sink = (line: string) => void;

export class RecordingWriter {
  readonly #sink: Sink;

  constructor(sink: Sink, { name, seed, machine, compensationNs = 0 }: RecordedNetwork) {
    this.#sink = sink;
    this.#line({ luthier: 1, recording: 'links', network: name, seed, machine, compensation: compensationNs });
  }

  cause(cause: Cause): void {
    const { at, link, way } = cause;
    if ('frame' in cause) {
      const { bytes, gsoSize, checksum } = cause.frame;
      this.#line({ at, link, way, came: Buffer.from(bytes).toString('base64'), gsoSize, checksum });
    } else if ('changed' in cause) {
      this.#line({ at, link, way, changed: cause.changed });
    } else {
      this.#line({ at, link, way, begun: cause.begun });
    }
  }

  outcome(outcome: Outcome): void {
    this.#line(outcome);
  }

  /** The direction is no more: nothing is told of what was in it. */
  gone(atNs: number, { link, way }: Way): void {
    this.#line({ at: atNs, link, way, gone: true });
  }

  /**
   * All that was due before then has been told: a recording may end here. `waiting`: how many directions have not begun, as
   * there always was something in them.
   */
  end(atNs: number, waiting = 0): void {
    this.#line({ at: atNs, end: true, ...(waiting > 0 ? { waiting } : {}) });
  }

  /** So many frames or outcomes could not be kept, and nothing after them. */
  missed(count: number): void {
    this.#line({ missed: count });
  }

  #line(facts: object): void {
    this.#sink(`${JSON.stringify(facts)}\n`);
  }
}

/**
 * What a frame is known by: of its bytes as a wire would have them, since whether a checksum is complete may be another
 * holder's doing. `bytes` may be changed.
 */
export function frameHash(bytes: Uint8Array, gsoSize: number, checksum: readonly [number, number, number]): string {
  const [state, start, offset] = checksum;
  if (state === Checksum.partial && gsoSize === 0) completeChecksum(bytes, start, offset);
  return hash('sha256', bytes, 'hex').slice(0, 16);
}
