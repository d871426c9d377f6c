import test from 'ava';
import type { AclSpec } from '../../src/policy/acl.ts';
import { createClassCounters } from '../../src/policy/shaper.ts';
import { buildPrefixTable } from '../../src/routing/prefix-table.ts';
import { parsePrefix } from '../../src/routing/prefix.ts';
import { associations } from '../../src/routing/routing.ts';
import { BLACKHOLE, LOCAL } from '../../src/routing/target.ts';
import { peering } from '../session/world.ts';
import { echo, icmp, ip, tcp, udp } from '../wire/packets.ts';
import { onesSum, withHeaderSum } from '../wire/sums.ts';
import { ALLOW_ALL, rule } from './gateways.ts';
import { Node } from './node.ts';
import { Underlay } from '../session/underlay.ts';

/**
 * A hub, 10.8.0.1, with three spokes: 10.1.0.0/16 and fd00:1::/32 in slot 0, 10.2 in slot 1, 10.3 in slot 2. Each spoke
 * reaches all others through the hub, but for 10.9.0.0/16, a blackhole.
 */
function hub(acls: AclSpec[] = [ALLOW_ALL, ALLOW_ALL, ALLOW_ALL]) {
  const underlay = new Underlay();
  const center = new Node(underlay, '192.0.2.9', 1);
  const owned = [1, 2, 3].flatMap((n) =>
    [`10.${n}.0.0/16`, `fd00:${n}::/32`].map((cidr) => ({ ...parsePrefix(cidr), value: n - 1 })),
  );
  const own = ['10.0.0.0/16', 'fd00:0::/32'].map((cidr) => ({ ...parsePrefix(cidr), value: LOCAL }));
  const owners = buildPrefixTable([...own, ...owned]);
  const table = buildPrefixTable([...own, ...owned, { ...parsePrefix('10.9.0.0/16'), value: BLACKHOLE }]);
  center.routeBy({ owners, tables: [table], association: associations(3, 0) });
  center.judge(acls);
  center.answerFrom('10.8.0.1', 'fd00:8::1');
  const spokes = [1, 2, 3].map((n) => {
    const spoke = new Node(underlay, `192.0.2.${n}`, 10 + n);
    const credentials = peering(n);
    center.connect(credentials.server, undefined, { acl: n - 1 });
    const peer = spoke.connect(credentials.client, center.endpoint);
    spoke.route({ [`10.${n}.0.0/16`]: 'local', [`fd00:${n}::/32`]: 'local', '0.0.0.0/0': 0, '::/0': 0 });
    spoke.judge([ALLOW_ALL]);
    spoke.mtu(9000);
    peer.wantSession(underlay.now);
    return spoke;
  });
  underlay.run(50);
  return { underlay, center, spokes };
}

const to2 = (payload = udp(1000, 2000, 8), options = {}) =>
  withHeaderSum(ip('10.1.0.1', '10.2.0.1', 17, payload, options));

test('a packet goes from spoke to spoke, with one hop less and nothing else changed', (t) => {
  const { underlay, center, spokes } = hub();
  const packets = [
    to2(),
    ip('fd00:1::1', 'fd00:2::1', 17, udp(1, 2, 30)),
    withHeaderSum(ip('10.1.0.1', '10.3.0.1', 6, tcp(1, 2, 2))),
  ];
  spokes[0].send(...packets);
  underlay.run(50);
  const [expected4, expected6, expected3] = packets.map((packet) => packet.slice());
  for (const packet of [expected4, expected3]) packet[8] = 63;
  expected6[7] = 63;
  t.deepEqual(spokes[1].received, [withHeaderSum(expected4), expected6]);
  t.deepEqual(spokes[2].received, [withHeaderSum(expected3)]);
  t.deepEqual(center.received, []);
  t.is(center.dropped(), 0);
  t.like(center.traffic(0), { received: 3, sent: 0 });
  t.like(center.traffic(1), { received: 0, sent: 2 });
  t.is(center.flows(), 6, 'a flow stands at both peerings');
});

