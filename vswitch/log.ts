/** The log of a switch process: JSON lines on standard error, which the agent keeps. Loaded when there is something to say. */
import type { Logger } from 'pino';

let logger: Promise<Logger> | undefined;

export function log(): Promise<Logger> {
  logger ??= import('pino').then(({ default: pino }) => pino(pino.destination({ dest: 2, sync: true })));
  return logger;
}
