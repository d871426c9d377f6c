import test from 'ava';
import fc from 'fast-check';
import { Acl, compileAcls, ruleCount, type AclPrefix, type AclRule, type AclSpec } from '../../src/policy/acl.ts';
import { IN, OUT } from '../../src/policy/direction.ts';
import { Packet } from '../../src/wire/packet.ts';
import { rule } from '../dataplane/gateways.ts';
import { echo, icmp, ip, packetWords, tcp, udp } from '../wire/packets.ts';

function prefix(text: string): AclPrefix {
  const [address, bits] = text.split('/');
  return { family: address.includes(':') ? 6 : 4, address: packetWords(address), bits: Number(bits) };
}

function packet(bytes: Uint8Array): Packet {
  const parsed = new Packet();
  if (!parsed.parse(bytes, 0, bytes.length)) throw new Error('the test made a bad packet');
  return parsed;
}

/** Whether one rule, alone, decides about a packet. */
function matches(change: Partial<AclRule>, bytes: Uint8Array, direction = IN): boolean {
  return new Acl(compileAcls([{ rules: [rule(change)], otherwise: 'deny' }])).judge(0, direction, packet(bytes)) === 0;
}

const WEB = ip('10.0.0.1', '172.31.1.1', 6, tcp(5000, 443, 2));

test('a rule matches by direction, protocol, prefixes and destination ports', (t) => {
  t.true(matches({}, WEB));
  t.true(matches({ direction: 'in' }, WEB));
  t.false(matches({ direction: 'out' }, WEB));
  t.true(matches({ direction: 'out' }, WEB, OUT));
  t.true(matches({ protocol: 6 }, WEB));
  t.false(matches({ protocol: 17 }, WEB));
  t.true(matches({ sources: [prefix('192.168.0.0/16'), prefix('10.0.0.0/31')] }, WEB));
  t.false(matches({ sources: [prefix('172.31.1.1/32')] }, WEB));
  t.true(matches({ destinations: [prefix('0.0.0.0/0')] }, WEB));
  t.false(matches({ destinations: [prefix('10.0.0.1/32')] }, WEB));
  t.true(matches({ ports: [[80, 80], [443, 443]] }, WEB)); // prettier-ignore
  t.true(matches({ ports: [[400, 443]] }, WEB));
  t.false(matches({ ports: [[444, 65535]] }, WEB));
  t.false(matches({ ports: [[5000, 5000]] }, WEB), 'the source port is not looked at');
});

test('a prefix matches only its own family', (t) => {
  const mapped = ip('::ffff:10.0.0.1', '::1', 6, tcp(5000, 443, 2));
  const compatible = ip('::10.0.0.1', '::1', 6, tcp(5000, 443, 2));
  for (const bytes of [mapped, compatible]) {
    t.false(matches({ sources: [prefix('10.0.0.1/32')] }, bytes));
    t.false(matches({ sources: [prefix('0.0.0.0/0')] }, bytes));
    t.true(matches({ sources: [prefix('::/0')] }, bytes));
    t.true(matches({}, bytes));
  }
  t.false(matches({ sources: [prefix('::/0')] }, WEB));
  t.true(matches({ destinations: [prefix('2001:db8::/32')] }, ip('::1', '2001:db8:ffff::1', 17, udp(1, 2))));
  t.false(matches({ destinations: [prefix('2001:db8::/33')] }, ip('::1', '2001:db8:ffff::1', 17, udp(1, 2))));
});

test('icmp means ICMP of either family; type and code match ICMP only', (t) => {
  const ping = ip('10.0.0.1', '10.0.0.2', 1, echo(8, 1));
  const ping6 = ip('::1', '::2', 58, echo(128, 1));
  t.true(matches({ protocol: 1 }, ping));
  t.true(matches({ protocol: 1 }, ping6));
  t.false(matches({ protocol: 58 }, ping));
  t.true(matches({ protocol: 58 }, ping6));
  t.false(matches({ protocol: 1 }, ip('10.0.0.1', '10.0.0.2', 58, echo(128, 1))));
  t.true(matches({ protocol: 1, icmpType: 8 }, ping));
  t.true(matches({ icmpType: 8, icmpCode: 0 }, ping));
  t.false(matches({ icmpType: 8, icmpCode: 1 }, ping));
  t.false(matches({ icmpType: 0 }, WEB));
  t.true(matches({ icmpType: 3, icmpCode: 4 }, ip('10.0.0.1', '10.0.0.2', 1, icmp(3, 4, new Uint8Array(4)))));
});

