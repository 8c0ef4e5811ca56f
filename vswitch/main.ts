/**
 * A switch process: the switches of one network on one machine. Started by the agent, unprivileged, with two inherited
 * descriptors: 3, a listening Unix stream socket for its HTTP control, and 4, a connection to the keeper that may only
 * get what belongs to its machine.
 *
 *   main.js [--memory BYTES]          size of the arena, 64 MiB by default
 *           [--no-compensation]       delays of links are not shortened by what the engine takes itself
 *
 * The engine runs in a thread of its own (`engine-thread.ts`); this thread answers HTTP (`control.ts`), looks
 * once a second whether the engine keeps time where links are emulated, and is idle else.
 * SIGTERM, SIGINT or `POST /quit` end it with status 0; a failure of the engine ends it with 1.
 */
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { UsageError } from '../model/errors.js';
import { KeeperClient } from '../native/keeper.js';
import { EngineThread } from './engine-thread.js';
import { log } from './log.js';
import { StrainWatch } from './strain-watch.js';
import { SystemTimer } from './timer.js';
import { monotonicNowNs } from './unix-time.js';

const CONTROL_FD = 3;
const KEEPER_FD = 4;
const DEFAULT_MEMORY_BYTES = 64 * 2 ** 20;
const MIN_MEMORY_BYTES = 4 * 2 ** 20;
/** Slots are counted in 32 bits, their bytes addressed in a double; beyond this nothing was tried. */
const MAX_MEMORY_BYTES = 2 ** 31;

function settings(argv: readonly string[]): { readonly bytes: number; readonly compensation: boolean } {
  const options = { memory: { type: 'string' }, 'no-compensation': { type: 'boolean', default: false } } as const;
  const { values } = parseArgs({ args: [...argv], options });
  return { bytes: memoryBytes(values.memory), compensation: !values['no-compensation'] };
}

function memoryBytes(text: string | undefined): number {
  if (text === undefined) return DEFAULT_MEMORY_BYTES;
  const bytes = Number(text);
  if (!Number.isInteger(bytes) || bytes < MIN_MEMORY_BYTES || bytes > MAX_MEMORY_BYTES) {
    throw new UsageError(`--memory is ${text}: it takes ${MIN_MEMORY_BYTES} to ${MAX_MEMORY_BYTES} bytes`);
  }
  return bytes;
}

async function main(): Promise<void> {
  const { bytes, compensation } = settings(process.argv.slice(2));
  // Both take their time, on two cores side by side.
  const [engine, { Control }, { handshakesOf }] = await Promise.all([
    EngineThread.start(bytes, { compensation }),
    import('./control.js'),
    import('./handshake/switch-sealing.js'),
  ]);
  const keeper = KeeperClient.on(KEEPER_FD);
  const strains = new StrainWatch(engine.telemetry, engine.threadId, new SystemTimer(), monotonicNowNs());
  const control = new Control(engine, keeper, handshakesOf(engine, new SystemTimer()), strains, new SystemTimer());
  // A request may go on for as long as somebody captures.
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    void control.handle(request, response);
  });

  const quit = (): void => {
    void engine.call('end', undefined).catch(() => undefined);
  };
  process.on('SIGTERM', quit);
  process.on('SIGINT', quit);
  control.onQuit = quit;
  server.listen({ fd: CONTROL_FD });

  await engine.ended;
  server.close();
  server.closeAllConnections();
  keeper.close();
}

main().then(
  () => process.exit(0),
  async (error: unknown) => {
    (await log()).fatal(error, 'the switch failed');
    process.exit(1);
  },
);
