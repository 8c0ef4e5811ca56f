/** What the oracle is asked, and what it answers. */
import type { EmulationInputs, LinkProperties } from '../../model/emulation.js';

export interface Arrival {
  readonly atNs: number;
  /** Of the Ethernet frame, without FCS. */
  readonly bytes: number;
  readonly ecn: 'not-ect' | 'ect' | 'ce';
  /** FQ-CoDel's queue, of those it has. */
  readonly flow: number;
}

/** From then on. The first is at 0. */
export interface Change {
  readonly atNs: number;
  readonly properties: LinkProperties;
}

export interface Packet extends Arrival {
  /** When it left, and when its copy did; none where it was dropped. */
  deliveredNs: number[];
  dropped?: 'mtu' | 'queue-limit' | 'discipline' | 'lost' | 'link-down';
  /** Which of its bits is the other way round, from the first byte's most significant one. */
  corruptBit?: number;
  marked: boolean;
}

export interface Link {
  readonly seed: number;
  readonly name: string;
  readonly direction: 0 | 1;
  readonly inputs?: EmulationInputs;
}
