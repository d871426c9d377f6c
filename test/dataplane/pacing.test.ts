import test from 'ava';
import { formatFault, readConfig } from '../../src/control/config.ts';
import { Rules } from '../../src/gateway/rules.ts';
import { CLASS_COUNTER, createClassCounters } from '../../src/policy/shaper.ts';
import { ip, udp } from '../wire/packets.ts';
import { joined, many, packetToA, packetToB, rule } from './gateways.ts';

/** A packet of 1,000 bytes from behind `a` to behind `b`; `port` makes its flow. */
function packet(number: number, port = 1000, to = 2000): Uint8Array {
  const bytes = ip('172.31.0.1', '192.168.0.1', 17, udp(port, to, 972));
  new DataView(bytes.buffer).setInt32(28, number);
  return bytes;
}

/** Two gateways, of which one limits: the first what it sends, or the second what it receives. */
function limited(direction: 'out' | 'in', said: { rate?: number; perFlow?: number }) {
  const pair = joined();
  const { underlay, a, b } = pair;
  const node = direction === 'out' ? a : b;
  node.judge([{ rules: [rule(said)], otherwise: 'deny' }]);
  const run = (ms: number) => {
    for (const end = underlay.now + ms; underlay.now < end;) {
      underlay.run(0.5);
      a.work();
      b.work();
    }
  };
  return { ...pair, node, run };
}

test('a rule of a security group limits what it let begin, in both directions, each by itself', (t) => {
  const text = `
gateway: {name: b, subnets: [192.168.0.0/16]}
peerings:
  - {name: a, role: client, psk: ${'ab'.repeat(32)}, subnets: [172.31.0.0/16], security_groups: hosts}
security_groups:
  hosts: {ingress: [{source: 172.31.0.0/16, protocol: udp, rate: 800kbit}]}
`;
  const result = readConfig({ text, file: 'b.yaml', directory: '/' }, {});
  if (!('config' in result)) return t.fail(result.faults.map(formatFault).join('\n'));
  const { a, b, run } = limited('in', {});
  const rules = new Rules(result.config);
  b.judgeBy(rules.program, rules.inbound);
  a.send(...many(60, (number) => packetToB(number, 972)));
  run(100);
  t.true(b.received.length >= 24 && b.received.length <= 28, `${b.received.length} packets`);
  b.send(...many(60, (number) => packetToA(number, 972)));
  run(100);
  t.true(a.received.length >= 24 && a.received.length <= 28, `${a.received.length} answers`);
  run(500);
  t.is(b.received.length, 60);
  t.is(a.received.length, 60);
});

