import test from 'ava';
import { Acl, compileAcls, type AclPrefix, type AclRule } from '../../src/policy/acl.ts';
import { IN, OUT } from '../../src/policy/direction.ts';
import { Packet } from '../../src/wire/packet.ts';
import { seeded } from '../lab/datagrams.ts';

const SEED = 20261121;

type Random = () => number;
const below = (random: Random, limit: number): number => Math.floor(random() * limit);
const pick = <T>(random: Random, choices: readonly T[]): T => choices[below(random, choices.length)];

/** Addresses that differ in few bits, so that rules and packets meet. */
function address(random: Random, family: 4 | 6): [number, number, number, number] {
  const word = (): number => pick(random, [0, 1, 0x0a000000, 0x7fffffff, -1, -2, -0x80000000, below(random, 64)]);
  return family === 4 ? [0, 0, 0, word()] : [pick(random, [0x20010db8, -1]), pick(random, [0, 1]), word(), word()];
}

function prefix(random: Random): AclPrefix {
  const family = pick(random, [4, 4, 6] as const);
  const bits = pick(random, family === 4 ? [0, 1, 8, 24, 30, 31, 32] : [0, 1, 32, 64, 65, 96, 126, 128]);
  return { family, address: address(random, family), bits };
}

function prefixes(random: Random): AclPrefix[] {
  return Array.from({ length: pick(random, [0, 0, 1, 1, 2, 5]) }, () => prefix(random));
}

function rule(random: Random): AclRule {
  const isIcmp = random() < 0.2;
  const port = (): readonly [number, number] => {
    const from = pick(random, [0, 1, 80, 443, 32768, 65535]);
    return [from, Math.min(65535, from + pick(random, [0, 1, 1000, 65535]))];
  };
  return {
    name: 'rule',
    action: pick(random, ['allow', 'deny'] as const),
    direction: pick(random, ['in', 'out', 'both'] as const),
    protocol: isIcmp ? pick(random, [1, 58]) : pick(random, [-1, 6, 6, 17, 47, 132]),
    sources: prefixes(random),
    destinations: prefixes(random),
    ports: isIcmp ? [] : Array.from({ length: pick(random, [0, 1, 1, 2, 3]) }, port),
    icmpType: isIcmp ? pick(random, [-1, 0, 8, 128]) : -1,
    icmpCode: isIcmp ? pick(random, [-1, 0, 1]) : -1,
  };
}

/** Fields that a parse may give, without the bytes. */
function randomize(packet: Packet, random: Random): void {
  const family = pick(random, [4, 4, 6] as const);
  packet.version = family;
  [packet.src0, packet.src1, packet.src2, packet.src3] = address(random, family);
  [packet.dst0, packet.dst1, packet.dst2, packet.dst3] = address(random, family);
  packet.protocol = pick(random, [1, 58, 6, 6, 17, 47, 132, 255]);
  packet.fragment = random() < 0.05 ? 2 : 0;
  const hasPorts = [6, 17, 132].includes(packet.protocol) && packet.fragment === 0;
  packet.dstPort = hasPorts ? pick(random, [0, 1, 2, 80, 81, 443, 1442, 32768, 65534, 65535]) : 0;
  const isIcmp = [1, 58].includes(packet.protocol) && packet.fragment === 0;
  packet.icmpType = isIcmp ? pick(random, [0, 3, 8, 128]) : -1;
  packet.icmpCode = isIcmp ? pick(random, [0, 1, 2]) : -1;
}