for (const [direction, slot] of [
  ['inbound', 0],
  ['outbound', 1],
] as const) {
  test(`what the ${direction} shape of a hub's peering holds back goes on to the other spoke, later and in order`, (t) => {
    const { underlay, center, spokes } = hub();
    const spec = {
      rate: 100_000,
      burst: 1500,
      classes: [{ name: 'all', dscp: [], priority: 1, weight: 1, rate: 0 }],
    };
    center[direction].apply({ type: 'shape', slot, spec, counters: createClassCounters() });
    const packets = Array.from({ length: 20 }, (_, number) => to2(udp(1000 + number, 2000, 900)));
    spokes[0].send(...packets);
    const run = (ms: number) => {
      for (const end = underlay.now + ms; underlay.now < end; center.work()) underlay.run(1);
    };
    run(50);
    const early = spokes[1].received.length;
    t.true(early >= 4 && early <= 8, `${early} packets`);
    run(300);
    const expected = packets.map((packet) => withHeaderSum(packet.slice().fill(63, 8, 9)));
    t.deepEqual(spokes[1].received, expected);
    t.is(center.dropped(), 0);
    t.deepEqual(center.received, []);
  });
}

test('a run of one flow passes the hub as one super-packet, and comes out as it went in', (t) => {
  const { underlay, spokes } = hub();
  const data = 1000;
  const packets = Array.from({ length: 40 }, (_, number) => {
    const segment = tcp(1, 2, 0x10, data);
    new DataView(segment.buffer).setUint32(4, 5000 + number * data);
    segment.fill(number, 20);
    const packet = withHeaderSum(ip('10.1.0.1', '10.2.0.1', 6, segment).with(6, 0x40).with(5, number));
    const body = packet.subarray(20);
    const pseudo = onesSum([...packet.subarray(12, 20), 0, 6, body.length >> 8, body.length & 255, ...body]);
    body[16] = (~pseudo >>> 8) & 255;
    body[17] = ~pseudo & 255;
    return packet;
  });
  spokes[0].send(...packets);
  underlay.run(50);
  t.deepEqual(
    spokes[1].received.map((packet) => packet.slice(20)),
    packets.map((packet) => packet.slice(20)),
  );
  for (const packet of spokes[1].received) {
    t.is(packet[8], 63);
    t.is(onesSum(packet.subarray(0, 20)), 0xffff);
  }
});

test('both peerings judge: what the second refuses leaves no flow at the first', (t) => {
  const onlyIn: AclSpec = { rules: [rule({ direction: 'in' })], otherwise: 'deny' };
  const { underlay, center, spokes } = hub([ALLOW_ALL, onlyIn, ALLOW_ALL]);
  spokes[0].send(to2(), to2(udp(1, 2, 16), { fragment: { offset: 0, more: true, id: 5 } }));
  underlay.run(50);
  t.deepEqual(spokes[1].received, []);
  t.deepEqual(center.drops(0), { 'acl-default': 2 });
  t.is(center.flows(), 0);
  // Spoke 2 may begin, and then spoke 1 may answer.
  spokes[1].send(withHeaderSum(ip('10.2.0.1', '10.1.0.1', 17, udp(2000, 1000, 8))));
  underlay.run(50);
  spokes[0].send(to2());
  underlay.run(50);
  t.is(spokes[0].received.length, 1);
  t.is(spokes[1].received.length, 1);
});

test('what the first peering refuses is not judged at the second', (t) => {
  const onlyOut: AclSpec = { rules: [rule({ direction: 'out' })], otherwise: 'deny' };
  const { underlay, center, spokes } = hub([onlyOut, ALLOW_ALL, ALLOW_ALL]);
  spokes[0].send(to2());
  underlay.run(50);
  t.deepEqual(center.drops(0), { 'acl-default': 1 });
  t.is(center.flows(), 0);
});

