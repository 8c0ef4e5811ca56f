/** Programs of tests, each bundled into one file: it starts in a third of the time that `tsx` takes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { ROOT } from '../e2e/command.js';

export class Bundle implements Disposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Of `test/chaos/NAME.ts` each. Lies within the package: what is bundled finds the addon there. */
  static async of(...names: readonly string[]): Promise<Bundle> {
    const bundle = new Bundle(mkdtempSync(join(ROOT, 'node_modules/.luthier-test-')));
    await build({
      entryPoints: names.map((name) => join(ROOT, `test/chaos/${name}.ts`)),
      outdir: bundle.#directory,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      platform: 'node',
      target: 'node20.19',
      format: 'esm',
      banner: {
        js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
      },
      logLevel: 'warning',
    });
    return bundle;
  }

  file(name: string): string {
    return join(this.#directory, `${name}.mjs`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
