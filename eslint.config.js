import tseslint from 'typescript-eslint';
import prettier from 'eslint-config-prettier';

/** The folders whose code takes clock, timers, randomness and environment as parameters (sans-IO). */
const sansIo = ['src/wire/**', 'src/noise/**', 'src/session/**', 'src/routing/**', 'src/policy/**', 'src/peering/**'];

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'node_modules/', 'native/build*/'] },
  ...tseslint.configs.strictTypeChecked.map((config) => ({
    ...config,
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'deploy/**/*.ts'],
  })),
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'deploy/**/*.ts'],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // Typed arrays are indexed everywhere; a bound is checked where a length is known, not at each read.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: { '@typescript-eslint/no-unsafe-assignment': 'off' },
  },
  {
    files: sansIo,
    rules: {
      'no-restricted-globals': [
        'error',
        'setTimeout',
        'setInterval',
        'setImmediate',
        'performance',
        'process',
        'fetch',
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now' },
        { object: 'Math', property: 'random' },
        { object: 'process', property: 'env' },
        { object: 'process', property: 'hrtime' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'time comes in as a parameter' },
        {
          selector:
            "ImportDeclaration[source.value='node:crypto'] ImportSpecifier[imported.name=/^random|^generateKey/]",
          message: 'randomness comes in as a parameter',
        },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'node:net', allowImportNames: ['isIP', 'isIPv4', 'isIPv6'], message: 'sockets belong to nic' },
            'node:fs',
            'node:dgram',
            'node:timers',
            'node:timers/promises',
            'node:process',
            'node:child_process',
            'node:worker_threads',
          ],
        },
      ],
    },
  },
  prettier,
);
