import test from 'ava';
import fc from 'fast-check';
import {
  canonical,
  formatPrefix,
  hasHostBits,
  overlaps,
  parsePrefix,
  prefixContains,
} from '../../src/routing/prefix.ts';

test('a CIDR is read; a bare address is a prefix of full length', (t) => {
  t.deepEqual(parsePrefix('10.1.2.3/8'), { family: 4, address: [0, 0, 0, 0x0a010203], bits: 8 });
  t.deepEqual(parsePrefix('255.255.255.255'), { family: 4, address: [0, 0, 0, -1], bits: 32 });
  t.deepEqual(parsePrefix('2001:db8::1/64'), { family: 6, address: [0x20010db8, 0, 0, 1], bits: 64 });
  t.deepEqual(parsePrefix('::'), { family: 6, address: [0, 0, 0, 0], bits: 128 });
  t.deepEqual(parsePrefix('::ffff:10.0.0.0/104'), { family: 6, address: [0, 0, 0xffff, 0x0a000000], bits: 104 });
});

test('what is not a CIDR is refused, and the message says why', (t) => {
  for (const text of [
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    'host',
    '1::2::3',
    'fe80::1%eth0/64',
    '[::1]',
    ' ::1',
    '/8',
  ]) {
    t.throws(() => parsePrefix(text), { instanceOf: RangeError, message: /has no IPv4 or IPv6 address/ }, text);
  }
  for (const text of [
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10.0.0.0/8 ',
    '10.0.0.0/1e1',
  ]) {
    t.throws(() => parsePrefix(text), { instanceOf: RangeError, message: /must be 0 to 32/ }, text);
  }
  t.throws(() => parsePrefix('2001:db8::/129'), { instanceOf: RangeError, message: /must be 0 to 128/ });
});

test('a prefix is written as it is read, in its shortest form', (t) => {
  t.is(formatPrefix(parsePrefix('10.0.0.1')), '10.0.0.1/32');
  t.is(formatPrefix(parsePrefix('2001:DB8:0:0:0:0:0:0/32')), '2001:db8::/32');
  t.is(formatPrefix(parsePrefix('0.0.0.0/0')), '0.0.0.0/0');
  const word = fc.oneof(fc.constantFrom(0, -1, 0xffff), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
  fc.assert(
    fc.property(fc.tuple(word, word, word, word), fc.nat(128), (address, bits) => {
      const ipv6 = { family: 6, address, bits } as const;
      t.deepEqual(parsePrefix(formatPrefix(ipv6)), ipv6);
      const ipv4 = { family: 4, address: [0, 0, 0, address[3]], bits: bits & 31 } as const;
      t.deepEqual(parsePrefix(formatPrefix(ipv4)), ipv4);
    }),
    { seed: 1, numRuns: 500 },
  );
});

test('host bits are found and cleared', (t) => {
  for (const [text, clean] of [
    ['10.0.0.1/8', '10.0.0.0/8'],
    ['10.0.0.1/0', '0.0.0.0/0'],
    ['10.0.0.1/31', '10.0.0.0/31'],
    ['2001:db8::1/127', '2001:db8::/127'],
    ['ffff:ffff:ffff::/33', 'ffff:ffff:8000::/33'],
  ] as const) {
    t.true(hasHostBits(parsePrefix(text)), text);
    t.is(formatPrefix(canonical(parsePrefix(text))), clean);
    t.false(hasHostBits(parsePrefix(clean)), clean);
  }
  for (const text of ['10.0.0.1', '::1', '0.0.0.0/0', '128.0.0.0/1', '2001:db8::/32'])
    t.false(hasHostBits(parsePrefix(text)), text);
});

test('containment and overlap', (t) => {
  const contains = (outer: string, inner: string) => prefixContains(parsePrefix(outer), parsePrefix(inner));
  const meet = (a: string, b: string) => overlaps(parsePrefix(a), parsePrefix(b));
  t.true(contains('10.0.0.0/8', '10.255.0.0/16'));
  t.true(contains('10.0.0.0/8', '10.0.0.0/8'));
  t.true(contains('0.0.0.0/0', '255.255.255.255'));
  t.true(contains('2001:db8::/32', '2001:db8:ffff::/48'));
  t.false(contains('10.255.0.0/16', '10.0.0.0/8'));
  t.false(contains('10.0.0.0/8', '11.0.0.0/8'));
  t.false(contains('0.0.0.0/0', '::/0'), 'the families stand apart');
  t.true(meet('10.1.0.0/16', '10.0.0.0/8'));
  t.true(meet('10.0.0.0/8', '10.1.0.0/16'));
  t.false(meet('10.0.0.0/9', '10.128.0.0/9'));
  t.false(meet('0.0.0.0/0', '::/0'));
});
