/**
 * One TCP connection that says so when it breaks, and how long it stood still: a line of time every 20 ms, echoed by the
 * other side. Bundled by its users and run inside hosts.
 *
 *   heartbeat serve PORT           for one connection
 *   heartbeat connect HOST PORT    prints `beats` at the first echo; at SIGTERM what became of it, as JSON, with status 0;
 *                                  when the connection ends before, why, with status 1
 */
import { createConnection, createServer } from 'node:net';

const PERIOD_MS = 20;
const [mode, ...rest] = process.argv.slice(2);

if (mode === 'serve') {
  const server = createServer((socket) => {
    server.close();
    socket.setNoDelay(true);
    socket.pipe(socket);
    socket.on('error', () => socket.destroy());
  });
  server.listen(Number(rest[0]), '0.0.0.0', () => console.log('serves'));
} else {
  const socket = createConnection(Number(rest[1]), rest[0]);
  let beats = 0;
  let lastMs = 0;
  let longestGapMs = 0;
  const fail = (why: string): void => {
    console.log(`the connection broke after ${beats} beats: ${why}`);
    process.exit(1);
  };
  socket.setNoDelay(true);
  socket.once('connect', () => {
    setInterval(() => socket.write('.'), PERIOD_MS);
  });
  socket.on('data', () => {
    const nowMs = performance.now();
    if (beats++ === 0) console.log('beats');
    else longestGapMs = Math.max(longestGapMs, nowMs - lastMs);
    lastMs = nowMs;
  });
  socket.on('error', ({ message }) => fail(message));
  socket.on('close', () => fail('closed by the other side'));
  process.once('SIGTERM', () => {
    // What stands still at the end counts as well.
    longestGapMs = Math.max(longestGapMs, performance.now() - lastMs);
    console.log(JSON.stringify({ beats, longestGapMs: Math.round(longestGapMs) }));
    process.exit(0);
  });
}
