/**
 * A switch process: the switches of one network on one machine. Started by the agent, unprivileged, with two inherited
 * descriptors: 3, a listening Unix stream socket for its HTTP control, and 4, a connection to the keeper that may only
 * get what belongs to its machine.
 *
 *   main.js [--memory BYTES]          for frames, 64 MiB by default
 *           [--engines N]             threads that forward them, 1 by default
 *           [--no-compensation]       delays of links are not shortened by what an engine takes itself
 *           [--latency-fds]           descriptors from 6 on, one for each engine, are /dev/cpu_dma_latency, open for writing
 *
 * Each engine runs in a thread of its own (`engines.ts`); this thread answers HTTP (`control.ts`), looks
 * once a second whether the engines keep time where links are emulated, and is idle else.
 * SIGTERM, SIGINT or `POST /quit` end it with status 0; a failure of an engine ends it with 1.
 */
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { UsageError } from '../model/errors.js';
import { KeeperClient } from '../native/keeper.js';
import { Engines, type EnginesStart } from './engines.js';
import { leastMemoryBytes, MAX_ENGINES } from './limits.js';
import { log } from './log.js';
import { SystemTimer } from './timer.js';
import { monotonicNowNs } from './unix-time.js';

const CONTROL_FD = 3;
const KEEPER_FD = 4;
const FIRST_LATENCY_FD = 6;
const DEFAULT_MEMORY_BYTES = 64 * 2 ** 20;
/** Slots are counted in 32 bits, their bytes addressed in a double; beyond this nothing was tried. */
const MAX_MEMORY_BYTES = 2 ** 31;

function settings(argv: readonly string[]): EnginesStart {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      memory: { type: 'string' },
      engines: { type: 'string' },
      'no-compensation': { type: 'boolean', default: false },
      'latency-fds': { type: 'boolean', default: false },
    },
  });
  const engines = Number(values.engines ?? 1);
  if (!Number.isInteger(engines) || engines < 1 || engines > MAX_ENGINES)
    throw new UsageError(`--engines is ${values.engines}: it takes 1 to ${MAX_ENGINES}`);
  const memoryBytes = Number(values.memory ?? DEFAULT_MEMORY_BYTES);
  const leastBytes = leastMemoryBytes(engines);
  if (!Number.isInteger(memoryBytes) || memoryBytes < leastBytes || memoryBytes > MAX_MEMORY_BYTES)
    throw new UsageError(`--memory is ${values.memory}: it takes ${leastBytes} to ${MAX_MEMORY_BYTES} bytes`);
  const latencyFds = values['latency-fds'] ? Array.from({ length: engines }, (_, i) => FIRST_LATENCY_FD + i) : [];
  return { memoryBytes, engines, compensation: !values['no-compensation'], latencyFds };
}

async function main(): Promise<void> {
  const start = settings(process.argv.slice(2));
  const timer = (): SystemTimer => new SystemTimer();
  // All take their time, on several cores side by side.
  const [engines, { Control }, { handshakesOf }] = await Promise.all([
    Engines.start(start, { timer, monotonicNs: monotonicNowNs }),
    import('./control.js'),
    import('./handshake/switch-sealing.js'),
  ]);
  const keeper = KeeperClient.on(KEEPER_FD);
  const handshakes = handshakesOf(engines, timer());
  const control = new Control(engines, keeper, handshakes, timer());
  // A request may go on for as long as somebody captures.
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    void control.handle(request, response);
  });

  const quit = (): void => {
    engines.end();
  };
  process.on('SIGTERM', quit);
  process.on('SIGINT', quit);
  control.onQuit = quit;
  server.listen({ fd: CONTROL_FD });

  await engines.ended;
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