test('a rule with ports matches no protocol without ports and no later fragment', (t) => {
  const ports = [[0, 65535]] as const;
  for (const protocol of [6, 17, 132, 33, 136])
    t.true(matches({ ports }, ip('10.0.0.1', '10.0.0.2', protocol, tcp(1, 2, 0))));
  t.false(matches({ ports }, ip('10.0.0.1', '10.0.0.2', 1, echo(8, 1))));
  t.false(matches({ ports }, ip('10.0.0.1', '10.0.0.2', 47, new Uint8Array(8))));
  t.false(
    matches({ ports }, ip('10.0.0.1', '10.0.0.2', 17, udp(1, 2), { fragment: { offset: 80, more: false, id: 1 } })),
  );
});

test('the first match decides, else the default; rules are numbered through all ACLs', (t) => {
  const web = { protocol: 6, ports: [[443, 443]] } as const;
  const program = compileAcls([
    { rules: [rule({ protocol: 17 }), rule({ ...web, action: 'deny' }), rule(web)], otherwise: 'allow' },
    { rules: [], otherwise: 'deny' },
    { rules: [rule(web), rule({ action: 'deny' })], otherwise: 'allow' },
  ]);
  const acl = new Acl(program);
  t.is(ruleCount(program), 5);
  const verdict = (list: number, bytes: Uint8Array) => {
    const number = acl.judge(list, IN, packet(bytes));
    return [number, acl.allows(list, number)];
  };
  const other = ip('10.0.0.1', '10.0.0.2', 47, new Uint8Array(4));
  t.deepEqual(verdict(0, WEB), [1, false]);
  t.deepEqual(verdict(0, other), [-1, true]);
  t.deepEqual(verdict(1, WEB), [-1, false]);
  t.deepEqual(verdict(2, WEB), [3, true]);
  t.deepEqual(verdict(2, other), [4, false]);
});

// A universe small enough for rules to hit and to miss.
const ADDRESSES = [
  '10.0.0.0',
  '10.0.0.1',
  '10.0.0.2',
  '10.0.1.0',
  '10.128.0.0',
  'fd00::',
  'fd00::1',
  'fd00:0:0:1::',
  'fd00::1:0:0',
];
const address4 = fc.constantFrom(...ADDRESSES.filter((address) => !address.includes(':')));
const address6 = fc.constantFrom(...ADDRESSES.filter((address) => address.includes(':')));
const port = fc.nat(5);
const payload = fc.oneof(
  fc.tuple(fc.constantFrom(6, 132), port, port).map(([protocol, from, to]) => ({ protocol, bytes: tcp(from, to, 16) })),
  fc.tuple(port, port).map(([from, to]) => ({ protocol: 17, bytes: udp(from, to) })),
  fc
    .tuple(fc.constantFrom(1, 58), fc.nat(2), fc.nat(2))
    .map(([protocol, type, code]) => ({ protocol, bytes: icmp(type, code, new Uint8Array(4)) })),
  fc.constantFrom(47, 50).map((protocol) => ({ protocol, bytes: new Uint8Array(8) })),
);
const fragment = fc.option(fc.constant({ offset: 160, more: true, id: 1 }), { nil: undefined, freq: 8 });
const anyPacket = fc
  .tuple(fc.oneof(fc.tuple(address4, address4), fc.tuple(address6, address6)), payload, fragment)
  .map(([[from, to], { protocol, bytes }, fragment]) => ip(from, to, protocol, bytes, fragment && { fragment }));
