/**
 * What each action of a plan does to the system, and how it is undone. Nothing else in `control/` touches namespaces,
 * devices or processes.
 *
 * An action says what is to be, not what to do: it looks at what is there (the keeper knows the hosts and descriptors,
 * the record the processes) and does the rest. So a plan that was interrupted, in this agent or in one before, is simply
 * done again, and the way back from a change is a change as well.
 */
import type { LiveNetwork } from '../live.js';
import type { Action, BuildKind } from '../plan.js';
import * as hosts from './hosts.js';
import * as identities from './identities.js';
import { endKeeper, ensureKeeper } from './keeper.js';
import { plugIn, unplug } from './ports.js';
import type { Target } from './record.js';
import * as switches from './switches.js';
import * as underlay from './underlay.js';
import { closeVxlans, openVxlans } from './vxlans.js';

type Apply<K extends Action['kind']> = (target: Target, action: Extract<Action, { kind: K }>) => Promise<void> | void;

const APPLY: { readonly [K in Action['kind']]: Apply<K> } = {
  keeper: ensureKeeper,
  switches: switches.startSwitches,
  underlay: underlay.playMachines,
  limits: hosts.limitHosts,
  hosts: hosts.ensureHosts,
  names: hosts.writeNames,
  ports: plugIn,
  identities: identities.makeIdentities,
  tunnels: underlay.openTunnels,
  vxlans: openVxlans,
  addresses: hosts.configureHosts,
  forwarding: switches.configureSwitches,
  seals: switches.awaitSeals,
  announce: hosts.announceHosts,
  commands: hosts.startCommands,
  'end-commands': hosts.endCommands,
  'remove-hosts': hosts.removeHosts,
  unplug,
  'close-tunnels': underlay.closeTunnels,
  'close-vxlans': closeVxlans,
  'end-switches': switches.removeSwitches,
  'remove-machines': underlay.removeMachines,
  'forget-identities': identities.forgetIdentities,
  'lift-limits': hosts.liftLimits,
};

export async function apply(target: Target, action: Action): Promise<void> {
  // The table is indexed by the action's own kind, which the compiler cannot see.
  const handler = APPLY[action.kind] as (target: Target, action: Action) => Promise<void> | void;
  await handler(target, action);
}

/** How all that a kind of action ever made is removed, from the record alone; and what people are told it does. */
export interface Undo {
  readonly title: string;
  readonly undo: (live: LiveNetwork) => Promise<void>;
}

/**
 * The kinds that leave something to remove, in the order of a network's end. TAPs and sockets are in namespaces and go
 * with them, the keeper's duplicates with the keeper, a host's processes with its init.
 */
export const UNDO: readonly (readonly [BuildKind, Undo])[] = [
  // Before the hosts go: a switch whose TAPs vanish under it would report them as errors.
  ['switches', { title: 'end the switch processes', undo: switches.endAllSwitches }],
  ['hosts', { title: 'end the hosts', undo: hosts.removeAllHosts }],
  ['limits', { title: 'remove the limits', undo: hosts.removeAllLimits }],
  ['underlay', { title: 'remove the underlay', undo: underlay.removeUnderlay }],
  ['keeper', { title: 'end the keeper', undo: endKeeper }],
];
