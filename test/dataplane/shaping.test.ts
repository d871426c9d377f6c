import test from 'ava';
import { ROW } from '../../src/nic/layout.ts';
import { CLASS_COUNTER, createClassCounters, type ClassSpec, type ShapeSpec } from '../../src/policy/shaper.ts';
import { ip, tcp } from '../wire/packets.ts';
import { joined, many, packetToB } from './gateways.ts';

/** virtio's number for TCP over IPv4. */
const GSO_TCP4 = 1;
const REST: ClassSpec = { name: 'rest', dscp: [], priority: 4, weight: 1, rate: 0 };
const VOICE: ClassSpec = { name: 'voice', dscp: [46], priority: 1, weight: 1, rate: 0 };

/** `bytesPerMs` and what may go at once. */
function spec(bytesPerMs: number, burst = 1500, classes: ClassSpec[] = [REST]): ShapeSpec {
  return { rate: bytesPerMs * 1000, burst, classes };
}

/** What a 1,000-byte packet with this number and DSCP is, from behind `a` to behind `b`. */
function packet(number: number, dscp = 0): Uint8Array {
  const bytes = packetToB(number, 972);
  return dscp === 0 ? bytes : withDscp(bytes, dscp);
}

/** The header's sum goes on being right. */
function withDscp(bytes: Uint8Array, dscp: number): Uint8Array {
  const marked = bytes.slice();
  marked[1] = dscp << 2;
  let sum = ((bytes[10] << 8) | bytes[11]) - marked[1];
  if (sum <= 0) sum += 0xffff;
  marked[10] = sum >>> 8;
  marked[11] = sum & 255;
  return marked;
}

/** The gateways, the first's outbound or the second's inbound direction shaped. */
function shaped(direction: 'out' | 'in', first: ShapeSpec) {
  const pair = joined();
  const { underlay, a, b } = pair;
  const node = direction === 'out' ? a : b;
  const counters = createClassCounters();
  const shape = (specification: ShapeSpec | undefined) => {
    const thread = direction === 'out' ? node.outbound : node.inbound;
    thread.apply({ type: 'shape', slot: 0, spec: specification, counters });
  };
  shape(first);
  /** Lets time go by, both gateways looking every half ms. */
  const run = (ms: number) => {
    for (const end = underlay.now + ms; underlay.now < end;) {
      underlay.run(0.5);
      a.work();
      b.work();
    }
  };
  const count = (counter: keyof typeof CLASS_COUNTER, number = 0) =>
    counters[number * CLASS_COUNTER.words + CLASS_COUNTER[counter]];
  return { ...pair, node, shape, run, count };
}

for (const direction of ['out', 'in'] as const) {
  test(`${direction}: what is beyond the rate comes later, whole and in order`, (t) => {
    const { a, b, node, run, count } = shaped(direction, spec(100));
    const packets = many(40, packet);
    a.send(...packets);
    run(50);
    // Two at once, of which the second is owed for: 500 bytes, and then each 10 ms one more.
    t.true(b.received.length >= 5 && b.received.length <= 7, `${b.received.length} packets`);
    t.is(count('queued'), (40 - b.received.length) * 1000);
    run(450);
    t.deepEqual(b.received, packets);
    t.is(count('packets'), 40);
    t.is(count('bytes'), 40_000);
    t.is(count('delayed'), 38);
    t.is(count('queued'), 0);
    t.deepEqual(node.drops(0), {});
    const { sent, received } = node.traffic(0);
    t.is(direction === 'out' ? sent : received, 40);
    t.is(direction === 'out' ? node.outbound.delay() : node.inbound.delay(), Infinity);
  });

  test(`${direction}: a packet of a high priority goes before those that came earlier`, (t) => {
    const { a, b, run } = shaped(direction, spec(100, 1500, [VOICE, REST]));
    a.send(...many(20, packet));
    const voice = packet(99, 46);
    a.send(voice);
    run(20);
    t.true(b.received.length < 6);
    t.true(b.received.some((bytes) => bytes.every((byte, at) => byte === voice[at])));
    run(400);
    t.is(b.received.length, 21);
  });

  test(`${direction}: what finds no room is dropped by that reason, and the rest still passes`, (t) => {
    const { a, b, node, run, count } = shaped(direction, spec(100));
    a.send(...many(500, packet));
    const drops = node.drops(0)['shaper-queue-full'] ?? 0;
    run(3000);
    const dropped = node.drops(0)['shaper-queue-full'];
    t.true(dropped >= drops && dropped > 250);
    t.is(count('drops'), dropped);
    t.is(b.received.length, 500 - dropped);
    t.deepEqual(b.received, many(500 - dropped, packet));
  });

  test(`${direction}: a rate changes and nothing that waits is lost; without a shape it goes at once`, (t) => {
    const { a, b, node, run, shape, count } = shaped(direction, spec(100));
    a.send(...many(60, packet));
    run(20);
    shape(spec(200));
    run(100);
    const { length } = b.received;
    t.true(length > 15 && length < 30, `${length} packets`);
    shape(undefined);
    run(10);
    t.deepEqual(b.received, many(60, packet));
    t.is(count('queued'), 0);
    a.send(...many(60, packet, 60));
    run(10);
    t.deepEqual(b.received, many(120, packet));
    t.deepEqual(node.drops(0), {});
  });

  test(`${direction}: a peer that is gone leaves nothing behind`, (t) => {
    const { a, run, node, ab, ba } = shaped(direction, spec(100));
    a.send(...many(100, packet));
    run(20);
    node.removePeer(direction === 'out' ? ab : ba);
    t.is(node.outbound.delay(), Infinity);
    t.is(node.inbound.delay(), Infinity);
  });
}

test('a super-packet waits and is cut afterwards, charged with all its headers', (t) => {
  const { a, b, run, count } = shaped('out', spec(1000, 1500));
  const segments = 10;
  const segmentSize = 1000;
  const whole = ip('172.31.0.1', '192.168.0.1', 6, tcp(1000, 2000, 0x10, segments * segmentSize));
  const words = {
    [ROW.gso]: GSO_TCP4,
    [ROW.segmentSize]: segmentSize,
    [ROW.header]: 40,
    [ROW.segments]: segments,
  };
  a.sendRow(whole, words);
  a.sendRow(whole, words);
  run(3);
  t.is(b.received.length, segments);
  t.is(count('bytes'), segments * (segmentSize + 40));
  t.is(count('queued'), segments * (segmentSize + 40));
  run(20);
  t.is(b.received.length, 2 * segments);
  t.true(b.received.every(({ length }) => length === segmentSize + 40));
  t.is(count('packets'), 2 * segments);
});

test('small packets of one class cannot take the room of another', (t) => {
  const { a, b, run, count } = shaped('out', spec(10_000, 1500, [VOICE, { ...REST, priority: 8 }]));
  a.send(...many(10_000, (number) => packetToB(number)));
  t.true(count('drops', 1) > 0, 'all the room that it can have is taken');
  a.send(...many(8, (number) => packet(number, 46)));
  run(100);
  t.is(count('drops', 0), 0);
  t.is(b.received.length, 10_008 - count('drops', 1));
});

test('one peer’s shape is not another’s', (t) => {
  const { a, b, run, count } = shaped('out', spec(100));
  b.send(...many(1, () => ip('192.168.0.1', '172.31.0.1', 17, new Uint8Array(8))));
  run(5);
  t.is(count('packets'), 0);
  t.is(a.received.length, 1);
});
