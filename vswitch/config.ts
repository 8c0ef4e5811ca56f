/**
 * What `PUT /config` and `PUT /identity` accept: the shape of a `SwitchConfig`, and that its names fit together; keys and
 * certificates that can be read. What passed here is trusted. Called by `control.ts`.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import * as z from 'zod';
import type { Emulation, EmulationInputs, LinkProperties } from '../model/emulation.js';
import { UsageError } from '../model/errors.js';
import { MAX_PARITY_RATIO, MIN_PARITY_RATIO } from '../model/fec.js';
import type { ScheduledLink, SwitchConfig, SwitchIdentity } from '../model/messages.js';
import { MAX_REMOTES, MAX_VNI } from '../model/vxlan.js';
import { MAX_STOP_DATAGRAMS, MIN_STOP_DATAGRAMS } from './tunnel/seal-budget.js';
import { inputsSchema, linkPropertiesSchema } from './emulation/config.js';
import { deviceOf } from './topology.js';

const name = z.string().min(1).max(255);
const mtuBytes = z.int().min(68).max(65521);

const end = z.union([
  z.strictObject({ bridge: name, horizon: z.boolean().optional() }),
  z.strictObject({ tap: name }),
  z.strictObject({ udp: name, channel: z.int().min(1).max(65535) }),
  z.strictObject({ vxlan: name }),
]);

const ways = { forward: linkPropertiesSchema, reverse: linkPropertiesSchema };
const later = z.array(z.strictObject({ atNs: z.number().min(0), ...ways })).optional();

const schema = z.strictObject({
  network: name,
  networkNumber: z
    .int()
    .min(1)
    .max(2 ** 32 - 1),
  machine: name,
  bridges: z.array(
    z.strictObject({
      name,
      transparent: z.boolean(),
      ageingSeconds: z.number().positive().max(1e6),
      fdbLimit: z
        .int()
        .min(1)
        .max(2 ** 20),
    }),
  ),
  devices: z.array(
    z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('tap'), name, mtuBytes, vnetHdr: z.boolean() }),
      z.strictObject({
        kind: z.literal('udp'),
        name,
        peer: z.strictObject({
          address: z.union([z.ipv4(), z.ipv6()]),
          port: z.int().min(1).max(65535),
        }),
        pathMtuBytes: z.int().min(1280).max(65535),
        ipHeaderBytes: z.union([z.literal(20), z.literal(40)]),
        seal: z.enum(['required', 'none']),
        fec: z.union([z.literal('auto'), z.number().min(MIN_PARITY_RATIO).max(MAX_PARITY_RATIO)]).optional(),
        keyLimits: z
          .strictObject({
            rekeySeconds: z.number().positive().max(3000).optional(),
            rekeyDatagrams: z.int().min(1).optional(),
            stopDatagrams: z.int().min(MIN_STOP_DATAGRAMS).max(MAX_STOP_DATAGRAMS).optional(),
          })
          .optional(),
      }),
      z
        .strictObject({
          kind: z.literal('vxlan'),
          name,
          vni: z.int().min(0).max(MAX_VNI),
          remotes: z.array(z.union([z.ipv4(), z.ipv6()])).max(MAX_REMOTES),
          group: z.union([z.ipv4(), z.ipv6()]).optional(),
          port: z.int().min(1).max(65535),
          mtuBytes,
        })
        .refine(({ remotes, group }) => (remotes.length === 0) === (group !== undefined), {
          error: 'it has remotes, or a group',
        }),
    ]),
  ),
  links: z.array(
    z.strictObject({
      name,
      ends: z.tuple([end, end]),
      ...ways,
      later,
    }),
  ),
  seed: z.int().min(0),
  inputs: inputsSchema,
});

const identitySchema = z.strictObject({
  certificate: z.string(),
  privateKey: z.string(),
  peers: z.record(name, z.string()),
  aesIsFast: z.boolean(),
});

/** Throws a UsageError that says where and why, and nothing of what it was given. */
export function parseIdentity(value: unknown): SwitchIdentity {
  const parsed = identitySchema.safeParse(value);
  if (!parsed.success) throw new UsageError(`the identity is wrong: ${z.prettifyError(parsed.error)}`);
  const { certificate, privateKey, peers } = parsed.data;
  const own = readAs('certificate', () => new X509Certificate(certificate));
  if (!own.checkPrivateKey(readAs('private key', () => createPrivateKey(privateKey))))
    throw new UsageError('the identity is wrong: its certificate is not that of its private key');
  for (const [peer, text] of Object.entries(peers)) readAs(`certificate of ${peer}`, () => new X509Certificate(text));
  return parsed.data;
}

