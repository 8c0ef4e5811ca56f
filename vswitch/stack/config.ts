/**
 * What one engine is to be: as a switch process is told (`model/messages.ts`), or where there are several engines, its part
 * of that (`shards.ts`), with trunks to the others. Whatever runs in one engine is one.
 */
import type { DeviceConfig, LinkConfig, LinkEndConfig, SwitchConfig } from '../../model/messages.js';

/** The way to another engine of the process. */
export interface TrunkConfig {
  readonly kind: 'trunk';
  /** `trunk:ENGINE` */
  readonly name: string;
  /** Number of the other engine. */
  readonly engine: number;
}

export type EngineDevice = DeviceConfig | TrunkConfig;

/** `trunk`: the link, or the bridge at its other end, goes on in another engine. */
export type EngineLinkEnd = LinkEndConfig | { readonly trunk: string; readonly channel: number };

export interface EngineLink extends Omit<LinkConfig, 'ends'> {
  readonly ends: readonly [EngineLinkEnd, EngineLinkEnd];
}

export interface EngineConfig extends Omit<SwitchConfig, 'devices' | 'links'> {
  readonly devices: readonly EngineDevice[];
  readonly links: readonly EngineLink[];
}
