import test from 'ava';
import { ROW } from '../../src/nic/layout.ts';
import { peering } from '../session/world.ts';
import { ip, tcp, udp } from '../wire/packets.ts';
import { ALLOW_ALL, apart, joined, many, packetToA, packetToB, rule } from './gateways.ts';
import { Node } from './node.ts';
import { sealTransport } from './transport.ts';
import { Underlay } from '../session/underlay.ts';

/** virtio's number for TCP over IPv4. */
const GSO_TCP4 = 1;

/** A gateway at 192.0.2.9 whose two peers own 10.0.0.0/8 and, inside of it, 10.1.0.0/16. */
function nested() {
  const underlay = new Underlay();
  const hub = new Node(underlay, '192.0.2.9', 1);
  hub.route({ '192.168.0.0/16': 'local', '10.0.0.0/8': 0, '10.1.0.0/16': 1 });
  hub.judge([ALLOW_ALL]);
  const [outer, inner] = [7, 8].map((psk) => {
    const node = new Node(underlay, `192.0.2.${psk}`, psk);
    const credentials = peering(psk);
    hub.connect(credentials.server);
    const peer = node.connect(credentials.client, hub.endpoint);
    node.route({ '10.0.0.0/8': 'local', '192.168.0.0/16': 0 });
    node.judge([ALLOW_ALL]);
    peer.wantSession(underlay.now);
    return node;
  });
  underlay.run(50);
  return { underlay, hub, outer, inner };
}

const from = (source: string) => ip(source, '192.168.0.1', 17, udp(5, 6));
const to = (destination: string) => ip('192.168.0.1', destination, 17, udp(6, 5));

test('a source is the one owner of its longest match, and the destination too', (t) => {
  const { underlay, hub, outer, inner } = nested();
  outer.send(from('10.2.0.1'), from('10.1.0.1'), from('10.0.0.1'));
  inner.send(from('10.1.0.1'), from('10.2.0.1'));
  underlay.run(50);
  t.deepEqual(hub.received, [from('10.2.0.1'), from('10.0.0.1'), from('10.1.0.1')]);
  t.deepEqual(hub.drops(0), { 'source-not-allowed': 1 });
  t.deepEqual(hub.drops(1), { 'source-not-allowed': 1 });
  hub.send(to('10.1.255.255'), to('10.2.0.0'));
  underlay.run(50);
  t.deepEqual(inner.received, [to('10.1.255.255')]);
  t.deepEqual(outer.received, [to('10.2.0.0')]);
});

test('counters are the peer’s own', (t) => {
  const { underlay, hub, outer, inner } = nested();
  const [before, other] = [hub.traffic(0), hub.traffic(1)];
  outer.send(...many(3, (number) => from(`10.2.0.${number}`)));
  inner.send(from('10.1.0.1'));
  hub.send(to('10.1.0.1'), to('10.1.0.1'));
  underlay.run(50);
  // 28 bytes of packet, padded to 32, and 32 more.
  t.deepEqual(hub.traffic(0), { ...before, received: 3, receivedBytes: before.receivedBytes + 3 * 64 });
  const sent = { sent: 2, sentBytes: other.sentBytes + 2 * 64 };
  t.deepEqual(hub.traffic(1), { received: 1, receivedBytes: other.receivedBytes + 64, ...sent });
});

test('a packet whose source is not the peer’s neither passes nor begins a flow', (t) => {
  // Only what begins inside may pass.
  const { underlay, a, b } = joined({ acls: [{ rules: [rule({ direction: 'out' })], otherwise: 'deny' }] });
  a.route({ '172.31.0.0/16': 'local', '10.0.0.0/8': 'local', '192.168.0.0/16': 0 });
  const spoofed = ip('10.0.0.1', '192.168.0.1', 17, udp(1, 2));
  a.send(spoofed);
  underlay.run(50);
  t.deepEqual(b.received, []);
  t.deepEqual(b.drops(0), { 'source-not-allowed': 1 });
  t.is(b.flows(), 0);
  b.route({ '192.168.0.0/16': 'local', '172.31.0.0/16': 0, '10.0.0.0/8': 0 });
  a.send(spoofed);
  underlay.run(50);
  t.deepEqual(b.received, []);
  t.deepEqual(b.drops(0), { 'source-not-allowed': 1, 'acl-default': 1 });
  t.is(b.flows(), 0);
});

