/** The log of a switch process: JSON lines on standard error, which the agent keeps. Loaded when there is something to say. */
import type { Logger } from 'pino';

let logger: Promise<Logger> | undefined;

export function log(): Promise<Logger> {
  logger ??= import('pino').then(({ default: pino }) => {
    const destination = pino.destination({ dest: 2, sync: true });
    // A log that cannot be written, on a full disk, is no reason to end.
    destination.on('error', () => undefined);
    return pino(destination);
  });
  return logger;
}
