import test from 'ava';
import { packBundles, type BundleMember } from '../../src/dataplane/bundle.ts';
import { clearProbes, createProbeMemory, expectAnswer, takeAnswers } from '../../src/dataplane/probes.ts';
import { writeProbe } from '../../src/wire/echo.ts';
import { peering } from '../session/world.ts';
import { echo, ip, packetWords, udp } from '../wire/packets.ts';
import { ALLOW_ALL } from './gateways.ts';
import { Node } from './node.ts';
import { Underlay } from '../session/underlay.ts';

const BUNDLE_0 = 1 << 29;
const TOKEN = 12345;
const FLOWS = 200;

/** Two gateways with two peerings between them, in slots 0 and 1 of `a` and 1 and 0 of `b`, in bundle 0 of both. */
function twoPaths() {
  const underlay = new Underlay();
  const a = new Node(underlay, '192.0.2.1', 1);
  const b = new Node(underlay, '192.0.2.2', 2);
  const [first, second] = [peering(7), peering(8)];
  const calls = [a.connect(first.client, b.endpoint), a.connect(second.client, b.endpoint)];
  b.connect(second.server);
  b.connect(first.server);
  const ofA: BundleMember[] = [
    { slot: 0, seed: 111 },
    { slot: 1, seed: 222 },
  ];
  const ofB = ofA.map(({ slot, seed }) => ({ slot: 1 - slot, seed }));
  const local = 'local' as const;
  a.route({ '172.31.0.0/16': local, '10.8.0.1/32': local, '192.168.0.0/16': BUNDLE_0, '10.8.0.2/32': BUNDLE_0 });
  b.route({ '192.168.0.0/16': local, '10.8.0.2/32': local, '172.31.0.0/16': BUNDLE_0, '10.8.0.1/32': BUNDLE_0 });
  /** Which of `a`'s slots both gateways use. */
  const use = (slots: readonly number[]): void => {
    for (const [node, members] of [
      [a, ofA],
      [b, ofB],
    ] as const) {
      const inUse = members.filter((_, index) => slots.includes(index));
      node.orderBoth({ type: 'bundles', bundles: packBundles([{ number: 0, members, inUse }]) });
    }
  };
  use([0, 1]);
  const [toA, toB] = [createProbeMemory(), createProbeMemory()];
  a.orderBoth({ type: 'probes', memory: toA, addresses: Int32Array.from(packetWords('10.8.0.1')) });
  b.orderBoth({ type: 'probes', memory: toB, addresses: Int32Array.from(packetWords('10.8.0.2')) });
  for (const node of [a, b]) node.judge([ALLOW_ALL]);
  for (const call of calls) call.wantSession(underlay.now);
  underlay.run(50);
  return { underlay, a, b, use, memory: toA };
}

const toB = (port: number): Uint8Array => ip('172.31.0.1', '192.168.0.1', 17, udp(port, 2000));
const toA = (port: number): Uint8Array => ip('192.168.0.1', '172.31.0.1', 17, udp(2000, port));
const ports = Array.from({ length: FLOWS }, (_, number) => 1000 + number);

test('a bundle carries a flow and its answers on one path, divides flows, and a tracked flow outlives its path', (t) => {
  const { underlay, a, b, use } = twoPaths();
  a.send(...ports.map(toB));
  underlay.run(50);
  const sent = [a.traffic(0).sent, a.traffic(1).sent];
  t.is(sent[0] + sent[1], FLOWS);
  t.true(Math.min(...sent) > FLOWS / 4, String(sent));
  t.is(b.received.length, FLOWS);
  // From here only what belongs to a tracked flow may pass at `a`.
  a.judge([{ rules: [], otherwise: 'deny' }]);
  b.send(...ports.map(toA));
  underlay.run(50);
  t.deepEqual([a.traffic(0).received, a.traffic(1).received], sent, 'each answer came as its request went');

  use([1]);
  a.send(...ports.map(toB));
  underlay.run(50);
  t.deepEqual([a.traffic(0).sent, a.traffic(1).sent], [sent[0], sent[1] + FLOWS]);
  t.is(b.received.length, 2 * FLOWS);
  b.send(...ports.map(toA));
  underlay.run(50);
  t.is(a.received.length, 2 * FLOWS, 'flows are the bundle’s, not the path’s');
  t.is(a.dropped() + b.dropped(), 0);
});

