/** Switch processes: started confined, told what to be, ended. */
import { readFileSync } from 'node:fs';
import { LuthierError } from '../../model/errors.js';
import type { LiveNetwork } from '../live.js';
import type { Pair } from '../plan.js';
import { raiseEngines } from '../realtime.js';
import { endProcess, isAlive } from '../process.js';
import { startSwitch } from '../switch-process.js';
import { emptyConfig, switchConfigs } from '../wiring.js';
import { watchArrivals } from './arrivals.js';
import { switchIdentity } from './identities.js';
import { record, type Target } from './record.js';

type Pairs = { readonly pairs: readonly Pair[] };
type Machines = { readonly machines: readonly string[] };

/** Long enough for a switch to answer what it is doing, short enough that `down` stays quick. */
const SWITCH_GRACE_MS = 300;

/** In place of one that ended, the new process gets its descriptors from the keeper: hosts see no carrier change. */
export function startSwitches({ live }: Target, { machines }: Machines): void {
  const { memoryBytes, engines = 1, compensation = true } = live.journal.state.change?.header ?? live.header;
  for (const machine of machines) {
    const running = live.processOf(`switch:${machine}`);
    if (running !== undefined && isAlive(running)) continue;
    const start = {
      machine,
      uid: live.header.uid,
      memoryBytes,
      engines,
      compensation,
      env: live.switchEnv,
      socket: live.switchSocket(machine),
      keeperSocket: live.paths.keeperSocket,
      logFile: live.paths.switchLog(machine),
    };
    startSwitch(start, (pid) => {
      record(live, { [`switch:${machine}`]: pid });
    });
  }
}

/**
 * Each compares what it is told with what it is, and changes the difference. Events that came due since `to` was what it
 * says are still to come for it: the switch process does them at once.
 */
export async function configureSwitches({ live, to }: Target, { machines }: Machines): Promise<void> {
  const configs = switchConfigs(to, live.header.number, live.header.zero?.monotonicNs);
  watchArrivals(
    live,
    machines.flatMap((machine) => configs.get(machine) ?? []),
  );
  await Promise.all(
    machines.map(async (machine) => {
      const config = configs.get(machine) ?? emptyConfig(to, live.header.number, machine);
      const identity = switchIdentity(live, config);
      try {
        const client = live.switchOf(machine);
        if (identity !== undefined) await client.identify(identity);
        await client.configure(config);
        raiseEngines(live.process(`switch:${machine}`).pid);
      } catch (cause) {
        throw isAlive(live.process(`switch:${machine}`)) ? cause : endedError(live, machine, cause);
      }
    }),
  );
}

/** A tunnel has keys when both ends have proven who they are; each is asked, as each may know what is wrong. */
export async function awaitSeals({ live }: Target, { pairs }: Pairs): Promise<void> {
  const machines = [...new Set(pairs.flat())];
  const answers = await Promise.all(
    machines.map(async (machine) => [machine, await live.switchOf(machine).settledTunnels()] as const),
  );
  const tunnels = new Map(answers);
  for (const [a, b] of pairs)
    for (const [machine, peer] of [[a, b] as const, [b, a] as const]) {
      const tunnel = tunnels.get(machine)?.find((candidate) => candidate.peer === peer);
      if (tunnel?.state === 'sealed') continue;
      const why = [tunnel?.reason ?? 'no keys were agreed on in time', tunnel?.remark].filter(
        (text) => text !== undefined,
      );
      throw new LuthierError(
        'E_SEAL',
        `the tunnel from machine ${machine} to ${peer} is not sealed: ${why.join('; ')}`,
        { hint: `the logs of both switch processes say more: ${live.paths.switchLog(machine)}` },
      );
    }
}

/** Of machines that have no switch process any more. */
export async function removeSwitches(target: Target, { machines }: Machines): Promise<void> {
  await endSwitches(target, { machines });
  target.live.journal.append({ op: 'ended', roles: machines.map((machine) => `switch:${machine}`) });
}

export async function endSwitches({ live }: Target, { machines }: Machines): Promise<void> {
  await Promise.all(
    machines.flatMap((machine) => {
      const running = live.processOf(`switch:${machine}`);
      return running === undefined ? [] : [endProcess(running, SWITCH_GRACE_MS)];
    }),
  );
}

export async function endAllSwitches(live: LiveNetwork): Promise<void> {
  await Promise.all(live.processes('switch:').map(([, id]) => endProcess(id, SWITCH_GRACE_MS)));
}

function endedError(live: LiveNetwork, machine: string, cause: unknown): LuthierError {
  const log = readFileSync(live.paths.switchLog(machine), 'utf8').trim();
  return new LuthierError('E_SWITCH', `the switch process of machine ${machine} ended: ${lastLines(log)}`, { cause });
}

/** What a process said before it ended: enough to see why, short enough for an error message. */
function lastLines(text: string): string {
  return text === '' ? 'it said nothing' : text.split('\n').slice(-6).join('\n');
}