test('a gateway carries only from its own side to a peer’s, and to its own side from a peer', (t) => {
  const { underlay, a, b } = joined();
  a.send(
    ip('172.31.0.1', '10.9.9.9', 17, udp(1, 2)),
    ip('172.31.0.1', '172.31.0.2', 17, udp(1, 2)),
    ip('10.9.9.9', '192.168.0.1', 17, udp(1, 2)),
    ip('192.168.0.1', '192.168.0.2', 17, udp(1, 2)),
  );
  t.deepEqual(a.drops(), { 'no-route': 2 });
  t.deepEqual(a.drops(0), { 'source-not-local': 2 });
  t.deepEqual(underlay.kinds(3), []);
  const counter = (n: number) => BigInt(1000 + n);
  for (const [n, destination] of ['10.9.9.9', '172.31.0.2'].entries()) {
    const packet = ip('172.31.0.1', destination, 17, udp(1, 2));
    b.arrive(sealTransport(a.keypairs[0], counter(n), packet), a.endpoint);
  }
  b.work();
  t.deepEqual(b.drops(0), { 'destination-not-local': 2 });
  t.is(b.flows() + a.flows(), 0);
});

test('without rules, as a device, allowed sources decide and any destination is taken', (t) => {
  const underlay = new Underlay();
  const [a, b] = [1, 2].map((number) => new Node(underlay, `192.0.2.${number}`, number));
  const credentials = peering(7);
  a.connect(credentials.client, b.endpoint);
  b.connect(credentials.server);
  a.route({ '0.0.0.0/0': 0 });
  b.route({ '172.31.0.0/16': 0 });
  const packets = ['172.31.0.1', '10.0.0.1'].map((source) => ip(source, '203.0.113.1', 17, udp(1, 2)));
  a.send(...packets);
  underlay.run(50);
  t.deepEqual(b.received, packets.slice(0, 1));
  t.deepEqual(b.drops(0), { 'source-not-allowed': 1 });
});

test('what is no IP packet is not sent', (t) => {
  const { underlay, a } = joined();
  const packet = packetToB();
  const wrong = [packet.with(0, 0x35), packet.with(3, 200), packet.slice(0, 19), Uint8Array.of(0x45)];
  a.send(...wrong);
  a.sendRow(packet, { [ROW.segments]: 0 });
  t.deepEqual(a.drops(), { 'malformed-packet': wrong.length + 1 });
  t.deepEqual(underlay.kinds(3), []);
});

test('the ACL of the sending and of the receiving gateway each say no for themselves; replies pass', (t) => {
  const web = rule({ name: 'web', direction: 'in', protocol: 6, ports: [[443, 443]] });
  const noSsh = rule({ name: 'no-ssh', action: 'deny', protocol: 6, ports: [[22, 22]] });
  const out = rule({ name: 'out', direction: 'out' });
  const { underlay, a, b } = joined({ acls: [{ rules: [noSsh, web, out], otherwise: 'deny' }] });
  const syn = (port: number) => ip('172.31.0.1', '192.168.0.1', 6, tcp(40000, port, 2));
  a.send(syn(443), syn(22), syn(80));
  underlay.run(50);
  t.deepEqual(a.drops(0), { 'acl-rule': 1 });
  t.deepEqual(b.drops(0), { 'acl-default': 1 });
  t.deepEqual(b.received, [syn(443)]);
  const answer = ip('192.168.0.1', '172.31.0.1', 6, tcp(443, 40000, 18));
  b.send(answer);
  underlay.run(50);
  t.deepEqual(a.received, [answer]);
  // With other rules the flows that there are go on.
  for (const node of [a, b]) node.judge([{ rules: [], otherwise: 'deny' }]);
  a.send(ip('172.31.0.1', '192.168.0.1', 6, tcp(40000, 443, 16)), syn(444));
  underlay.run(50);
  t.is(b.received.length, 2);
  t.deepEqual(a.drops(0), { 'acl-rule': 1, 'acl-default': 1 });
});

test('a peering without an ACL passes nothing', (t) => {
  const underlay = new Underlay();
  const a = new Node(underlay, '192.0.2.1', 1);
  a.connect(peering(7).client, a.endpoint, { acl: -1 });
  a.route({ '172.31.0.0/16': 'local', '192.168.0.0/16': 0 });
  a.judge([ALLOW_ALL]);
  a.send(packetToB());
  t.deepEqual(a.drops(0), { 'acl-default': 1 });
});

