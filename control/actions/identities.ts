/**
 * Who the machines of a network are to each other: a private key and a certificate each, in a file of the network's
 * record that only its owner can read. Made once, kept as long as the machine has a sealed tunnel; gone with the record.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { StateError, SyscallError } from '../../model/errors.js';
import type { SwitchConfig, SwitchIdentity } from '../../model/messages.js';
import type { LiveNetwork } from '../live.js';
import { hasAesInstructions } from '../processor.js';
import { udpName } from '../wiring.js';
import type { Target } from './record.js';

type Machines = { readonly machines: readonly string[] };

export async function makeIdentities({ live }: Target, { machines }: Machines): Promise<void> {
  const lacking = machines.filter((machine) => readPem(live, machine) === undefined);
  if (lacking.length === 0) return;
  const { makeIdentity } = await import('../certificate.js');
  for (const machine of lacking) {
    const { privateKey, certificate } = makeIdentity(machine);
    writeWhole(live.paths.identity(machine), privateKey + certificate);
  }
}

export function forgetIdentities({ live }: Target, { machines }: Machines): void {
  for (const machine of machines) rmSync(live.paths.identity(machine), { force: true });
}

/** What a switch process is told for the tunnels of a configuration; undefined where none is sealed. */
export function switchIdentity(live: LiveNetwork, { machine, devices }: SwitchConfig): SwitchIdentity | undefined {
  const sealed = new Set(
    devices.flatMap((device) => (device.kind === 'udp' && device.seal === 'required' ? [device.name] : [])),
  );
  if (sealed.size === 0) return undefined;
  const names = live.networks.flatMap(({ machines }) => machines.map(({ name }) => name));
  const peers = new Set(names.filter((name) => sealed.has(udpName(name))));
  return {
    ...read(live, machine),
    peers: Object.fromEntries([...peers].map((peer) => [peer, read(live, peer).certificate])),
    aesIsFast: hasAesInstructions(),
  };
}

function read(live: LiveNetwork, machine: string): Pick<SwitchIdentity, 'privateKey' | 'certificate'> {
  const file = live.paths.identity(machine);
  const text = readPem(live, machine);
  const [privateKey, certificate] = text?.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? [];
  if (privateKey === undefined || certificate === undefined)
    throw new StateError(`the key of machine ${machine} is not in ${file} any more`, {
      hint: `luthier down ${live.header.name}, then bring it up again`,
    });
  return { privateKey, certificate };
}

function readPem(live: LiveNetwork, machine: string): string | undefined {
  try {
    return readFileSync(live.paths.identity(machine), 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cause;
  }
}

/** There whole or not at all. */
function writeWhole(file: string, text: string): void {
  const fresh = `${file}.new`;
  rmSync(fresh, { force: true });
  try {
    const fd = openSync(fresh, 'wx', 0o600);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(fresh, file);
  } catch (cause) {
    rmSync(fresh, { force: true });
    const { syscall = 'write', code = 'EIO', message } = cause as NodeJS.ErrnoException;
    throw new SyscallError(syscall, code, `cannot keep a machine's key in ${file}: ${message}`, {
      cause,
      hint: code === 'ENOSPC' ? 'free some disk space there' : 'check who owns that folder',
    });
  }
}
