import test from 'ava';
import fc from 'fast-check';
import { decodeInvitation, encodeInvitation, type Invitation } from '../../src/peering/invitation.ts';
import { decodeMessage, encodeMessage, MESSAGE_BYTES, type Message } from '../../src/peering/message.ts';
import { MOST_ADDRESSES, MOST_NETWORKS } from '../../src/peering/texts.ts';
import { idOf, NEXT_PSK } from './ends.ts';

const INVITATION: Invitation = {
  ...{ id: idOf(1), from: 'ningxia', endpoint: '[2001:db8::1]:51820', subnets: ['172.31.0.0/16', 'fd00:a::/32'] },
  ...{ addresses: ['10.8.0.1/32'], cipher: 'auto', psk: new Uint8Array(32).fill(7), expiresAt: 1_767_225_600_000 },
};
const TEXT = encodeInvitation(INVITATION);

test('an invitation is one word, and says what went in', (t) => {
  t.regex(TEXT, /^isthmus1-[A-Za-z0-9_-]+$/);
  t.deepEqual(decodeInvitation(TEXT), INVITATION);
  t.deepEqual(decodeInvitation(`  ${TEXT.slice(0, 40)}\n${TEXT.slice(40)}\n`), INVITATION);
});

test('a string that lost or changed a part anywhere is known as damaged, and its text is not shown', (t) => {
  const damaged = 'the invitation is damaged: its checksum is wrong. Was all of it copied?';
  for (let at = 9; at < TEXT.length; at++) {
    t.is(decodeInvitation(TEXT.slice(0, at)), damaged);
    const other = TEXT[at] === 'A' ? 'B' : 'A';
    t.is(decodeInvitation(TEXT.slice(0, at) + other + TEXT.slice(at + 1)), damaged);
  }
});

test('what is no invitation is said to be none', (t) => {
  t.regex(decodeInvitation('') as string, /^not an invitation/);
  t.regex(decodeInvitation('hello') as string, /^not an invitation/);
  t.regex(decodeInvitation(TEXT.replace('isthmus1-', 'isthmus2-')) as string, /another version/);
  fc.assert(fc.property(fc.string(), (text) => typeof decodeInvitation(`isthmus1-${text}`) === 'string'));
});

test('one whose checksum is right is still not believed', (t) => {
  for (const change of [
    { from: 'a b' },
    { endpoint: 'nowhere' },
    { subnets: [] },
    { subnets: ['172.31.0.1/16'] },
    { subnets: ['here'] },
    { subnets: Array.from({ length: MOST_NETWORKS + 1 }, (_, number) => `10.${number}.0.0/16`) },
    { addresses: ['10.8.0.0/30'] },
    { psk: new Uint8Array(16) },
    { expiresAt: -1 },
    { id: 'pcx-1' },
    { cipher: 'rot13' as 'auto' },
  ]) {
    t.is(
      decodeInvitation(encodeInvitation({ ...INVITATION, ...change })),
      'the invitation holds something that no Isthmus writes',
    );
  }
});

test('the longest message fits a packet', (t) => {
  const host = (number: number) => `fd00:1111:2222:3333:4444:5555:6666:7${number.toString(16).padStart(3, '0')}/128`;
  const many = (count: number): string[] => Array.from({ length: count }, (_, number) => host(number));
  const names = { id: idOf(1), from: 'n'.repeat(63) };
  const accept = { ...names, subnets: many(MOST_NETWORKS), addresses: many(MOST_ADDRESSES), psk: NEXT_PSK };
  for (const message of [
    { type: 'accept', ...accept },
    { type: 'fail', ...names, reason: 'r'.repeat(200) },
  ] satisfies Message[]) {
    t.deepEqual(decodeMessage(encodeMessage(message)), message);
  }
});

test('messages of any other kind are none', (t) => {
  const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  for (const value of [
    null,
    1,
    [],
    {},
    { type: 'accept' },
    { type: 'delete', id: '__proto__' },
    { type: 'gone', id: idOf(1) },
  ]) {
    t.is(decodeMessage(bytes(value)), undefined);
  }
  t.is(decodeMessage(Uint8Array.of(0xff, 0xfe)), undefined);
  fc.assert(fc.property(fc.uint8Array({ maxLength: MESSAGE_BYTES }), (any) => decodeMessage(any) === undefined));
});

test('a reason from the other side does nothing to the terminal that shows it', (t) => {
  const reason = 'no \u001b]0;owned\u0007\u001b[2J\r\nroom, \u202ereally; schöner Tag';
  const message: Message = { type: 'refused', id: 'pcx-0123456789abcdef0', of: 'accept', reason };
  t.deepEqual(decodeMessage(encodeMessage(message)), {
    ...message,
    reason: 'no ?]0;owned??[2J??room, ?really; schöner Tag',
  });
});
