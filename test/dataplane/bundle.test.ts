import test from 'ava';
import { Bundles, flowHash, packBundles, type BundleMember } from '../../src/dataplane/bundle.ts';
import { Packet } from '../../src/wire/packet.ts';
import { seeded } from '../session/world.ts';
import { echo, ip, tcp, udp } from '../wire/packets.ts';

const FLOWS = 4000;

function parse(bytes: Uint8Array): Packet {
  const packet = new Packet();
  if (!packet.parse(bytes, 0, bytes.length)) throw new Error('malformed');
  return packet;
}

/** Flows as they are met: packets of both directions. */
function flows(): [Packet, Packet][] {
  const bytes = seeded(11);
  const word = () => new DataView(bytes(4).buffer).getUint32(0);
  return Array.from({ length: FLOWS }, (_, number) => {
    const [a, b] =
      number % 3 === 0
        ? [`fd00:a::${(word() & 0xffff).toString(16)}`, `fd00:b::${(word() & 0xffff).toString(16)}`]
        : [`172.31.${number & 255}.${word() & 255}`, `192.168.1.${word() & 255}`];
    const [from, to] = [1024 + (word() % 60000), [80, 443, 22][number % 3]];
    const make = number % 2 === 0 ? (s: number, d: number) => tcp(s, d, 16) : (s: number, d: number) => udp(s, d);
    const protocol = number % 2 === 0 ? 6 : 17;
    return [parse(ip(a, b, protocol, make(from, to))), parse(ip(b, a, protocol, make(to, from)))];
  });
}

const member = (slot: number, seed: number): BundleMember => ({ slot, seed });

function bundles(members: BundleMember[], inUse = members, number = 3): Bundles {
  const made = new Bundles();
  made.use(packBundles([{ number, members, inUse }]));
  return made;
}

const SEEDS = [0x1f3a5b79, -0x2345678, 0x77777777, 5];
const here = SEEDS.map((seed, slot) => member(slot, seed));
// The other gateway numbers its peerings otherwise and has them in another order.
const there = SEEDS.map((seed, slot) => member(40 - slot, seed)).reverse();

test('aws-semantics: "Appliance mode keeps both directions of a flow on one path", at both gateways', (t) => {
  const [a, b] = [bundles(here), bundles(there)];
  for (const [request, reply] of flows()) {
    const slot = a.pick(3, request);
    t.is(a.pick(3, reply), slot);
    t.is(b.pick(3, request), 40 - slot);
    t.is(b.pick(3, reply), 40 - slot);
  }
});

test('flows are spread evenly', (t) => {
  const a = bundles(here);
  const counts = new Map<number, number>();
  for (const [packet] of flows()) counts.set(a.pick(3, packet), (counts.get(a.pick(3, packet)) ?? 0) + 1);
  for (const slot of [0, 1, 2, 3]) {
    const share = counts.get(slot)! / FLOWS;
    t.true(Math.abs(share - 1 / 4) < 0.03, `path ${slot} has ${share}`);
  }
});

test('when a path fails its flows move, and no others; when it is back they return', (t) => {
  const all = bundles(here);
  const without = bundles(
    here,
    here.filter(({ slot }) => slot !== 2),
  );
  let moved = 0;
  for (const [packet] of flows()) {
    const before = all.pick(3, packet);
    const after = without.pick(3, packet);
    t.not(after, 2);
    if (before === 2) moved++;
    else t.is(after, before);
  }
  t.true(moved > FLOWS / 5);
});

test('with no path in use any member is tried, rather than none', (t) => {
  const dead = bundles(here, []);
  const slots = new Set(flows().map(([packet]) => dead.pick(3, packet)));
  t.deepEqual([...slots].sort(), [0, 1, 2, 3]);
});

test('active-standby: the one path in use takes all', (t) => {
  const standby = bundles(here, [here[1]]);
  for (const [packet, reply] of flows()) {
    t.is(standby.pick(3, packet), 1);
    t.is(standby.pick(3, reply), 1);
  }
});

test('all fragments of a datagram go one way, and an echo goes with its reply', (t) => {
  const payload = udp(1000, 2000, 1400);
  const first = ip('172.31.0.1', '192.168.0.1', 17, payload.subarray(0, 800), {
    fragment: { offset: 0, more: true, id: 7 },
  });
  const later = ip('172.31.0.1', '192.168.0.1', 17, payload.subarray(800), {
    fragment: { offset: 800, more: false, id: 7 },
  });
  t.is(flowHash(parse(first)), flowHash(parse(later)));
  const ask = ip('172.31.0.1', '192.168.0.1', 1, echo(8, 77));
  const reply = ip('192.168.0.1', '172.31.0.1', 1, echo(0, 77));
  t.is(flowHash(parse(ask)), flowHash(parse(reply)));
});

test('a bundle is known by its number, its members by theirs, and all of it is replaced at once', (t) => {
  const made = new Bundles();
  const [packet] = flows()[0];
  t.is(made.pick(0, packet), -1);
  t.false(made.holds(0, 0));
  t.is(made.flowPeer(5), 5);
  made.use(
    packBundles([
      { number: 4, members: [member(5, 1), member(6, 2)], inUse: [member(6, 2)] },
      { number: 0, members: [member(7, 3)], inUse: [] },
    ]),
  );
  t.is(made.pick(4, packet), 6);
  t.is(made.pick(0, packet), 7);
  t.is(made.pick(1, packet), -1);
  t.is(made.pick(9, packet), -1);
  t.true(made.holds(4, 5) && made.holds(4, 6) && made.holds(0, 7));
  t.false(made.holds(0, 5) || made.holds(4, 7) || made.holds(4, 8));
  t.is(made.flowPeer(5), made.flowPeer(6));
  t.not(made.flowPeer(5), made.flowPeer(7));
  t.true(made.flowPeer(7) >= 1 << 16, 'no slot');
  made.use(packBundles([]));
  t.is(made.pick(4, packet), -1);
  t.false(made.holds(4, 5));
  t.is(made.flowPeer(5), 5);
});
