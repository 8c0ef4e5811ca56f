// Preloaded into a switch process (NODE_OPTIONS=--require): writes to its log which garbage collections its engine's
// isolate has had. A PerformanceObserver would need the event loop, to which the engine never returns; v8.GCProfiler is
// told by V8 itself. It does not say when: a line is written with each message of the engine's, of those since the last,
// so that whoever asks the switch for its state sets a mark.
const { writeSync } = require('node:fs');
const { GCProfiler } = require('node:v8');
const { isMainThread, parentPort } = require('node:worker_threads');

const STDOUT = 1;

if (!isMainThread) {
  let profiler = new GCProfiler();
  profiler.start();

  const report = () => {
    const { statistics } = profiler.stop();
    const collections = statistics.map(({ gcType, cost }) => ({ type: gcType, us: cost }));
    writeSync(STDOUT, `${JSON.stringify({ untilUnixMs: Date.now(), collections })}\n`);
    profiler = new GCProfiler();
    profiler.start();
  };

  const { postMessage } = parentPort;
  parentPort.postMessage = function (...message) {
    report();
    return postMessage.apply(this, message);
  };
}
