/**
 * From what a user wrote to a network in which nothing is left open. The rest of `control/`, `cli/` and the API import
 * from here; nothing in this folder knows a running system, or imports from the rest of `control/`.
 *
 *   file ── source-file ──► text ── source, yaml-text ──► value ── shape ──► RawScenario     load.ts: `Scenario`
 *                                                                                │
 *   Network ◄── resolve: subnets, ports, addresses, routes ◄── topology, lans ◄──┘           resolve.ts: `Network`
 */
export { changeLink, parseChange, parseSettings } from './change-link.js';
export { writtenOf } from './direction.js';
export { load, loadText, parseScenario } from './load.js';
export type { Scenario } from './load.js';
export { located } from './problems.js';
export type { Path } from './problems.js';
export { checkedTopology, resolve, switchMachines } from './resolve.js';
export type { LinkPlan, Topology } from './topology.js';