test('IPv6 goes through as IPv4 does', (t) => {
  const { underlay, a, b } = joined();
  const there = ip('fd00:a::1', 'fd00:b::1', 17, udp(1, 2, 99));
  const back = ip('fd00:b::1', 'fd00:a::1', 17, udp(2, 1, 1));
  a.send(there, ip('fd00:c::1', 'fd00:b::1', 17, udp(1, 2)), ip('fd00:a::1', 'fd00:c::1', 17, udp(1, 2)));
  underlay.run(50);
  b.send(back);
  underlay.run(50);
  t.deepEqual(b.received, [there]);
  t.deepEqual(a.received, [back]);
  t.deepEqual({ ...a.drops(), ...a.drops(0) }, { 'no-route': 1, 'source-not-local': 1 });
});

test('packets of all sizes pass, up to what a datagram holds; a larger one is counted and stops nothing', (t) => {
  const { underlay, a, b } = joined();
  const sizes = [0, 1, 1472, 8972, 34_816, 65_472 - 28];
  const packets = sizes.map((size, number) => packetToB(number, size));
  a.send(...packets, packetToB(0, 65_535 - 28), packetToB(9));
  underlay.run(50);
  t.deepEqual(b.received, [...packets, packetToB(9)]);
  t.deepEqual(a.drops(0), { 'send-failed': 1 });
});

test('more packets than a batch holds keep their order', (t) => {
  const { underlay, a, b } = joined();
  const packets = many(3000, (number) => packetToB(number, 8 + (number % 1400)));
  a.send(...packets);
  underlay.run(50);
  t.deepEqual(b.received, packets);
  t.is(a.dropped() + b.dropped(), 0);
});

test('a super-packet is judged once, takes a counter for each segment, and arrives as its segments', (t) => {
  const acls = [{ rules: [rule({ name: 'data' })], otherwise: 'deny' } as const];
  const { underlay, a, b } = apart({ acls });
  const [payload, size] = [10_000, 1360];
  const segments = Math.ceil(payload / size);
  const packet = superPacket(payload);
  const words = { [ROW.gso]: GSO_TCP4, [ROW.segmentSize]: size, [ROW.header]: 40, [ROW.segments]: segments };
  a.sendRow(packet, words); // waits for a session
  underlay.run(50);
  a.sendRow(packet, words);
  underlay.run(50);
  t.is(underlay.of('data').length, 2 * segments);
  t.is(new Set(underlay.of('data').map(({ bytes }) => bytes.slice(8, 16).join())).size, 2 * segments);
  t.is(a.traffic(0).sent, 2 * segments);
  t.is(b.traffic(0).received, 2 * segments);
  t.is(a.flows(), 1);
  const arrived = b.received.slice(0, segments).flatMap((segment) => [...segment.subarray(40)]);
  t.deepEqual(arrived, [...packet.subarray(40)]);
  t.deepEqual(
    b.received.slice(segments).map((segment) => new DataView(segment.buffer).getInt32(24)),
    Array.from({ length: segments }, (_, number) => number * size),
  );
  // Denied, all of its segments are counted, where it is read as where it arrives.
  b.judge([{ rules: [rule({ action: 'deny' })], otherwise: 'allow' }]);
  a.sendRow(packet.with(21, 9), words);
  underlay.run(50);
  t.deepEqual(b.drops(0), { 'acl-rule': segments });
  a.judge([{ rules: [], otherwise: 'deny' }]);
  a.sendRow(packet.with(21, 10), words);
  t.deepEqual(a.drops(0), { 'acl-default': segments });
});

/** TCP over IPv4 with so much data, its checksum the sum of the pseudo-header alone, as the kernel leaves it. */
function superPacket(payload: number): Uint8Array {
  const segment = tcp(1000, 2000, 16, payload);
  for (let at = 20; at < segment.length; at++) segment[at] = at * 7;
  const packet = ip('172.31.0.1', '192.168.0.1', 6, segment);
  const view = new DataView(packet.buffer);
  let sum = 6 + segment.length;
  for (let at = 12; at < 20; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(36, sum);
  return packet;
}

test('answers follow a flow that began with the packet of a peer, not one that was dropped', (t) => {
  const { underlay, a, b } = joined({ acls: [{ rules: [rule({ direction: 'in' })], otherwise: 'deny' }] });
  b.send(packetToA());
  t.deepEqual(b.drops(0), { 'acl-default': 1 });
  a.judge([ALLOW_ALL]);
  a.send(packetToB());
  underlay.run(50);
  b.send(packetToA());
  underlay.run(50);
  t.deepEqual(a.received, [packetToA()]);
});