function readAs<Value>(what: string, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    throw new UsageError(`the identity is wrong: its ${what} cannot be read`, { cause });
  }
}

/** Throws a UsageError that says where and why. */
export function parseLinks(value: unknown): ScheduledLink[] {
  const parsed = z.array(z.strictObject({ name, ...ways, later })).safeParse(value);
  if (!parsed.success) throw new UsageError(`the change of links is wrong: ${z.prettifyError(parsed.error)}`);
  return parsed.data as ScheduledLink[];
}

/** Throws a UsageError that says where and why. */
export function parseConfig(value: unknown): SwitchConfig {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new UsageError(`the configuration is wrong: ${z.prettifyError(parsed.error)}`);
  // Zod says `horizon?: boolean | undefined`; JSON has no undefined.
  const config = parsed.data as SwitchConfig;
  checkNames(config);
  return { ...config, links: shareEmulations(config.links) };
}

/** Links that are alike have one object between them, here and, since a message between threads keeps that, in the engine. */
function shareEmulations<Link extends ScheduledLink>(links: readonly Link[]): Link[] {
  const known = new Map<string, Emulation>();
  const shared = ({ state, emulation }: LinkProperties): LinkProperties => {
    if (emulation === undefined) return { state };
    const key = JSON.stringify(emulation);
    if (!known.has(key)) known.set(key, emulation);
    return { state, emulation: known.get(key)! };
  };
  return links.map((link) => ({ ...link, forward: shared(link.forward), reverse: shared(link.reverse) }));
}

function checkNames({ bridges, devices, links, inputs }: SwitchConfig): void {
  const kinds = new Map(devices.map(({ name, kind }) => [name, kind]));
  const bridgeNames = new Set(bridges.map(({ name }) => name));
  refuseTwice('bridge', bridges);
  refuseTwice('device', devices);
  refuseTwice('link', links);
  const taken = new Map<string, string>();
  for (const link of links) {
    checkInputs(link, inputs);
    for (const end of link.ends) {
      if ('bridge' in end) {
        if (!bridgeNames.has(end.bridge)) throw new UsageError(`link ${link.name}: there is no bridge ${end.bridge}`);
        continue;
      }
      const kind = 'tap' in end ? 'tap' : 'udp' in end ? 'udp' : 'vxlan';
      const device = deviceOf(end);
      if (kinds.get(device) !== kind) throw new UsageError(`link ${link.name}: there is no ${kind} device ${device}`);
      const place = 'udp' in end ? `channel ${end.channel} of ${device}` : device;
      const other = taken.get(place);
      if (other !== undefined) throw new UsageError(`links ${other} and ${link.name} both end at ${place}`);
      taken.set(place, link.name);
    }
  }
}

/** Throws a UsageError where a link names a trace or a distribution that is not there. */
export function checkInputs(link: ScheduledLink, { traces, distributions }: EmulationInputs): void {
  const { name, later = [] } = link;
  for (const { emulation } of [link, ...later].flatMap(({ forward, reverse }) => [forward, reverse])) {
    const trace = emulation?.trace;
    if (trace !== undefined && !Object.hasOwn(traces, trace))
      throw new UsageError(`link ${name}: there is no trace ${trace}`);
    const distribution = emulation?.jitter?.distribution;
    if (typeof distribution === 'object' && !Object.hasOwn(distributions, distribution.table))
      throw new UsageError(`link ${name}: there is no distribution ${distribution.table}`);
  }
}

function refuseTwice(what: string, list: readonly { readonly name: string }[]): void {
  const seen = new Set<string>();
  for (const { name } of list) {
    if (seen.has(name)) throw new UsageError(`there are two ${what}s ${name}`);
    seen.add(name);
  }
}
