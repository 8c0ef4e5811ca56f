// Imports point one way (docs/architecture.md):
//   index, cli → measure, simulate → control → vrouter → vhost → model;  control, simulate → vswitch;  vswitch, vhost, control → native
const TEST = '\\.test\\.ts$';

/** Modules of `from` may import, of ours, only what matches `to`. */
const only = (from, to) => ({
  name: `${from}-imports`,
  severity: 'error',
  from: { path: `^${from}/`, pathNot: TEST },
  to: {
    path: '^(model|native|vswitch|vhost|vrouter|control|measure|simulate|cli)/',
    pathNot: [`^${from}/`, ...to.map((folder) => `^${folder}/`)],
  },
});

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    only('model', []),
    only('native', ['model']),
    only('vswitch', ['model', 'native']),
    only('vhost', ['model', 'native']),
    only('vrouter', ['vhost', 'model']),
    only('control', ['vrouter', 'vhost', 'vswitch', 'native', 'model']),
    only('measure', ['control', 'native', 'model']),
    only('simulate', ['control', 'vswitch', 'model']),
    only('cli', ['measure', 'simulate', 'control', 'vrouter', 'vhost', 'native', 'model']),
    {
      name: 'scenario-knows-nothing-that-runs',
      severity: 'error',
      from: { path: '^control/scenario/' },
      to: { path: '^control/(?!scenario/)' },
    },
    {
      name: 'scenario-has-one-way-in',
      severity: 'error',
      from: { pathNot: '^control/scenario/' },
      to: { path: '^control/scenario/(?!index\\.ts$)' },
    },
    {
      name: 'one-file-loads-the-addon',
      severity: 'error',
      from: { pathNot: '^native/binding\\.ts$' },
      to: { path: 'node-gyp-build|\\.node$' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
  },
};