for (const direction of ['out', 'in'] as const) {
  for (const limit of ['rate', 'perFlow'] as const) {
    test(`${direction}: what is beyond a rule's ${limit} comes later, whole and in order`, (t) => {
      const { a, b, node, run } = limited(direction, { [limit]: 100_000 });
      const packets = many(60, (number) => packet(number));
      a.send(...packets);
      run(100);
      // 16 KiB at once, of which the last packet is owed for in part, and then 100 bytes each ms.
      t.true(b.received.length >= 24 && b.received.length <= 28, `${b.received.length} packets`);
      run(500);
      t.deepEqual(b.received, packets);
      t.deepEqual(node.drops(0), {});
      t.is(direction === 'out' ? node.outbound.delay() : node.inbound.delay(), Infinity);
    });
  }

  test(`${direction}: what would wait too long is dropped by that reason`, (t) => {
    const { a, b, node, run } = limited(direction, { rate: 100_000 });
    a.send(...many(200, (number) => packet(number)));
    run(3000);
    const dropped = node.drops(0)['rate-exceeded'];
    t.true(dropped > 100 && dropped < 130, `${dropped} dropped`);
    t.deepEqual(
      b.received,
      many(200 - dropped, (number) => packet(number)),
    );
  });

  test(`${direction}: a flow that waits does not hold up another`, (t) => {
    const { a, b, run } = limited(direction, { perFlow: 100_000 });
    a.send(...many(60, (number) => packet(number)));
    a.send(...many(10, (number) => packet(number, 1001)));
    run(2);
    const ports = b.received.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(20));
    t.is(ports.filter((port) => port === 1001).length, 10);
    t.true(ports.filter((port) => port === 1000).length < 20);
  });

  test(`${direction}: the rate is that of one direction, answers have their own`, (t) => {
    const { a, b, run } = limited(direction, { perFlow: 100_000 });
    a.send(...many(60, (number) => packetToB(number, 972)));
    run(2);
    b.send(...many(10, (number) => packetToA(number, 972)));
    run(2);
    t.is(a.received.length, 10);
  });

  test(`${direction}: what waited for its rule is shaped with the rest of the peering`, (t) => {
    const { a, b, node, run } = limited(direction, { rate: 200_000 });
    const thread = direction === 'out' ? node.outbound : node.inbound;
    const classes = [{ name: 'all', dscp: [], priority: 1, weight: 1, rate: 0 }];
    const counters = createClassCounters();
    thread.apply({ type: 'shape', slot: 0, spec: { rate: 50_000, burst: 1500, classes }, counters });
    const packets = many(60, (number) => packet(number));
    a.send(...packets);
    run(400);
    t.true(b.received.length >= 20 && b.received.length <= 23, `${b.received.length} packets`);
    run(1200);
    t.deepEqual(b.received, packets);
    t.deepEqual(node.drops(0), {});
  });

  test(`${direction}: a class by rule goes first, also after it waited for the rule's rate, until a reload ends it`, (t) => {
    const { a, b, node, run } = limited(direction, {});
    const thread = direction === 'out' ? node.outbound : node.inbound;
    const common = { dscp: [], weight: 1, rate: 0 };
    const classes = [
      { ...common, name: 'first', priority: 1, rules: ['quick'] },
      { ...common, name: 'rest', priority: 8 },
    ];
    const counters = createClassCounters();
    const packetsOf = (number: number): number => counters[number * CLASS_COUNTER.words + CLASS_COUNTER.packets];
    thread.apply({ type: 'shape', slot: 0, spec: { rate: 100_000, burst: 1500, classes }, counters });
    const quick = rule({ name: 'quick', protocol: 17, ports: [[2001, 2001]], rate: 60_000 });
    const all = rule({ name: 'all' });
    node.judge([{ rules: [quick, all], otherwise: 'deny' }]);
    const marked = many(30, (number) => packet(number, 1000, 2001));
    a.send(...many(60, (number) => packet(number)), ...marked);
    run(400);
    const first = b.received.filter((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(22) === 2001);
    // 16 at once and 60 bytes each ms of 100: all of them, while the rest takes what is left.
    t.deepEqual(first, marked);
    t.is(packetsOf(0), 30);
    t.true(packetsOf(1) < 20, `${packetsOf(1)} of the rest`);
    run(1000);
    t.is(b.received.length, 90);
    node.judge([{ rules: [all], otherwise: 'deny' }]);
    a.send(packet(1, 1001, 2001));
    run(100);
    t.is(packetsOf(0), 30);
    t.is(packetsOf(1), 61);
  });

  test(`${direction}: a rule without a rate lets go on what waited, and a peer that is gone takes it along`, (t) => {
    const { a, b, node, run, ab, ba } = limited(direction, { rate: 100_000 });
    a.send(...many(40, (number) => packet(number)));
    run(5);
    node.judge([{ rules: [rule({})], otherwise: 'deny' }]);
    run(400);
    t.is(b.received.length, 40);
    node.judge([{ rules: [rule({ rate: 100_000 })], otherwise: 'deny' }]);
    a.send(...many(40, (number) => packet(number, 1007)));
    run(5);
    const { length } = b.received;
    node.removePeer(direction === 'out' ? ab : ba);
    run(1000);
    t.is(b.received.length, length);
    t.is(direction === 'out' ? node.outbound.delay() : node.inbound.delay(), Infinity);
  });
}
