import { Worker } from 'node:worker_threads';
import test from 'ava';
import fc from 'fast-check';
import { parsePrefix, prefixContains } from '../../src/routing/prefix.ts';
import { buildPrefixTable, PrefixTable, type PrefixEntry } from '../../src/routing/prefix-table.ts';

type Words = readonly [number, number, number, number];

/** The slow, obvious table: every prefix is tried, the longest wins, of equal ones the last. */
function scan(entries: readonly PrefixEntry[], family: 4 | 6, address: Words): number {
  let best: PrefixEntry | undefined;
  for (const entry of entries) {
    if (!prefixContains(entry, { family, address, bits: family === 4 ? 32 : 128 })) continue;
    if (best === undefined || entry.bits >= best.bits) best = entry;
  }
  return best?.value ?? -1;
}

function tableOf(entries: readonly PrefixEntry[]): PrefixTable {
  return new PrefixTable(buildPrefixTable(entries));
}

function routes(...texts: string[]): PrefixEntry[] {
  return texts.map((text, value) => ({ ...parsePrefix(text), value }));
}

function lookUp(table: PrefixTable, text: string): number {
  const { family, address } = parsePrefix(text);
  return table.lookup(family, ...address);
}

test('an empty table has nothing', (t) => {
  const table = tableOf([]);
  for (const text of ['0.0.0.0', '255.255.255.255', '::', 'ffff::']) t.is(lookUp(table, text), -1);
});

test('the longest prefix decides, host bits or not, up to the last address', (t) => {
  const table = tableOf(
    routes('0.0.0.0/0', '10.0.0.0/8', '10.0.0.0/24', '10.0.0.7/32', '10.0.0.99/25', '255.255.255.255'),
  );
  t.is(lookUp(table, '9.255.255.255'), 0);
  t.is(lookUp(table, '10.0.1.0'), 1);
  t.is(lookUp(table, '10.0.0.128'), 2);
  t.is(lookUp(table, '10.0.0.6'), 4);
  t.is(lookUp(table, '10.0.0.7'), 3);
  t.is(lookUp(table, '10.0.0.8'), 4);
  t.is(lookUp(table, '10.255.255.255'), 1);
  t.is(lookUp(table, '11.0.0.0'), 0);
  t.is(lookUp(table, '255.255.255.254'), 0);
  t.is(lookUp(table, '255.255.255.255'), 5);
  t.is(lookUp(table, '::'), -1, 'the families stand apart');
});

test('IPv6: nested prefixes of one start, neighbours, both ends of the space', (t) => {
  const last = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
  const table = tableOf(
    routes('2001:db8::/32', '2001:db8::/64', '2001:db8::/128', '2001:db9::/32', `${last}/128`, '::/1'),
  );
  t.is(lookUp(table, '::'), 5);
  t.is(lookUp(table, '2001:db7:ffff:ffff:ffff:ffff:ffff:ffff'), 5);
  t.is(lookUp(table, '2001:db8::'), 2);
  t.is(lookUp(table, '2001:db8::1'), 1);
  t.is(lookUp(table, '2001:db8:0:1::'), 0);
  t.is(lookUp(table, '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'), 0);
  t.is(lookUp(table, '2001:db9::'), 3);
  t.is(lookUp(table, '2001:dba::'), 5);
  t.is(lookUp(table, '8000::'), -1);
  t.is(lookUp(table, 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe'), -1);
  t.is(lookUp(table, last), 4);
});

test('of equal prefixes the last wins', (t) => {
  t.is(lookUp(tableOf(routes('10.0.0.0/8', '10.1.0.0/16', '10.2.3.4/8')), '10.200.0.0'), 2);
});

// A few address bits, so that prefixes nest, meet and repeat: at the top, across a word, and at the end.
const SMALL: readonly { family: 4 | 6; shift: number }[] = [
  { family: 4, shift: 96 },
  { family: 4, shift: 122 },
  { family: 6, shift: 0 },
  { family: 6, shift: 29 },
  { family: 6, shift: 122 },
];

/** The 6 bits of `value` at bit `shift` of an address of zeros, or of ones where `ones`. */
function small(value: number, shift: number, family: 4 | 6, ones: boolean): Words {
  const fill = ones ? (1n << 128n) - 1n : 0n;
  const at = BigInt(122 - shift);
  const all = (fill & ~(63n << at)) | (BigInt(value) << at);
  const words = [96n, 64n, 32n, 0n].map((low) => Number(BigInt.asIntN(32, all >> low)));
  return family === 4 ? [0, 0, 0, words[3]] : [words[0], words[1], words[2], words[3]];
}

for (const { family, shift } of SMALL) {
  test(`IPv${family}: as the slow table says, prefixes among 64 blocks at bit ${shift}`, (t) => {
    const first = family === 4 ? shift - 96 : shift;
    const full = family === 4 ? 32 : 128;
    const prefix = fc.tuple(
      fc.nat(63),
      fc.oneof(fc.integer({ min: 0, max: 6 }), fc.constant(full - first)),
      fc.boolean(),
    );
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 40 }), (list) => {
        const entries = list.map(([value, bits, ones], index) => ({
          family,
          address: small(value, shift, family, ones),
          bits: first + bits,
          value: index,
        }));
        const table = tableOf(entries);
        const probes = Array.from({ length: 128 }, (_, probe) => small(probe >> 1, shift, family, probe % 2 === 1));
        const found = probes.map((address) => table.lookup(family, ...address));
        t.deepEqual(
          found,
          probes.map((address) => scan(entries, family, address)),
        );
      }),
      { seed: 2, numRuns: 150 },
    );
  });
}

