import test from 'ava';
import { COOKIE_REFRESH_TIME, CookieSecret, hasMac2, ReceiverMacs, SenderMacs } from '../../src/noise/cookie.ts';
import { endpointFrom, remoteBytes } from '../../src/wire/endpoint.ts';
import { hex } from './bytes.ts';

const PUBLIC = new Uint8Array(32).fill(3);
const NONCE = new Uint8Array(24).fill(9);
const COOKIE = new Uint8Array(16).fill(5);

function counting(): (length: number) => Uint8Array {
  let call = 0;
  return (length) => new Uint8Array(length).fill(++call);
}

test('a cookie is bound to address and port, and lasts two minutes', (t) => {
  const secret = new CookieSecret(counting());
  const cookie = (address: string, port: number, now: number) =>
    hex(secret.cookie(remoteBytes(endpointFrom(address, port)), now));
  const given = cookie('203.0.113.7', 51820, 1000);
  t.is(cookie('203.0.113.7', 51820, 1000 + COOKIE_REFRESH_TIME - 1), given);
  t.not(cookie('203.0.113.7', 51821, 1000), given);
  t.not(cookie('203.0.113.8', 51820, 1000), given);
  t.not(cookie('2001:db8::1', 51820, 1000), given);
  t.not(cookie('203.0.113.7', 51820, 1000 + COOKIE_REFRESH_TIME), given);
});

test('mac1 names the receiver and covers every byte before it', (t) => {
  const message = new Uint8Array(148).fill(1);
  new SenderMacs(PUBLIC).stamp(message, 0);
  const receiver = new ReceiverMacs(PUBLIC);
  t.true(receiver.hasMac1(message));
  t.false(new ReceiverMacs(new Uint8Array(32).fill(4)).hasMac1(message));
  for (let at = 0; at < 132; at++) {
    const changed = Uint8Array.from(message);
    changed[at] ^= 1;
    t.false(receiver.hasMac1(changed), `byte ${at}`);
  }
});

test('mac2 is sent for two minutes after a cookie came, and zero without one', (t) => {
  const receiver = new ReceiverMacs(PUBLIC);
  const sender = new SenderMacs(PUBLIC);
  const stamped = (now: number) => {
    const message = new Uint8Array(92).fill(1, 0, 60);
    sender.stamp(message, now);
    return message;
  };
  const first = stamped(0);
  t.deepEqual(first.subarray(76), new Uint8Array(16));
  t.true(sender.consumeReply(receiver.cookieReply(first, 1, COOKIE, NONCE), 10));
  t.true(hasMac2(stamped(10 + COOKIE_REFRESH_TIME - 1), COOKIE));
  t.deepEqual(stamped(10 + COOKIE_REFRESH_TIME).subarray(76), new Uint8Array(16));
});

test('only the first reply to the last message is taken', (t) => {
  const receiver = new ReceiverMacs(PUBLIC);
  const sender = new SenderMacs(PUBLIC);
  t.false(sender.consumeReply(new Uint8Array(64), 0), 'nothing was sent');
  const [older, message] = [new Uint8Array(92).fill(1), new Uint8Array(92).fill(2)];
  sender.stamp(older, 0);
  sender.stamp(message, 1);
  t.false(sender.consumeReply(receiver.cookieReply(older, 1, COOKIE, NONCE), 2), 'a reply to an older message');
  const reply = receiver.cookieReply(message, 1, COOKIE, NONCE);
  const forged = Uint8Array.from(reply);
  forged[40] ^= 1;
  t.false(sender.consumeReply(forged, 2), 'a forged reply');
  t.true(sender.consumeReply(reply, 2));
  t.false(sender.consumeReply(reply, 3), 'the same reply again');
});
