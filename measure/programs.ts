/** The programs of others that a benchmark needs, looked for before anything is made. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { StateError } from '../model/errors.js';

/** As Debian calls the packages that have them. */
const PACKAGES = {
  iperf3: 'iperf3',
  ping: 'iputils-ping',
  ethtool: 'ethtool',
  dumpcap: 'wireshark-common',
  tc: 'iproute2',
} as const;

export type Program = keyof typeof PACKAGES;

/** `path`: folders as in PATH. */
export function requirePrograms(needed: readonly Program[], path: string): void {
  const missing = missingPrograms(needed, path);
  if (missing.length === 0) return;
  const packages = missing.map((program) => PACKAGES[program]).join(' ');
  throw new StateError(`the benchmark measures by ${missing.join(' and ')}, which this machine does not have`, {
    hint: `install what is missing: apt-get install ${packages}`,
  });
}

export function missingPrograms<Name extends string>(needed: readonly Name[], path: string): Name[] {
  return needed.filter((program) => !path.split(':').some((folder) => isExecutable(join(folder, program))));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
