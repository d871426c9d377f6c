import test from 'ava';
import { createFlowTable } from '../../src/policy/flow-table.ts';
import { POLICY_EVENT } from '../../src/policy/counters.ts';
import { TCP_FLAG } from '../../src/wire/packet.ts';
import { ALLOW_OUT, SIDES, World } from './world.ts';

const { fin, syn, ack } = TCP_FLAG;
const [{ tcpGo, tcpCome, udpGo, udpCome, icmpGo }] = SIDES;

/** A full table of 16 flows, by what makes one of them. */
function filled(make: (world: World, port: number) => void): World {
  const world = new World([ALLOW_OUT], createFlowTable(8, 42));
  for (let port = 1; port <= 200; port++) make(world, port);
  return world;
}

const KINDS: Readonly<Record<string, { established: boolean; make: (world: World, port: number) => void }>> = {
  'one-way UDP': { established: false, make: (world, port) => world.out(udpGo(port)) },
  'answered UDP': { established: true, make: (world, port) => (world.out(udpGo(port)), world.in(udpCome(port))) },
  'half-open TCP': {
    established: false,
    make: (world, port) => (world.out(tcpGo(syn, port)), world.in(tcpCome(syn | ack, port))),
  },
  'established TCP': {
    established: true,
    make: (world, port) => (
      world.out(tcpGo(syn, port)),
      world.in(tcpCome(syn | ack, port)),
      world.out(tcpGo(ack, port))
    ),
  },
  'closed TCP': {
    established: false,
    make: (world, port) => (
      world.out(tcpGo(syn, port)),
      world.in(tcpCome(syn | ack, port)),
      world.out(tcpGo(fin | ack, port)),
      world.in(tcpCome(fin | ack, port))
    ),
  },
};

for (const [kind, { established, make }] of Object.entries(KINDS)) {
  test(`a full table of ${kind}: ${established ? 'no flow is lost' : 'they give way, the oldest first'}`, (t) => {
    const world = filled(make);
    t.is(world.out(udpGo(1000)), 'flow-table-full', 'they may still be answered');
    t.is(world.counters.events[POLICY_EVENT.displaced], 0);
    world.seconds += 2;
    const verdicts = Array.from({ length: 30 }, (_, port) => world.out(udpGo(2000 + port)));
    const passed = verdicts.filter((verdict) => verdict === 'pass').length;
    t.is(passed, established ? 0 : 16);
    t.is(world.counters.events[POLICY_EVENT.displaced], passed);
  });
}

test('a flood of one-way flows takes the place of its own, and of no established flow', (t) => {
  const world = new World([ALLOW_OUT], createFlowTable(64, 42));
  for (let port = 1; port <= 40; port++) KINDS['established TCP'].make(world, port);
  for (let port = 1; port <= 20; port++) KINDS['answered UDP'].make(world, port);
  for (let second = 0; second < 20; second++) {
    world.seconds++;
    for (let flow = 0; flow < 500; flow++) world.out(udpGo(1000 + second * 500 + flow));
  }
  t.true(world.counters.events[POLICY_EVENT.displaced] > 100);
  for (let port = 1; port <= 40; port++) t.is(world.in(tcpCome(ack, port)), 'pass');
  for (let port = 1; port <= 20; port++) t.is(world.in(udpCome(port)), 'pass');
});

test('an answered echo is established, fragments displace no flow', (t) => {
  const world = new World([ALLOW_OUT], createFlowTable(8, 42));
  const echo = (type: number, id: number) => Uint8Array.of(type, 0, 0, 0, 0, id, 0, 1);
  const [{ icmpCome }] = SIDES;
  for (let id = 0; id < 200; id++) {
    world.out(icmpGo(echo(8, id)));
    world.in(icmpCome(echo(0, id)));
  }
  world.seconds += 2;
  t.is(world.out(udpGo(1)), 'flow-table-full');
  const oneWay = filled(KINDS['one-way UDP'].make);
  oneWay.seconds += 2;
  let passed = 0;
  for (let id = 0; id < 100; id++) {
    const first = udpGo(7, { fragment: { offset: 0, more: true, id } });
    if (oneWay.out(first) === 'pass') passed++;
  }
  t.is(passed, 0);
  t.true(oneWay.counters.events[POLICY_EVENT.displaced] <= 1, 'the flow of the fragments, once');
});