/** Deterministic random int32s. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return z ^ (z >>> 16);
  };
}

/** Prefixes by length: what makes a reference for many of them quick enough, and still has no code in common. */
function hashed(entries: readonly PrefixEntry[]): (family: 4 | 6, address: Words) => number {
  const key = (family: 4 | 6, address: Words, bits: number) => {
    const all = address.reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n);
    return `${family}/${bits}/${all >> BigInt((family === 4 ? 32 : 128) - bits)}`;
  };
  const byPrefix = new Map(entries.map((entry) => [key(entry.family, entry.address, entry.bits), entry.value]));
  const lengths = (family: 4 | 6) => [...new Set(entries.filter((e) => e.family === family).map((e) => e.bits))];
  const longestFirst = { 4: lengths(4).sort((a, b) => b - a), 6: lengths(6).sort((a, b) => b - a) };
  return (family, address) => {
    for (const bits of longestFirst[family]) {
      const value = byPrefix.get(key(family, address, bits));
      if (value !== undefined) return value;
    }
    return -1;
  };
}

test('100,000 random prefixes of each family', (t) => {
  const next = random(7);
  const entries: PrefixEntry[] = [];
  for (let index = 0; index < 100_000; index++) {
    entries.push({ family: 4, address: [0, 0, 0, next()], bits: 8 + ((next() >>> 0) % 25), value: 2 * index });
    // Half of them crowd into one /32, as a VPC's do.
    const head = index % 2 === 0 ? 0x20010db8 : next();
    const address: Words = [head, next() & 0xffff, next(), next()];
    entries.push({ family: 6, address, bits: 32 + ((next() >>> 0) % 97), value: 2 * index + 1 });
  }
  const table = tableOf(entries);
  const reference = hashed(entries);
  let found = 0;
  for (let probe = 0; probe < 2_000; probe++) {
    const { family, address } = entries[(next() >>> 0) % entries.length];
    const near: Words = [address[0], address[1], address[2], address[3] + ((next() >>> 0) % 3) - 1];
    for (const words of [
      near,
      family === 4 ? ([0, 0, 0, next()] as const) : ([near[0], near[1], next(), next()] as const),
    ]) {
      const value = reference(family, words);
      if (value >= 0) found++;
      if (table.lookup(family, ...words) !== value) t.fail(`IPv${family} ${words.join(' ')}`);
    }
  }
  t.true(found > 2_000, `${found} had a route`);
});

test('130,000 host routes side by side', (t) => {
  const entries: PrefixEntry[] = [];
  for (let index = 0; index < 130_000; index++) {
    entries.push({ family: 4, address: [0, 0, 0, 0x0a000000 + index], bits: 32, value: index });
  }
  const table = tableOf(entries);
  for (let index = 0; index < 130_000; index++) {
    if (table.lookup(4, 0, 0, 0, 0x0a000000 + index) !== index) t.fail(String(index));
  }
  t.is(lookUp(table, '9.255.255.255'), -1);
  t.is(table.lookup(4, 0, 0, 0, 0x0a000000 + 130_000), -1);
});

test('a table reaches a worker without being copied', async (t) => {
  const data = buildPrefixTable(routes('10.0.0.0/8', '2001:db8::/32'));
  const worker = new Worker(
    "const { parentPort, workerData: d } = require('node:worker_threads'); parentPort.postMessage(d)",
    {
      eval: true,
      workerData: data,
    },
  );
  const back = await new Promise<typeof data>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  data.ipv4.values[0] = 1234;
  t.is(back.ipv4.values[0], 1234);
  t.is(lookUp(new PrefixTable(back), '10.9.9.9'), 0);
  t.is(lookUp(new PrefixTable(back), '2001:db8::9'), 1);
});
