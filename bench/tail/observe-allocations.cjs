// Preloaded into a switch process (NODE_OPTIONS=--require): writes to its log which functions of its engine's isolate
// allocate, by V8's sampling of the heap, what was collected meanwhile included. Like observe-gc.cjs it writes a line with
// each message of the engine's, of what was since the last.
const { writeSync } = require('node:fs');
const { Session } = require('node:inspector');
const { isMainThread, parentPort } = require('node:worker_threads');

const STDOUT = 1;
/** On average, so many bytes between two samples. */
const SAMPLING_BYTES = 256;
const FRAMES = 3;
const ROWS = 12;

if (!isMainThread) {
  const session = new Session();
  session.connect();

  const start = () => {
    session.post('HeapProfiler.startSampling', {
      samplingInterval: SAMPLING_BYTES,
      includeObjectsCollectedByMinorGC: true,
      includeObjectsCollectedByMajorGC: true,
    });
  };

  /** Adds what a node of the profile and those below it allocated, by their innermost functions. */
  const add = (node, callers, bytesByPlace) => {
    const { functionName, url, lineNumber } = node.callFrame;
    const path = [...callers, `${functionName || '(anonymous)'} ${url.split('/').at(-1)}:${lineNumber + 1}`].slice(
      -FRAMES,
    );
    const where = path.join(' > ');
    if (node.selfSize > 0) bytesByPlace.set(where, (bytesByPlace.get(where) ?? 0) + node.selfSize);
    for (const child of node.children) add(child, path, bytesByPlace);
  };

  const report = () => {
    session.post('HeapProfiler.stopSampling', (_error, { profile }) => {
      const bytesByPlace = new Map();
      add(profile.head, [], bytesByPlace);
      const allocations = [...bytesByPlace]
        .map(([where, bytes]) => ({ where, bytes }))
        .sort((a, b) => b.bytes - a.bytes)
        .slice(0, ROWS);
      writeSync(STDOUT, `${JSON.stringify({ untilUnixMs: Date.now(), allocations })}\n`);
    });
    start();
  };

  start();
  const { postMessage } = parentPort;
  parentPort.postMessage = function (...message) {
    report();
    return postMessage.apply(this, message);
  };
}
