import test from 'ava';
import { hear, toTell } from '../../src/peering/conversation.ts';
import {
  fail,
  isForgotten,
  isVisible,
  moved,
  reject,
  remove,
  settle,
  useAcl,
  visibleUntil,
} from '../../src/peering/lifecycle.ts';
import type { Message } from '../../src/peering/message.ts';
import type { PeeringRecord } from '../../src/peering/record.ts';
import { ACTIONS, ACTORS, STATES, transition } from '../../src/peering/state.ts';
import { End, idOf, invitationOf, NEXT_PSK, PSK, say, START, talk, twoEnds } from './ends.ts';

const HOUR = 3_600_000;
const ID = idOf(1);

/** A request of `a`'s that `b` has accepted, and both know. */
function active(): { a: End; b: End } {
  const { a, b } = twoEnds();
  a.request();
  b.accept(invitationOf(a));
  talk(a, b);
  return { a, b };
}

const states = (...ends: End[]): string[] => ends.map((end) => end.get(ID).state);

test('a request is accepted: both are active, and each has written down who did what', (t) => {
  const { a, b } = twoEnds();
  t.is(a.request({ acl: 'web' }), undefined);
  t.is(b.accept(invitationOf(a), { subnets: ['172.31.4.0/24'] }), undefined);
  t.deepEqual(states(a, b), ['pending-acceptance', 'provisioning']);
  talk(a, b);
  t.deepEqual(states(a, b), ['active', 'active']);
  t.deepEqual(a.log, [
    'initiating-request local api',
    'pending-acceptance local api',
    'provisioning peer b',
    'active peer b',
  ]);
  t.deepEqual(b.log, ['pending-acceptance local api', 'provisioning local api', 'active peer a']);
  const [atA, atB] = [a.get(ID), b.get(ID)];
  t.deepEqual(atA.peerSubnets, ['192.168.0.0/16', 'fd00:b::/32']);
  t.deepEqual(atB.peerSubnets, ['172.31.4.0/24']);
  t.is(atA.acl, 'web');
  t.deepEqual([atA.psk, atA.nextPsk, atB.psk, atB.nextPsk], [PSK, NEXT_PSK, PSK, NEXT_PSK]);
});

test('once a session has come of the new PSK, the one in the invitation is gone', (t) => {
  const { a } = active();
  a.take(settle(a.get(ID), START));
  t.is(a.get(ID).psk, NEXT_PSK);
  t.is(a.get(ID).nextPsk, '');
});

test('whatever message is lost, and however often, it is said again until both agree', (t) => {
  for (let first = 0; first < 4; first++) {
    for (const end of ['accept', 'reject', 'delete'] as const) {
      const { a, b } = twoEnds();
      a.request();
      if (end === 'reject') b.take(reject(invitationOf(a), 'a', b.world, START));
      else b.accept(invitationOf(a));
      let messages = 0;
      const lost = (): boolean => messages++ < first;
      for (let round = 0; round < 6; round++) talk(a, b, START + round, lost);
      if (end === 'delete') {
        messages = 0;
        a.take(remove(a.get(ID), START + 10));
        for (let round = 10; round < 16; round++) talk(a, b, START + round, lost);
      }
      const expected = { accept: 'active', reject: 'rejected', delete: 'deleted' }[end];
      t.deepEqual(states(a, b), [expected, expected], `${end}, ${first} lost`);
      t.is(toTell(a.get(ID), 'a'), undefined);
      t.is(toTell(b.get(ID), 'b'), undefined);
    }
  }
});

test('a rejection reaches the requester, and the invitation is spent', (t) => {
  const { a, b } = twoEnds();
  a.request();
  const invitation = invitationOf(a);
  b.take(reject(invitation, 'a', b.world, START));
  talk(a, b);
  t.deepEqual(states(a, b), ['rejected', 'rejected']);
  t.is(a.get(ID).message, 'b rejected it');
  t.is(b.accept(invitation), 'the invitation was used here before: peering a is rejected');
});

test('an invitation is good for one acceptance, by one gateway, and not by the one that made it', (t) => {
  const { a, b } = active();
  const invitation = invitationOf(a);
  t.regex(b.accept(invitation, { name: 'again' })!, /used here before: peering a is active/);
  t.regex(a.accept(invitation)!, /made by this gateway/);
  const other = new End('c', ['10.9.0.0/16']);
  other.accept(invitation, { nextPsk: Buffer.alloc(32, 9).toString('base64url') });
  talk(a, other);
  t.deepEqual(states(a, other), ['active', 'failed']);
  t.is(other.get(ID).message, 'a: it was accepted before');
  t.deepEqual(a.get(ID).peerSubnets, b.subnets);
});

