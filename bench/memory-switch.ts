/** What engines on memory devices are configured with, but for what each benchmark is about. */
import { NO_INPUTS } from '../model/emulation.js';
import type { SwitchConfig } from '../model/messages.js';

export function memorySwitch(
  bridges: readonly string[],
  { devices, links }: Pick<SwitchConfig, 'devices' | 'links'>,
): SwitchConfig {
  return {
    network: 'bench',
    networkNumber: 1,
    seed: 1,
    inputs: NO_INPUTS,
    machine: 'local',
    bridges: bridges.map((name) => ({ name, transparent: false, ageingSeconds: 300, fdbLimit: 4096 })),
    devices,
    links,
  };
}
