import test from 'ava';
import type { AclRule } from '../../src/policy/acl.ts';
import { IDLE_SECONDS } from '../../src/policy/flow-state.ts';
import { createFlowTable } from '../../src/policy/flow-table.ts';
import { TCP_FLAG } from '../../src/wire/packet.ts';
import { echo, icmp, ip, quoting, tcp, udp } from '../wire/packets.ts';
import { rule } from '../dataplane/gateways.ts';
import { ALLOW_OUT, NOTHING, prefix, SIDES, World } from './world.ts';

const { fin, syn, rst, ack } = TCP_FLAG;
for (const side of SIDES) {
  const { here, there, tcpGo, tcpCome, udpGo, udpCome, icmpGo, icmpCome, ask, answer } = side;

  test(`${here}: what was allowed is answered, though nothing allows the answer`, (t) => {
    const world = new World([ALLOW_OUT]);
    t.is(world.in(tcpCome(syn)), 'acl-default');
    t.is(world.out(tcpGo(syn)), 'pass');
    t.is(world.in(tcpCome(syn | ack)), 'pass');
    t.is(world.out(tcpGo(ack)), 'pass');
    t.is(world.in(tcpCome(syn | ack, 5001)), 'acl-default', 'another port is another flow');
    t.is(world.in(udpCome()), 'acl-default', 'another protocol is another flow');
    t.is(world.out(udpGo()), 'pass');
    t.is(world.in(udpCome()), 'pass');
  });

  test(`${here}: the same the other way round`, (t) => {
    const world = new World([{ rules: [rule({ direction: 'in' })], otherwise: 'deny' }]);
    t.is(world.out(udpGo()), 'acl-default');
    t.is(world.in(udpCome()), 'pass');
    t.is(world.out(udpGo()), 'pass');
  });

  test(`${here}: a flow's packet on the wrong side of the gateway is not the flow's`, (t) => {
    const world = new World([ALLOW_OUT]);
    t.is(world.out(udpGo()), 'pass');
    t.is(world.in(udpGo()), 'acl-default');
  });

  test(`${here}: peers do not share flows`, (t) => {
    const world = new World([ALLOW_OUT]);
    t.is(world.out(udpGo()), 'pass');
    world.peer = 2;
    t.is(world.in(udpCome()), 'acl-default');
    world.peer = 1;
    t.is(world.in(udpCome()), 'pass');
  });

  test(`${here}: an echo lets its own replies pass, no echo the other way and no other identifier`, (t) => {
    const world = new World([ALLOW_OUT]);
    t.is(world.in(icmpCome(echo(answer, 7))), 'acl-default');
    t.is(world.out(icmpGo(echo(ask, 7))), 'pass');
    t.is(world.in(icmpCome(echo(answer, 7))), 'pass');
    t.is(world.in(icmpCome(echo(answer, 8))), 'acl-default');
    t.is(world.in(icmpCome(echo(ask, 7))), 'acl-default');
    world.seconds += IDLE_SECONDS.icmp;
    t.is(world.in(icmpCome(echo(answer, 7))), 'acl-default');
  });

  test(`${here}: an allowed echo reply opens nothing`, (t) => {
    const world = new World([ALLOW_OUT]);
    t.is(world.out(icmpGo(echo(answer, 7))), 'pass');
    t.is(world.in(icmpCome(echo(ask, 7))), 'acl-default');
  });

  test(`${here}: ICMP errors pass if they are about a flow of the one they go to`, (t) => {
    const errors = side.v6 ? [1, 2, 3, 4] : [3, 11, 12];
    const world = new World([ALLOW_OUT]);
    const cut = (side.v6 ? 40 : 20) + 8;
    const about = (type: number, bytes: Uint8Array, length = cut) => icmpCome(icmp(type, 1, quoting(bytes, length)));
    t.is(world.in(about(errors[0], udpGo())), 'acl-default', 'no such flow yet');
    t.is(world.out(udpGo()), 'pass');
    t.is(world.out(icmpGo(echo(ask, 7))), 'pass');
    for (const type of errors) {
      t.is(world.in(about(type, udpGo())), 'pass', `type ${type}`);
      t.is(world.in(about(type, icmpGo(echo(ask, 7)))), 'pass', 'about an echo');
      t.is(world.in(about(type, udpGo(5001))), 'acl-default', 'another port');
      t.is(world.in(about(type, udpCome())), 'acl-default', 'about what its receiver did not send');
      t.is(world.in(about(type, udpGo(), cut - 1)), 'acl-default', 'quotes too little');
    }
    t.is(world.in(icmpCome(icmp(ask + 5, 1, quoting(udpGo())))), 'acl-default', 'not an error');
    const toAnother = ip(
      there,
      side.v6 ? 'fd00::77' : '172.31.0.77',
      side.v6 ? 58 : 1,
      icmp(errors[0], 1, quoting(udpGo())),
    );
    t.is(world.in(toAnother), 'acl-default', 'goes to someone else');
    world.peer = 2;
    t.is(world.in(about(errors[0], udpGo())), 'acl-default', 'from another peer');
  });

  test(`${here}: an ICMP error keeps no flow alive`, (t) => {
    const world = new World([ALLOW_OUT]);
    world.out(udpGo());
    world.seconds += IDLE_SECONDS.udp - 1;
    t.is(world.in(icmpCome(icmp(side.v6 ? 1 : 3, 1, quoting(udpGo())))), 'pass');
    world.seconds += 1;
    t.is(world.in(udpCome()), 'acl-default');
  });

  test(`${here}: later fragments pass behind an allowed first, and only then`, (t) => {
    const web: AclRule = rule({ direction: 'out', protocol: 17, ports: [[53, 53]] });
    const world = new World([{ rules: [web], otherwise: 'deny' }]);
    const part = (offset: number, id: number) => ({ fragment: { offset, more: true, id } });
    t.is(world.out(udpGo(1, part(1480, 9))), 'fragment-without-first');
    t.is(world.out(udpGo(1, part(0, 9))), 'pass');
    t.is(world.out(udpGo(1, part(1480, 9))), 'pass');
    t.is(world.out(udpGo(1, part(2960, 9))), 'pass');
    t.is(world.out(udpGo(1, part(1480, 10))), 'fragment-without-first', 'of another datagram');
    t.is(world.in(udpCome(1, part(1480, 9))), 'fragment-without-first', 'the other way');
    world.peer = 2;
    t.is(world.out(udpGo(1, part(1480, 9))), 'fragment-without-first', 'of another peer');
    world.peer = 1;
    t.is(world.in(udpCome(1, part(0, 33))), 'pass', 'the reply comes in fragments');
    t.is(world.in(udpCome(1, part(1480, 33))), 'pass');
    world.seconds += IDLE_SECONDS.fragments - 1;
    t.is(world.out(udpGo(1, part(1480, 9))), 'pass');
    world.seconds += 1;
    t.is(world.out(udpGo(1, part(1480, 9))), 'fragment-without-first', 'it did not keep itself alive');
  });

  test(`${here}: a denied first fragment lets nothing pass`, (t) => {
    const world = new World([{ rules: [rule({ action: 'deny', ports: [[53, 53]] })], otherwise: 'allow' }]);
    const part = (offset: number) => ({ fragment: { offset, more: offset === 0, id: 9 } });
    t.is(world.out(udpGo(1, part(0))), 'acl-rule');
    t.is(world.out(udpGo(1, part(1480))), 'fragment-without-first');
  });
}

