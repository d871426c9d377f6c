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

test('a trace names the list that decides, the route in the words of isthmus routes, and what belongs to nobody', (t) => {
  const { underlay, a } = joined({
    acls: [{ rules: [rule({ name: 'dns', ports: [[53, 53]], protocol: 17 })], otherwise: 'deny' }],
  });
  const list = { prefix_list: 'offices', line: 7, state: 'active' } as const;
  const routes = [
    { ...list, destination: '192.168.0.0/16', target: 'b', origin: 'prefix-list' },
    { ...list, destination: '192.168.0.0/16', target: 'b', origin: 'vpc', line: null, state: 'hidden' },
  ] as const;
  const table = { name: 'local', associated: ['local'], propagating: ['b'], routes };
  const steps = (source: string, port: string, groups: string[] = []) => {
    const question = { source, destination: '192.168.0.1', protocol: 'udp', port };
    const answer = trace(readQuestion(new URLSearchParams(question)), {
      explainer: new Explainer(a.programs(1420)),
      routes: { mode: 'peering', tables: [table] },
      mtu: 1420,
      names: new Map([[0, 'b']]),
      peering: (): PeerStatus => ({ ...PEER, name: 'b', security_groups: groups }),
      rule: () => 'allow by rule dns of open, line 3',
      shape: () => undefined,
      isTransitFull: false,
      seconds: Math.floor(underlay.now / 1000),
    });
    return Object.fromEntries(answer.steps.map(({ step, text }) => [step, text]));
  };
  t.like(steps('172.31.0.1', '53'), {
    attachment: 'comes in by local, to which its source belongs',
    route: 'table local: 192.168.0.0/16 to b (prefix list offices, line 7); before 192.168.0.0/16 to b (propagated)',
    rules: 'out by b: access list of b: allow by rule dns of open, line 3',
  });
  t.is(steps('172.31.0.1', '54')['rules'], 'out by b: access list of b: its default');
  t.is(steps('172.31.0.1', '54', ['web'])['rules'], 'out by b: security groups of b: no rule allows it');
  t.like(steps('203.0.113.9', '53'), {
    attachment: 'comes in by local, as its source belongs to nobody',
    source: '203.0.113.9 belongs to no attachment',
  });
});
