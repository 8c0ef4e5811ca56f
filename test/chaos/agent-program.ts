/** Programs of tests that are agents: bundled once, started as the client starts the agent, and reached as any other. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { answers } from '../../control/agent-socket.js';
import { agentLog, agentSocket, type Paths } from '../../control/paths.js';
import { agentCommand } from '../../control/user-namespace.js';
import { ROOT } from '../e2e/command.js';

/** Bundled, a program starts in a third of the time that `tsx` takes. Lies within the package: it finds the addon there. */
export class AgentProgram implements Disposable {
  readonly #directory: string;
  readonly #file: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.#file = join(directory, 'agent.mjs');
  }

  static async bundle(source: string): Promise<AgentProgram> {
    const program = new AgentProgram(mkdtempSync(join(ROOT, 'node_modules/.luthier-test-')));
    await build({
      entryPoints: [join(ROOT, source)],
      outfile: program.#file,
      bundle: true,
      platform: 'node',
      target: 'node20.19',
      format: 'esm',
      banner: {
        js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
      },
      logLevel: 'warning',
    });
    return program;
  }

  /** Starts it in the background; resolves with its pid once it listens. */
  async start(paths: Paths, env: Readonly<Record<string, string>>): Promise<number> {
    mkdirSync(paths.state, { recursive: true, mode: 0o700 });
    mkdirSync(paths.runtime, { recursive: true, mode: 0o711 });
    const log = openSync(agentLog(paths), 'a', 0o600);
    const [program, ...args] = agentCommand(paths, this.#file);
    const child = spawn(program, args, {
      detached: true,
      cwd: '/',
      env: { ...process.env, LUTHIER_STATE_DIR: paths.state, LUTHIER_RUNTIME_DIR: paths.runtime, ...env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.unref();
    while (!(await answers(agentSocket(paths)))) {
      if (child.exitCode !== null || child.signalCode !== null) break; // it died before it could listen: as it was told
      await sleep(3);
    }
    return child.pid!;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
