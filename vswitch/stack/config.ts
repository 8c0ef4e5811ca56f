/**
 * What one engine is to be: as a switch process is told (`model/messages.ts`), or where there are several engines, its part
 * of that (`shards.ts`), with trunks to the others. Whatever runs in one engine is one.
 */
import type { DeviceConfig, LinkConfig, LinkEndConfig, SwitchConfig, UdpConfig } from '../../model/messages.js';

/** The way to another engine of the process. */
export interface TrunkConfig {
  readonly kind: 'trunk';
  /** `trunk:ENGINE` */
  readonly name: string;
  /** Number of the other engine. */
  readonly engine: number;
}

/** This engine's own way out by a tunnel that is another's: it has the tunnel's name. */
export interface LaneConfig extends Omit<UdpConfig, 'kind'> {
  readonly kind: 'lane';
  /** Number of this engine: what it sends is told apart by that. */
  readonly lane: number;
}

export type EngineDevice = DeviceConfig | TrunkConfig | LaneConfig;

/** The link, or the bridge at its other end, goes on in another engine. */
export interface TrunkEnd {
  readonly trunk: string;
  readonly channel: number;
}

/** What goes out by a lane comes in by a trunk (`from`), or to the bridge's member in another engine. */
export interface LaneEnd {
  readonly lane: string;
  readonly channel: number;
  readonly from?: TrunkEnd;
}

/** An end of a bridge that each of its members has: `BridgeEnd.way`. */
export interface WayEnd {
  readonly bridge: string;
  readonly horizon: true;
  readonly way: number;
}

export type EngineLinkEnd = LinkEndConfig | TrunkEnd | LaneEnd | WayEnd;

export interface EngineLink extends Omit<LinkConfig, 'ends'> {
  readonly ends: readonly [EngineLinkEnd, EngineLinkEnd];
}

export interface EngineConfig extends Omit<SwitchConfig, 'devices' | 'links'> {
  readonly devices: readonly EngineDevice[];
  readonly links: readonly EngineLink[];
}
