import test from 'ava';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { readConfig } from '../../src/control/config.ts';
import { ERRORS } from '../../src/gateway/errors.ts';
import { ENVIRONMENT, GOOD, inMemory } from './config-samples.ts';

const SETTINGS = { seed: 20_261_120, numRuns: 300 };

/** Whatever the text, the answer is a configuration or faults that lie within it. */
function isAnswered(text: string): boolean {
  const result = readConfig(inMemory(text), ENVIRONMENT);
  if ('config' in result) return true;
  const lines = text.split(/\r\n|\n|\r/).length;
  return (
    result.faults.length > 0 &&
    result.faults.every(
      ({ line, column, message, code }) =>
        line >= 1 && line <= lines + 1 && column >= 1 && message !== '' && code in ERRORS,
    )
  );
}

test('random text is answered', (t) => {
  const pieces = [
    'gateway:',
    'peerings:',
    '\n',
    '  ',
    '- ',
    ': ',
    '{',
    '}',
    '[',
    ']',
    '&a ',
    '*a',
    '!!set ',
    '? ',
    '|',
    '"',
    "'",
    '#',
    '0x',
    '~',
    '\t',
    'psk',
    '---\n',
    '<<: ',
  ];
  const text = fc
    .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'binary', maxLength: 4 })), { maxLength: 60 })
    .map((parts) => parts.join(''));
  t.notThrows(() => fc.assert(fc.property(text, isAnswered), SETTINGS));
});

test('a good file with random pieces put in, taken out or changed is answered', (t) => {
  const edit = fc.tuple(fc.nat(GOOD.length), fc.nat(12), fc.string({ maxLength: 8 }));
  const text = fc
    .array(edit, { minLength: 1, maxLength: 4 })
    .map((edits) =>
      edits.reduce((changed, [at, count, insert]) => changed.slice(0, at) + insert + changed.slice(at + count), GOOD),
    );
  t.notThrows(() => fc.assert(fc.property(text, isAnswered), SETTINGS));
});

test('random values under the known keys are answered', (t) => {
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom(
        '10.0.0.0/8',
        '::/0',
        '10.8.0.1/30',
        'auto',
        'off',
        '30s',
        'web',
        'server',
        'psk',
        'tcp',
        'icmp',
        'allow',
        '443-80',
        '',
        '__proto__',
        'constructor',
      ),
      fc.oneof(fc.string(), fc.double(), fc.integer(), fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...KEYS), tie('value'), { maxKeys: 8 }),
    ),
  }));
  const whole = fc.record({ gateway: value, peerings: fc.array(value, { maxLength: 3 }), acls: value });
  t.notThrows(() =>
    fc.assert(
      fc.property(whole, (root) => isAnswered(stringify(root))),
      SETTINGS,
    ),
  );
});

const KEYS = [
  ...[
    'name',
    'interface',
    'address',
    'listen',
    'metrics',
    'mtu',
    'subnets',
    'rekey',
    'flows',
    'tcp_established_timeout',
    'private_key',
    'role',
    'psk',
    'public_key',
    'preshared_key',
  ],
  ...[
    'cipher',
    'endpoint',
    'keepalive',
    'acl',
    'default',
    'rules',
    'action',
    'direction',
    'protocol',
    'source',
    'destination',
    'ports',
    'icmp',
    'type',
  ],
  ...['code', 'file', 'env', 'web', '__proto__', 'toString', ''],
];

test('aliases that expand without bound end in a fault, soon', (t) => {
  const levels = Array.from({ length: 20 }, (_, level) => `a${level + 1}: &a${level + 1} [${`*a${level},`.repeat(9)}]`);
  const started = process.hrtime.bigint();
  t.true(isAnswered(['a0: &a0 [x]', ...levels, 'gateway: *a20'].join('\n')));
  t.true(isAnswered('gateway: &g {name: *g}\npeerings: &p [*p]\n'));
  t.true(process.hrtime.bigint() - started < 2_000_000_000n);
});