test('a request expires after 168 h, at both sides, and not a moment before', (t) => {
  const { a, b } = twoEnds();
  a.request();
  b.accept(invitationOf(a));
  a.tick(START + 168 * HOUR - 1);
  b.tick(START + 168 * HOUR - 1);
  t.deepEqual(states(a, b), ['pending-acceptance', 'provisioning']);
  a.tick(START + 168 * HOUR);
  b.tick(START + 168 * HOUR);
  t.deepEqual(states(a, b), ['expired', 'failed']);
  t.is(b.get(ID).message, 'a did not confirm before the invitation expired');
  t.is(a.get(ID).psk, '');
  t.is(a.log.at(-1), 'expired timer');
});

test('an invitation that has expired is refused', (t) => {
  const { a, b } = twoEnds();
  a.request();
  t.regex(b.accept(invitationOf(a), {}, START + 168 * HOUR)!, /^the invitation expired at 2026-01-08T00:00:00/);
  t.is(b.records.size, 0);
});

for (const [what, theirs, pair] of [
  ['IPv4', ['192.168.7.0/24'], '192.168.7.0/24 there overlaps 192.168.0.0/16 here'],
  ['IPv6', ['10.1.0.0/16', 'fd00:b:1::/48'], 'fd00:b:1::/48 there overlaps fd00:b::/32 here'],
  ['a wider network', ['192.0.0.0/8'], '192.0.0.0/8 there overlaps 192.168.0.0/16 here'],
] as const) {
  test(`AWS: an overlap in ${what} gives failed at once, with the pair named, even where other CIDRs would be used`, (t) => {
    const a = new End('a', ['10.200.0.0/16', ...theirs]);
    const { b } = twoEnds();
    a.request();
    b.accept(invitationOf(a), { subnets: ['10.200.0.0/16'] });
    t.is(b.get(ID).state, 'failed');
    t.is(b.get(ID).message, pair);
    talk(a, b);
    t.deepEqual(states(a, b), ['failed', 'failed']);
    t.is(a.get(ID).message, pair);
  });
}

test('an overlap with what the other side is expected to have fails the request before anybody sees it', (t) => {
  const { a } = twoEnds();
  a.request({ bounds: ['172.31.128.0/17'] });
  t.is(a.get(ID).state, 'failed');
  t.is(a.get(ID).message, '172.31.128.0/17 there overlaps 172.31.0.0/16 here');
  t.deepEqual(a.log, ['initiating-request local api', 'failed local api']);
  t.is(a.get(ID).psk, '');
});

test('the requester finds an overlap too, with its own networks as they are now, and with other peerings', (t) => {
  for (const [change, message] of [
    [(end: End) => void end.subnets.push('192.168.1.0/24'), '192.168.0.0/16 there overlaps 192.168.1.0/24 here'],
    [
      (end: End) => void (end.filed = [{ name: 'office', networks: ['192.168.3.0/24'] }]),
      '192.168.0.0/16 there overlaps 192.168.3.0/24 of peering office',
    ],
  ] as const) {
    const { a, b } = twoEnds();
    a.request();
    b.accept(invitationOf(a));
    change(a);
    talk(a, b);
    t.deepEqual(states(a, b), ['failed', 'failed']);
    t.is(a.get(ID).message, message);
    t.is(b.get(ID).message, `a: ${message}`);
  }
});

test('one connection per pair: what is peered already overlaps', (t) => {
  const { a, b } = active();
  a.request({ id: idOf(2), name: 'second' });
  b.accept(invitationOf(a, idOf(2)), { name: 'second' });
  t.is(b.get(idOf(2)).state, 'failed');
  t.is(b.get(idOf(2)).message, '172.31.0.0/16 there overlaps 172.31.0.0/16 of peering a');
});