const [{ tcpGo, tcpCome, udpGo, udpCome, here, there }] = SIDES;

test('IPv6: fragments are told by their identification, whatever their next header says', (t) => {
  const world = new World([ALLOW_OUT]);
  const first = ip('fd00::1', 'fd00::2', 17, udp(1, 2), { fragment: { offset: 0, more: true, id: 5 } });
  const later = ip('fd00::1', 'fd00::2', 60, new Uint8Array(8), { fragment: { offset: 80, more: false, id: 5 } });
  t.is(world.out(first), 'pass');
  t.is(world.out(later), 'pass');
});

test('no ACL allows nothing, but flows live on', (t) => {
  const world = new World([ALLOW_OUT]);
  t.is(world.out(udpGo()), 'pass');
  world.acl = -1;
  t.is(world.in(udpCome()), 'pass');
  t.is(world.out(udpGo(5001)), 'acl-default');
});

test('new rules are for new flows', (t) => {
  const world = new World([ALLOW_OUT]);
  t.is(world.out(udpGo()), 'pass');
  world.load([NOTHING]);
  t.is(world.in(udpCome()), 'pass');
  t.is(world.out(udpGo()), 'pass');
  t.is(world.out(udpGo(5001)), 'acl-default');
  world.seconds += IDLE_SECONDS.udp;
  t.is(world.out(udpGo()), 'acl-default');
});

