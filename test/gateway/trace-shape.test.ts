import test from 'ava';
import { Explainer } from '../../src/dataplane/explain.ts';
import { Shapes } from '../../src/gateway/shaping.ts';
import { readQuestion, trace } from '../../src/gateway/trace.ts';
import type { PeerStatus, RoutesStatus } from '../../src/gateway/status.ts';
import { joined, many, packetToB, rule } from '../dataplane/gateways.ts';
import { PEER } from '../observe/samples.ts';

const ROUTES: RoutesStatus = { mode: 'peering', tables: [] };
const BULK = { name: 'bulk', dscp: [], rules: ['copies'], priority: 8, weight: 1, rate: 0 };
const REST = { name: 'rest', dscp: [], priority: 4, weight: 1, rate: 0 };

test('a trace says what waits in the class of the packet, and drops it where the data plane does', (t) => {
  const { underlay, a, b } = joined({ acls: [{ rules: [rule({ name: 'all' })], otherwise: 'deny' }] });
  const names = ['all'];
  const shapes = new Shapes((direction, slot, spec, counters) => {
    (direction === 'out' ? a.outbound : a.inbound).apply({ type: 'shape', slot, spec, counters });
  });
  const ask = (size: number) => {
    const question = { source: '172.31.0.1', destination: '192.168.0.1', protocol: 'udp', port: '2000' };
    return trace(readQuestion(new URLSearchParams({ ...question, size: String(size) })), {
      explainer: new Explainer(a.programs(1420)),
      routes: ROUTES,
      mtu: 1420,
      names: new Map([[0, 'b']]),
      peering: (): PeerStatus => ({ ...PEER, name: 'b' }),
      rule: (id) => names[id],
      shape: (_, direction, id) => shapes.outlook(0, direction, names[id]),
      isTransitFull: false,
      seconds: Math.floor(underlay.now / 1000),
    });
  };
  const stepOf = (size: number) => ask(size).steps.find(({ step }) => step === 'shape')?.text;
  t.is(stepOf(1000), undefined, 'without a shape there is no such step');

  shapes.set(0, { out: { rate: 100_000, burst: 1500, classes: [BULK, REST] }, in: undefined });
  t.is(stepOf(1000), 'out by b, class rest: nothing waits');
  a.send(...many(50, (number) => packetToB(number, 972)));
  t.is(stepOf(1000), 'out by b, class rest: 48000 bytes wait, of at most 196608');
  t.true(ask(1000).passes);

  a.send(...many(200, (number) => packetToB(number, 972)));
  // What fits and what does not, asked and done.
  const dropped = () => a.drops(0)['shaper-queue-full'] ?? 0;
  for (const size of [1000, 600]) {
    const before = dropped();
    const told = ask(size);
    a.send(packetToB(0, size - 28));
    t.is(told.reason, dropped() > before ? 'shaper-queue-full' : null, `${size} bytes`);
    t.is(told.steps.at(-1)?.step, told.passes ? 'peering' : 'shape');
  }
  t.is(ask(1000).reason, 'shaper-queue-full');
  for (const end = underlay.now + 4000; underlay.now < end; a.work()) underlay.run(0.5);
  t.is(stepOf(1000), 'out by b, class rest: nothing waits');
  t.true(b.received.length > 100);

  // A class that names the rule which let the flow begin has it, however it is marked.
  names[0] = 'copies';
  t.is(stepOf(1000), 'out by b, class bulk: nothing waits');
});