/** A list is walked from its first rule on, and each condition is looked at by itself. */
function walk(rules: readonly AclRule[], direction: number, packet: Packet): number {
  const { version, src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = packet;
  const source = [src0, src1, src2, src3];
  const destination = [dst0, dst1, dst2, dst3];
  const hasPorts = packet.fragment !== 2 && [6, 17, 33, 132, 136].includes(packet.protocol);
  return rules.findIndex(
    (each) =>
      (each.direction === 'both' || each.direction === (direction === IN ? 'in' : 'out')) &&
      (each.protocol === -1 ||
        each.protocol === packet.protocol ||
        (each.protocol === 1 && version === 6 && packet.protocol === 58)) &&
      (each.icmpType === -1 || each.icmpType === packet.icmpType) &&
      (each.icmpCode === -1 || each.icmpCode === packet.icmpCode) &&
      (each.ports.length === 0 ||
        (hasPorts && each.ports.some(([from, to]) => packet.dstPort >= from && packet.dstPort <= to))) &&
      (each.sources.length === 0 || each.sources.some((one) => holds(one, version, source))) &&
      (each.destinations.length === 0 || each.destinations.some((one) => holds(one, version, destination))),
  );
}

function holds({ family, address, bits }: AclPrefix, version: number, words: readonly number[]): boolean {
  if (family !== version) return false;
  for (let bit = family === 4 ? 96 : 0, left = bits; left > 0; bit++, left--) {
    if ((((address[bit >>> 5] ^ words[bit >>> 5]) >>> (31 - (bit & 31))) & 1) !== 0) return false;
  }
  return true;
}

test('100,000 packets: the index finds the rule that a walk finds first', (t) => {
  const random = seeded(SEED);
  const packet = new Packet();
  let matched = 0;
  for (let list = 0; list < 100; list++) {
    const rules = Array.from({ length: pick(random, [0, 1, 10, 31, 32, 33, 100, 200]) }, () => rule(random));
    const before = Array.from({ length: below(random, 40) }, () => rule(random));
    const acl = new Acl(
      compileAcls([
        { rules: before, otherwise: 'deny' },
        { rules, otherwise: 'deny' },
      ]),
    );
    for (let count = 0; count < 1000; count++) {
      randomize(packet, random);
      const direction = pick(random, [IN, OUT]);
      const walked = walk(rules, direction, packet);
      const found = acl.judge(1, direction, packet);
      if (found !== (walked < 0 ? -1 : before.length + walked)) {
        t.fail(`seed ${SEED}, list ${list}, packet ${count}: rule ${found}, by a walk ${walked} of ${rules.length}`);
      }
      if (walked >= 0) matched++;
    }
  }
  t.true(matched > 20_000 && matched < 95_000, `${matched} matched`);
});

test('among 10,000 rules no more are compared than among 10', (t) => {
  const random = seeded(SEED);
  const web = (number: number): AclRule => ({
    ...{ name: '', action: 'allow', direction: 'in', protocol: 6, destinations: [], icmpType: -1, icmpCode: -1 },
    sources: [{ family: 4, address: [0, 0, 0, (10 << 24) + (number << 8)], bits: 24 }],
    ports: [[number % 1000, (number % 1000) + 100]],
  });
  const packet = new Packet();
  for (const size of [10, 10_000]) {
    const acl = new Acl(
      compileAcls([{ rules: Array.from({ length: size }, (_, number) => web(number)), otherwise: 'deny' }]),
    );
    randomize(packet, random);
    packet.version = 4;
    packet.protocol = 6;
    packet.fragment = 0;
    for (const number of [0, size >> 1, size - 1]) {
      packet.src3 = (10 << 24) + (number << 8) + 7;
      packet.dstPort = (number % 1000) + 50;
      t.is(acl.judge(0, IN, packet), number);
      t.is(acl.compared, 1);
      packet.dstPort = 60_000;
      t.is(acl.judge(0, IN, packet), -1);
      t.is(acl.compared, 0);
    }
  }
});

test('a list of 10,000 rules is compiled to a bounded index, whatever overlaps', (t) => {
  const nested = Array.from({ length: 10_000 }, (_, number): AclRule => ({
    ...{ name: '', action: 'deny', direction: 'both', protocol: 17, ports: [], icmpType: -1, icmpCode: -1 },
    sources: number % 2 === 0 ? [] : [{ family: 4, address: [0, 0, 0, number << 12], bits: 20 + (number % 13) }],
    destinations: number % 2 === 1 ? [] : [{ family: 4, address: [0, 0, 0, number << 10], bits: 22 }],
  }));
  const { index } = compileAcls([{ rules: nested, otherwise: 'deny' }]);
  t.true(index.byteLength < 64e6, `${index.byteLength} bytes`);
});