/** ICMP type and code, source, and the quoted packet, of what a spoke got. */
function told(packet: Uint8Array) {
  const header = packet[0] >>> 4 === 4 ? 20 : 40;
  const from = header === 20 ? [...packet.subarray(12, 16)].join('.') : [...packet.subarray(8, 24)].join('.');
  return { what: [packet[header], packet[header + 1]], from, quoted: packet.slice(header + 8) };
}

test('a packet without a hop left is dropped, and its sender told', (t) => {
  const { underlay, center, spokes } = hub();
  const last4 = withHeaderSum(to2().with(8, 1));
  const last6 = ip('fd00:1::1', 'fd00:2::1', 17, udp(1, 2, 30)).with(7, 1);
  const zero = withHeaderSum(to2().with(8, 0));
  spokes[0].send(last4, last6, zero);
  underlay.run(50);
  t.deepEqual(spokes[1].received, []);
  t.deepEqual(center.drops(0), { 'ttl-expired': 3 });
  t.deepEqual(spokes[0].received.map(told), [
    { what: [11, 0], from: '10.8.0.1', quoted: last4 },
    { what: [3, 0], from: '253.0.0.8.0.0.0.0.0.0.0.0.0.0.0.1', quoted: last6 },
    { what: [11, 0], from: '10.8.0.1', quoted: zero },
  ]);
});

test('no route is told, a blackhole route and a rule are silent', (t) => {
  const { underlay, center, spokes } = hub([ALLOW_ALL, { rules: [], otherwise: 'deny' }, ALLOW_ALL]);
  const lost = withHeaderSum(ip('10.1.0.1', '10.7.0.1', 17, udp(1, 2)));
  spokes[0].send(lost, ip('10.1.0.1', '10.9.0.1', 17, udp(1, 2)), to2());
  underlay.run(50);
  t.deepEqual(center.drops(0), { 'destination-not-local': 1, 'blackhole-route': 1, 'acl-default': 1 });
  t.deepEqual(spokes[0].received.map(told), [{ what: [3, 0], from: '10.8.0.1', quoted: lost }]);
});

test('an ICMP error is never answered, and answers are limited', (t) => {
  const { underlay, center, spokes } = hub();
  const error = withHeaderSum(ip('10.1.0.1', '10.7.0.1', 1, icmp(3, 1, Uint8Array.of(0, 0, 0, 0, ...to2()))));
  spokes[0].send(error);
  underlay.run(50);
  t.deepEqual(spokes[0].received, []);
  const lost = withHeaderSum(ip('10.1.0.1', '10.7.0.1', 1, echo(8, 1)));
  for (let sent = 0; sent < 200; sent++) spokes[0].send(lost);
  underlay.run(50);
  t.is(spokes[0].received.length, 50);
  t.deepEqual(center.drops(0), { 'destination-not-local': 201, 'answer-limited': 150 });
});

test('"answers fragmentation needed only for what enters from a VPC or Connect": here each sender is told, or its packet cut where it allows that', (t) => {
  const { underlay, center, spokes } = hub();
  const data = udp(1, 2, 3000).map((byte, at) => (at < 8 ? byte : at));
  const big4 = withHeaderSum(to2(data).with(6, 0x40));
  const big6 = ip('fd00:1::1', 'fd00:2::1', 17, data);
  spokes[0].send(big4, big6);
  underlay.run(50);
  t.deepEqual(center.drops(0), { 'packet-too-big': 2 });
  const [told4, told6] = spokes[0].received;
  t.deepEqual(told(told4).what, [3, 4]);
  t.is(new DataView(told4.buffer).getUint16(26), 1420);
  t.deepEqual(told(told6).what, [2, 0]);
  t.is(new DataView(told6.buffer).getUint32(44), 1420);
  t.deepEqual(spokes[1].received, []);

  spokes[0].send(to2(data));
  underlay.run(50);
  t.is(spokes[1].received.length, 3);
  for (const fragment of spokes[1].received) {
    t.true(fragment.length <= 1420);
    t.is(fragment[8], 63);
    t.is(onesSum(fragment.subarray(0, 20)), 0xffff);
  }
  t.deepEqual(Uint8Array.from(spokes[1].received.flatMap((fragment) => [...fragment.subarray(20)])), data);
  t.deepEqual(center.drops(0), { 'packet-too-big': 2 });
});

