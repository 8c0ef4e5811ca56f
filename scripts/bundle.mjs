// Bundles our programs into dist/bin, each with the libraries that it needs in a few files. Two reasons: a program that
// reads five files instead of three hundred starts in half the time; and a switch process, which sees nothing of the
// file system but the package's own folder, must find its libraries there wherever npm has put them (node_modules of the
// package, or of the project that it was installed into). dist/ itself stays as `tsc` made it: the API and its types.
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

const outdir = 'dist/bin';
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: {
    luthier: 'cli/main.ts',
    demo: 'cli/demo.ts',
    'tap-probe': 'cli/tap-probe.ts',
    agent: 'control/agent-main.ts',
    vswitch: 'vswitch/main.ts',
    worker: 'vswitch/worker.ts',
  },
  outdir,
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node20.19',
  // Constants become numbers where they are used. As variables, which they are in a bundle, they are read anew for each frame.
  minifySyntax: true,
  format: 'esm',
  // Libraries in CommonJS call `require` for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
  },
  legalComments: 'linked',
  logLevel: 'warning',
});