test('the other side can bring private networks alone, or what the request allows for', (t) => {
  for (const [bounds, brought, state] of [
    [[], ['8.8.0.0/16'], 'failed'],
    [[], ['10.3.0.0/16', '100.64.1.0/24'], 'active'],
    [['8.8.0.0/16'], ['8.8.0.0/16'], 'active'],
    [['10.3.0.0/16'], ['10.3.7.0/24'], 'active'],
    [['10.3.0.0/16', 'fd00:b::/32'], ['10.3.0.0/16', 'fd00:b::/32'], 'active'],
    [['10.3.0.0/16'], ['10.4.0.0/16'], 'failed'],
  ] as const) {
    const [a, b] = [new End('a', ['172.31.0.0/16']), new End('b', [...brought])];
    b.addresses = ['100.64.0.2/32'];
    a.request({ bounds });
    b.accept(invitationOf(a));
    talk(a, b);
    t.is(a.get(ID).state, state, `${brought.join()} within ${bounds.join()}`);
    t.is(b.get(ID).state, state);
    if (state === 'failed') t.regex(a.get(ID).message, /there is outside .* \(--peer-subnets\)$/);
  }
});

test('an operator offers and takes parts of what there is, and nothing else', (t) => {
  const { a, b } = twoEnds();
  t.is(
    a.request({ subnets: ['10.0.0.0/8'] }),
    "10.0.0.0/8 is no part of this gateway's subnets, 172.31.0.0/16, fd00:a::/32",
  );
  t.is(a.request({ subnets: ['172.31.4.0/22'] }), undefined);
  t.is(
    b.accept(invitationOf(a), { subnets: ['172.31.0.0/16'] }),
    '172.31.0.0/16 is not offered; wanted some of 172.31.4.0/22',
  );
  t.is(b.accept(invitationOf(a), { subnets: ['172.31.5.0/24'] }), undefined);
  t.deepEqual(b.get(ID).peerSubnets, ['172.31.5.0/24']);
});

test('a name is one peering’s', (t) => {
  const { a, b } = active();
  a.filed = [{ name: 'office', networks: [] }];
  t.regex(a.request({ id: idOf(2), name: 'office' })!, /configuration file has a peering office/);
  t.regex(a.request({ id: idOf(2), name: 'b' })!, /there is a peering b, which is active/);
  a.take(remove(a.get(ID), START));
  talk(a, b);
  t.is(a.request({ id: idOf(2), name: 'b' }), undefined);
});

test('quotas: 25 requests may wait, and as many peerings be active as the configuration says', (t) => {
  const { a } = twoEnds();
  for (let number = 1; number <= 25; number++) t.is(a.request({ id: idOf(number), name: `p${number}` }), undefined);
  t.regex(a.request({ id: idOf(26), name: 'p26' })!, /25 requests wait/);
  a.take(remove(a.get(idOf(3)), START));
  t.is(a.request({ id: idOf(26), name: 'p26' }), undefined);

  const { a: from, b } = twoEnds();
  b.quota = 0;
  from.request();
  t.regex(b.accept(invitationOf(from))!, /0 peerings are active.*gateway\.peering_quota/);
  b.quota = 1;
  t.is(b.accept(invitationOf(from)), undefined);
  from.quota = 0;
  talk(from, b);
  t.deepEqual(states(from, b), ['failed', 'failed']);
});

test('either side deletes what is active, and tells the other', (t) => {
  for (const order of [0, 1]) {
    const ends = active();
    const [own, other] = order === 0 ? [ends.a, ends.b] : [ends.b, ends.a];
    own.take(remove(own.get(ID), START));
    t.is(own.get(ID).state, 'deleting');
    talk(own, other);
    t.deepEqual(states(own, other), ['deleted', 'deleted']);
    t.is(other.get(ID).message, `${own.name} deleted it`);
    t.is(visibleUntil(own.get(ID)), START + 2 * HOUR);
    t.is(visibleUntil(other.get(ID)), START + 48 * HOUR);
    t.deepEqual(other.log.slice(-2), [`deleting peer ${own.name}`, `deleted peer ${own.name}`]);
  }
});

test('both delete at once', (t) => {
  const { a, b } = active();
  a.take(remove(a.get(ID), START));
  b.take(remove(b.get(ID), START));
  talk(a, b);
  t.deepEqual(states(a, b), ['deleted', 'deleted']);
});

test('a deletion that nobody hears ends after an hour', (t) => {
  const { a } = active();
  a.take(remove(a.get(ID), START));
  a.tick(START + HOUR - 1);
  t.is(a.get(ID).state, 'deleting');
  a.tick(START + HOUR);
  t.is(a.get(ID).state, 'deleted');
  t.is(a.get(ID).message, 'b could not be told');
  t.is(a.get(ID).psk, '');
});