test('what a spoke sends back to itself is not carried', (t) => {
  const { underlay, center, spokes } = hub();
  spokes[0].route({ '10.1.0.0/24': 'local', '0.0.0.0/0': 0 });
  spokes[0].send(withHeaderSum(ip('10.1.0.1', '10.1.1.1', 17, udp(1, 2))));
  underlay.run(50);
  t.deepEqual(center.drops(0), { 'destination-not-local': 1 });
});

test('without a session to the second peer a packet in transit waits for one', (t) => {
  const { underlay, center, spokes } = hub();
  underlay.run(200_000);
  spokes[0].send(to2());
  underlay.run(200);
  t.is(spokes[1].received.length, 1);
  t.is(center.dropped(), 0);
});

test('what was on its way to a peer that is removed meanwhile is no business of the next one in its slot', (t) => {
  const { underlay, center, spokes } = hub();
  center.outboundRests = true;
  const [, , last] = center.peers;
  spokes[0].send(withHeaderSum(ip('10.1.0.1', '10.3.0.1', 17, udp(1, 2))));
  underlay.run(50);
  center.removePeer(last);
  center.outboundRests = false;
  underlay.run(200);
  t.deepEqual(center.drops(), { 'no-session': 1 });
  const next = new Node(underlay, '192.0.2.4', 14);
  const credentials = peering(4);
  t.is(center.connect(credentials.server, undefined, { acl: 2 }).slot, 2);
  next.route({ '10.3.0.0/16': 'local', '0.0.0.0/0': 0 });
  next.judge([ALLOW_ALL]);
  next.connect(credentials.client, center.endpoint).wantSession(underlay.now);
  underlay.run(50);
  t.deepEqual(next.received, []);
  spokes[0].send(withHeaderSum(ip('10.1.0.1', '10.3.0.1', 17, udp(3, 4))));
  underlay.run(50);
  t.is(next.received.length, 1);
});

test('what waits for a rate while the MTU gets smaller is cut if it may be, else it goes as it is', (t) => {
  const { underlay, center, spokes } = hub();
  const spec = { rate: 10_000, burst: 2000, classes: [{ name: '', dscp: [], priority: 1, weight: 1, rate: 0 }] };
  center.mtu(9000);
  center.inbound.apply({ type: 'shape', slot: 0, spec, counters: createClassCounters() });
  const data = udp(1, 2, 2000);
  const sent = [to2(data), to2(data), to2(data).with(6, 0x40), ip('fd00:1::1', 'fd00:2::1', 17, data)];
  spokes[0].send(...sent);
  underlay.run(5);
  t.is(spokes[1].received.length, 1);
  center.mtu(1420);
  underlay.run(1000);
  t.deepEqual(
    spokes[1].received.map((packet) => packet.length),
    [2028, 1420, 628, 2028, 2048],
  );
  t.is(center.dropped(), 0);
});

test('more than the ring holds is dropped, counted, and the rest goes on', (t) => {
  const { underlay, center, spokes } = hub();
  center.outboundRests = true;
  const data = udp(1, 2, 8000);
  center.mtu(9000);
  for (let sent = 0; sent < 700; sent++) spokes[0].send(to2(data));
  underlay.run(50);
  center.outboundRests = false;
  underlay.run(200);
  const full = center.drops(0)['transit-queue-full'];
  t.true(full > 100 && full < 300, `${full}`);
  t.is(spokes[1].received.length, 700 - full);
  spokes[0].send(to2());
  underlay.run(50);
  t.is(spokes[1].received.length, 701 - full);
});