test('a source of the bundle is good on each of its paths, and no other is', (t) => {
  const { underlay, a, b, use } = twoPaths();
  for (const slot of [0, 1]) {
    use([slot]);
    a.send(toB(1));
    underlay.run(50);
  }
  t.is(b.received.length, 2);
  b.orderBoth({ type: 'bundles', bundles: packBundles([]) });
  a.send(toB(1));
  underlay.run(50);
  t.is(b.received.length, 2);
  t.is(b.drops(0)['source-not-allowed'], 1);
  b.send(toA(1));
  t.is(b.drops()['no-route'], 1, 'a bundle that is not there leads nowhere');
});

test('a probe is answered on its own path, whatever the access list says, and no host sees it', (t) => {
  const { underlay, a, b, memory } = twoPaths();
  b.judge([{ rules: [], otherwise: 'deny' }]);
  a.judge([{ rules: [], otherwise: 'deny' }]);
  for (const slot of [0, 1]) {
    clearProbes(memory, slot, TOKEN + slot);
    for (const sequence of [1, 2]) {
      expectAnswer(memory, slot, sequence);
      const packet = writeProbe(4, packetWords('10.8.0.1'), packetWords('10.8.0.2'), sequence, TOKEN + slot);
      a.order({ type: 'probe', slot, packet, sequence });
      underlay.run(50);
    }
    const answers: number[][] = [];
    takeAnswers(memory, slot, (sequence, rtt) => answers.push([sequence, rtt]));
    t.deepEqual(answers, [
      [1, 2],
      [2, 2],
    ]);
    takeAnswers(memory, slot, () => t.fail('an answer counts once'));
    takeAnswers(memory, 1 - slot, () => t.fail('the answer belongs to the path that was asked'));
  }
  t.is(a.received.length + b.received.length, 0);
  t.is(a.dropped() + b.dropped(), 0);
});

test('answers with a wrong token or without a question, and pings, are ordinary packets', (t) => {
  const { underlay, a, b, memory } = twoPaths();
  clearProbes(memory, 0, TOKEN);
  expectAnswer(memory, 0, 5);
  const packet = writeProbe(4, packetWords('10.8.0.1'), packetWords('10.8.0.2'), 5, TOKEN + 1);
  a.order({ type: 'probe', slot: 0, packet, sequence: 5 });
  underlay.run(50);
  takeAnswers(memory, 0, () => t.fail('not our token'));
  t.is(a.received.length, 1);
  b.send(ip('192.168.0.1', '10.8.0.1', 1, echo(8, 0x6973)));
  underlay.run(50);
  t.is(a.received.length, 2);
  // A probe of an address that is not the gateway's own is the business of the host that has it.
  const toHost = writeProbe(4, packetWords('10.8.0.1'), packetWords('192.168.0.1'), 6, TOKEN);
  a.order({ type: 'probe', slot: 0, packet: toHost, sequence: 6 });
  underlay.run(50);
  t.is(b.received.length, 1);
});

test('probes beyond the one that is being answered are dropped: a peer cannot make work gather', (t) => {
  const { underlay, a, b } = twoPaths();
  b.hearing = false;
  for (let sequence = 0; sequence < 20; sequence++) {
    const packet = writeProbe(4, packetWords('10.8.0.1'), packetWords('10.8.0.2'), sequence, TOKEN);
    a.order({ type: 'probe', slot: 0, packet, sequence });
  }
  underlay.run(50);
  t.deepEqual(b.drops(1), { 'probe-limited': 19 });
});

test('nor can it by asking again as soon as it is answered', (t) => {
  const { underlay, a, b } = twoPaths();
  for (let sequence = 0; sequence < 100; sequence++) {
    const packet = writeProbe(4, packetWords('10.8.0.1'), packetWords('10.8.0.2'), sequence, TOKEN);
    a.order({ type: 'probe', slot: 0, packet, sequence });
    underlay.run(4);
  }
  t.deepEqual(b.drops(1), { 'probe-limited': 80 });
});
