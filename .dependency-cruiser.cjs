/** DESIGN: which folder may import which. Each row lists what a folder of src/ may import besides itself and packages. */
const mayImport = {
  wire: [],
  noise: ['wire'],
  session: ['noise', 'wire'],
  routing: ['wire'],
  policy: ['wire'],
  peering: ['routing', 'wire'],
  nic: ['wire'],
  dataplane: ['wire', 'noise', 'session', 'routing', 'policy', 'nic'],
  gateway: ['wire', 'noise', 'session', 'routing', 'policy', 'peering', 'nic', 'dataplane'],
  control: ['gateway'],
  observe: ['gateway'],
  aws: [],
  doctor: ['gateway', 'aws'],
};
/** What control, observe and doctor may import below the gateway: its types, which leave no trace at run time. */
const typesBelow = { control: true, observe: true, doctor: true };

const folders = Object.keys(mayImport);
const rules = folders.flatMap((folder) => {
  const allowed = [folder, ...mayImport[folder]];
  const forbidden = [...folders, 'cli'].filter((other) => !allowed.includes(other));
  return {
    name: `${folder}-imports`,
    severity: 'error',
    from: { path: `^src/${folder}/` },
    to: {
      path: `^src/(${forbidden.join('|')})/`,
      ...(typesBelow[folder] ? { dependencyTypesNot: ['type-only'] } : {}),
    },
  };
});

module.exports = {
  forbidden: [
    ...rules,
    {
      name: 'page-stands-alone',
      comment: 'what a browser loads is served from one folder',
      severity: 'error',
      from: { path: '^src/observe/page/' },
      to: { pathNot: '^src/observe/page/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'addon-has-one-importer',
      comment: 'only src/nic loads the native addon',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/nic/' },
      to: { path: 'node-gyp-build' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: '^src/cli/main\\.ts$' },
      to: {},
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node'],
    },
  },
};