const anyPrefix = fc
  .tuple(fc.constantFrom(...ADDRESSES), fc.constantFrom(0, 9, 24, 30, 31, 32, 63, 64, 65, 96, 127, 128))
  .map(([address, bits]) => prefix(`${address}/${address.includes(':') ? bits : Math.min(bits, 32)}`));
const anyRule = fc.record({
  name: fc.constant('rule'),
  action: fc.constantFrom('allow', 'deny'),
  direction: fc.constantFrom('in', 'out', 'both'),
  protocol: fc.constantFrom(-1, -1, 1, 6, 17, 47, 58),
  sources: fc.array(anyPrefix, { maxLength: 2 }),
  destinations: fc.array(anyPrefix, { maxLength: 2 }),
  ports: fc.array(
    fc.tuple(port, port).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
    { maxLength: 2 },
  ),
  icmpType: fc.constantFrom(-1, -1, -1, 0, 1),
  icmpCode: fc.constantFrom(-1, -1, -1, 0, 1),
});
const anySpec: fc.Arbitrary<AclSpec> = fc.record({
  rules: fc.array(anyRule, { maxLength: 8 }),
  otherwise: fc.constantFrom('allow', 'deny'),
});

function bits(words: readonly number[], count: number, family: 4 | 6): string {
  const all = words.map((word) => (word >>> 0).toString(2).padStart(32, '0')).join('');
  return (family === 4 ? all.slice(96) : all).slice(0, count);
}

/** The slow, obvious reading of a rule. */
function obviouslyMatches(rule: AclRule, packet: Packet, direction: 'in' | 'out'): boolean {
  const inPrefix = (words: readonly number[]) => (prefix: AclPrefix) =>
    prefix.family === packet.version &&
    bits(words, prefix.bits, prefix.family) === bits(prefix.address, prefix.bits, prefix.family);
  const { src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = packet;
  const protocols = rule.protocol === 1 && packet.version === 6 ? [1, 58] : [rule.protocol];
  const hasPorts = packet.fragment !== 2 && [6, 17, 33, 132, 136].includes(packet.protocol);
  return (
    [direction, 'both'].includes(rule.direction) &&
    (rule.protocol === -1 || protocols.includes(packet.protocol)) &&
    (rule.sources.length === 0 || rule.sources.some(inPrefix([src0, src1, src2, src3]))) &&
    (rule.destinations.length === 0 || rule.destinations.some(inPrefix([dst0, dst1, dst2, dst3]))) &&
    (rule.ports.length === 0 ||
      (hasPorts && rule.ports.some(([from, to]) => packet.dstPort >= from && packet.dstPort <= to))) &&
    (rule.icmpType === -1 || rule.icmpType === packet.icmpType) &&
    (rule.icmpCode === -1 || rule.icmpCode === packet.icmpCode)
  );
}

test('any rules and packets: as the obvious reading says', (t) => {
  let byRule = 0;
  let byDefault = 0;
  fc.assert(
    fc.property(
      fc.array(anySpec, { minLength: 1, maxLength: 3 }),
      fc.array(anyPacket, { minLength: 5, maxLength: 20 }),
      (specs, packets) => {
        const acl = new Acl(compileAcls(specs));
        for (const parsed of packets.map(packet)) {
          let first = 0;
          for (const [list, spec] of specs.entries()) {
            for (const direction of ['in', 'out'] as const) {
              const hit = spec.rules.findIndex((rule) => obviouslyMatches(rule, parsed, direction));
              const number = acl.judge(list, direction === 'in' ? IN : OUT, parsed);
              const allowed = (hit < 0 ? spec.otherwise : spec.rules[hit].action) === 'allow';
              if (number !== (hit < 0 ? -1 : first + hit) || acl.allows(list, number) !== allowed)
                t.fail(`rule ${number}`);
              if (hit < 0) byDefault++;
              else byRule++;
            }
            first += spec.rules.length;
          }
        }
      },
    ),
    { seed: 3, numRuns: 500 },
  );
  t.true(byRule > 1000 && byDefault > 1000, `${byRule} by a rule, ${byDefault} by default`);
});