test('a request is deleted by its requester; who accepts it then finds no answer', (t) => {
  const { a, b } = twoEnds();
  a.request();
  const invitation = invitationOf(a);
  a.take(remove(a.get(ID), START));
  b.accept(invitation);
  talk(a, b);
  t.deepEqual(states(a, b), ['deleted', 'provisioning']);
  t.is(a.get(ID).psk, '');
  b.take(remove(b.get(ID), START));
  b.tick(START + HOUR);
  t.is(b.get(ID).state, 'deleted');
});

test('what was accepted and deleted again while the requester was away ends there as rejected', (t) => {
  const { a, b } = twoEnds();
  a.request();
  b.accept(invitationOf(a));
  b.take(remove(b.get(ID), START));
  talk(a, b);
  t.deepEqual(states(a, b), ['rejected', 'deleted']);
});

test('AWS: a failed connection can’t be accepted, rejected or deleted; an active one can’t be rejected', (t) => {
  const { a } = twoEnds();
  a.request({ bounds: ['172.31.0.0/16'] });
  const failed = a.get(ID);
  t.regex((remove(failed, START) as { refused: string }).refused, /failed can't be deleted/);
  for (const message of [
    { type: 'accept', id: ID, from: 'b', subnets: ['192.168.0.0/16'], addresses: [], psk: NEXT_PSK },
    { type: 'reject', id: ID, from: 'b' },
  ] satisfies Message[]) {
    const { answer, changes } = hear(failed, message, a.world, START);
    t.is(answer?.type, 'refused');
    t.deepEqual(changes, []);
  }
  const ends = active();
  t.is(say(ends.a, { type: 'reject', id: ID, from: 'b' })?.type, 'refused');
  t.is(ends.a.get(ID).state, 'active');
});

test('a change of state that is forbidden is never made, whoever asks the core', (t) => {
  const { a } = active();
  for (const state of STATES) {
    for (const action of ACTIONS) {
      for (const by of ACTORS) {
        const record: PeeringRecord = { ...a.get(ID), state };
        const to = transition(state, action, by);
        if (to === undefined) t.throws(() => moved(record, action, by, 'timer', START), { instanceOf: RangeError });
        else t.is(moved(record, action, by, 'timer', START).record.state, to);
      }
    }
  }
});

test('messages that come at the wrong time, or about another peering, change nothing', (t) => {
  const { a, b } = active();
  const before = [a.get(ID), b.get(ID)];
  for (const end of [a, b]) {
    say(end, { type: 'done', id: ID, of: 'reject' });
    say(end, { type: 'done', id: ID, of: 'delete' });
    say(end, { type: 'refused', id: ID, of: 'accept', reason: 'no' });
    say(end, { type: 'fail', id: ID, from: 'x', reason: 'no' });
    say(end, { type: 'delete', id: idOf(2) });
  }
  t.deepEqual([a.get(ID), b.get(ID)], before);
});

test('a record is shown as long as AWS shows it, and kept as long as its invitation could be tried again', (t) => {
  const { a, b } = twoEnds();
  a.request();
  b.take(reject(invitationOf(a), 'a', b.world, START));
  talk(a, b);
  t.true(isVisible(b.get(ID), START + 2 * HOUR - 1));
  t.false(isVisible(b.get(ID), START + 2 * HOUR));
  t.false(isForgotten(b.get(ID), START + 167 * HOUR));
  t.true(isForgotten(b.get(ID), START + 168 * HOUR));
});

test('what is over keeps its PSK just as long as its last answer may be asked for', (t) => {
  const { a, b } = active();
  a.take(remove(a.get(ID), START));
  talk(a, b);
  b.tick(START + 60_000);
  t.is(b.get(ID).psk, PSK);
  const entries = b.log.length;
  b.tick(START + 120_000);
  t.is(b.get(ID).psk, '');
  t.is(b.get(ID).nextPsk, '');
  t.is(b.log.length, entries);
});

test('a gateway that can’t lead packets by it fails it', (t) => {
  const { a, b } = twoEnds();
  a.request();
  b.accept(invitationOf(a));
  b.take(fail(b.get(ID), 'the system refuses the route', 'local api', START));
  talk(a, b);
  t.deepEqual(states(a, b), ['failed', 'failed']);
  t.is(a.get(ID).message, 'the system refuses the route');
});

test('its ACL is changed while it lasts', (t) => {
  const { a, b } = active();
  a.take(useAcl(a.get(ID), 'web', START));
  t.is(a.get(ID).acl, 'web');
  a.take(remove(a.get(ID), START));
  talk(a, b);
  t.regex((useAcl(a.get(ID), '', START) as { refused: string }).refused, /deleted can't be changed/);
});