test('the rule that decided is named, and datagrams are counted by rule', (t) => {
  const rules: AclRule[] = [rule({ protocol: 17, ports: [[53, 53]] }), rule({ action: 'deny', protocol: 17 })];
  const world = new World([
    { rules: [rule({ action: 'deny', protocol: 47 })], otherwise: 'deny' },
    { rules, otherwise: 'allow' },
  ]);
  world.acl = 1;
  t.is(world.out(udpGo(5000), 3), 'pass');
  t.is(world.rule, 1);
  t.is(world.out(udpGo(5000), 5), 'pass');
  t.is(world.rule, -1, 'the flow decided');
  t.is(world.out(ip(here, there, 17, udp(1, 99)), 44), 'acl-rule');
  t.is(world.rule, 2);
  t.is(world.out(tcpGo(syn)), 'pass');
  t.is(world.rule, -1, 'the default decided');
  t.deepEqual([...world.counters.hits], [0, 3, 44]);
  t.deepEqual([...world.counters.denied], [0, 0, 44]);
});

/** Seconds for which a flow brought about by `make` outlives its last packet. */
function lifetime(make: (world: World) => void, reply: Uint8Array): number {
  const lives = (seconds: number) => {
    const world = new World([ALLOW_OUT]);
    make(world);
    world.seconds += seconds;
    return world.in(reply) === 'pass';
  };
  let low = 0;
  let high = 1_000_000;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (lives(middle)) low = middle;
    else high = middle;
  }
  return high;
}

const TIME_OUTS =
  '"Idle time-outs of tracked flows: TCP established 432,000 s (350 s on newer instances; 60 to 432,000), UDP 30 s, UDP with ' +
  'more than one request and response 180 s, other protocols 600 s."';

test(`${TIME_OUTS}: those of the state that a flow has come to`, (t) => {
  const handshake = (world: World) => {
    world.out(tcpGo(syn));
    world.in(tcpCome(syn | ack));
    world.out(tcpGo(ack));
  };
  t.is(
    lifetime((world) => world.out(tcpGo(syn)), tcpCome(syn | ack)),
    60,
  );
  t.is(
    lifetime((world) => (world.out(tcpGo(syn)), world.in(tcpCome(syn | ack))), tcpCome(ack)),
    60,
  );
  t.is(lifetime(handshake, tcpCome(ack)), 432_000);
  t.is(
    lifetime((world) => (handshake(world), world.out(tcpGo(fin | ack))), tcpCome(ack)),
    432_000,
    'half closed',
  );
  t.is(
    lifetime((world) => (handshake(world), world.in(tcpCome(rst))), tcpCome(ack)),
    30,
  );
  const closed = (world: World) => (handshake(world), world.out(tcpGo(fin | ack)), world.in(tcpCome(fin | ack)));
  t.is(lifetime(closed, tcpCome(ack)), 30);
  t.is(lifetime((world) => (world.out(tcpGo(ack)), world.in(tcpCome(ack)), world.out(tcpGo(ack))), tcpCome(ack)), 432_000, 'met in mid-stream'); // prettier-ignore
  t.is(
    lifetime((world) => world.out(udpGo()), udpCome()),
    30,
  );
  const once = (world: World) => (world.out(udpGo()), world.out(udpGo()), world.in(udpCome()), world.in(udpCome()));
  t.is(lifetime(once, udpCome()), 30, 'one request and response');
  t.is(
    lifetime((world) => (once(world), world.out(udpGo()), world.in(udpCome())), udpCome()),
    180,
  );
  t.is(
    lifetime((world) => world.out(ip(here, there, 47, new Uint8Array(4))), ip(there, here, 47, new Uint8Array(4))),
    600,
  );
});

test(`${TIME_OUTS}: another one for established TCP holds at once, for flows that live too`, (t) => {
  for (const seconds of [60, 350, 432_000]) {
    const configured = (world: World) => (world.flows.tcpEstablished[0] = seconds);
    const handshake = (world: World) => {
      world.out(tcpGo(syn));
      world.in(tcpCome(syn | ack));
      world.out(tcpGo(ack));
    };
    t.is(
      lifetime((world) => (configured(world), handshake(world)), tcpCome(ack)),
      seconds,
    );
    t.is(
      lifetime((world) => (handshake(world), configured(world)), tcpCome(ack)),
      seconds,
    );
    t.is(
      lifetime((world) => (configured(world), world.out(tcpGo(syn))), tcpCome(syn | ack)),
      60,
    );
    t.is(
      lifetime((world) => (configured(world), world.out(udpGo())), udpCome()),
      30,
    );
  }
});

test('a source route passes nowhere, whatever is allowed or tracked', (t) => {
  const world = new World([{ rules: [], otherwise: 'allow' }]);
  const routed = { options: Uint8Array.of(1, 131, 7, 4, 10, 0, 0, 1) };
  t.is(world.out(udpGo(5000, routed)), 'source-routed');
  t.is(world.transit(udpGo(5000, routed), 2, 0), 'source-routed');
  t.is(world.in(udpCome()), 'pass');
  t.is(world.in(udpCome(5000, routed)), 'source-routed', 'though its flow is tracked');
  const later = { ...routed, fragment: { offset: 1480, more: false, id: 3 } };
  t.is(world.in(udpCome(5000, later)), 'source-routed');
  const segment = Uint8Array.of(0, 2, 4, 1, ...new Uint8Array(20));
  t.is(world.out(ip('fd00::1', 'fd00::2', 17, udp(1, 2), { extensions: [[43, segment]] })), 'source-routed');
});

test('every packet of a flow keeps it alive, in either direction', (t) => {
  const world = new World([ALLOW_OUT]);
  world.out(udpGo());
  for (let step = 0; step < 20; step++) {
    world.seconds += IDLE_SECONDS.udp - 1;
    t.is(world.in(udpCome()), 'pass');
  }
});

test('a SYN after the end of a connection is judged as a new one', (t) => {
  const world = new World([ALLOW_OUT]);
  const open = () => (world.out(tcpGo(syn)), world.in(tcpCome(syn | ack)), world.out(tcpGo(ack)));
  open();
  t.is(world.in(tcpCome(rst)), 'pass');
  t.is(world.in(tcpCome(ack)), 'pass', 'what was on its way');
  t.is(world.in(tcpCome(syn)), 'acl-default', 'the other end may not begin one');
  t.is(world.in(tcpCome(ack)), 'acl-default');
  open();
  world.seconds += 1000;
  t.is(world.in(tcpCome(ack)), 'pass', 'begun again, it is established again');
});

test('when the table is full new flows are refused and those that live go on', (t) => {
  const world = new World([ALLOW_OUT], createFlowTable(8, 42));
  const refused: number[] = [];
  const held: number[] = [];
  for (let port = 1; port <= 200; port++) {
    const verdict = world.out(udpGo(port));
    if (verdict === 'pass') held.push(port);
    else t.is(verdict, 'flow-table-full');
    if (verdict !== 'pass') refused.push(port);
  }
  t.is(held.length, 16);
  t.is(refused.length, 184);
  for (const port of held) t.is(world.in(udpCome(port)), 'pass');
  world.seconds += IDLE_SECONDS.udp;
  t.is(world.out(udpGo(refused[0])), 'pass');
});

test('rules by address: a host that may be reached, and one that may not', (t) => {
  const rules: AclRule[] = [rule({ direction: 'in', destinations: [prefix(here)] })];
  const world = new World([{ rules, otherwise: 'deny' }]);
  t.is(world.in(tcpCome(syn)), 'pass');
  t.is(world.in(ip(there, '172.31.0.10', 6, tcp(443, 5000, syn))), 'acl-default');
});
