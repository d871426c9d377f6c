import test from 'ava';
import { RATE_SOURCES, REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES } from '../../src/session/constants.ts';
import { IndexTable } from '../../src/session/index-table.ts';
import { RateLimiter } from '../../src/session/rate-limiter.ts';
import { Staging } from '../../src/session/staging.ts';
import { KeepaliveTimer, ReplyTimer } from '../../src/session/timers.ts';
import { endpointFrom } from '../../src/wire/endpoint.ts';
import { seeded } from './world.ts';

const META = new Int32Array(16);

function drained(staging: Staging): Uint8Array[] {
  const packets: Uint8Array[] = [];
  staging.drain((bytes) => packets.push(bytes));
  return packets;
}

test('staged packets are copies, and come out in order with their rows', (t) => {
  const staging = new Staging();
  const [bytes, meta] = [Uint8Array.of(1, 2, 3), new Int32Array(16).fill(7)];
  t.is(staging.push(bytes, meta), 0);
  t.is(staging.push(Uint8Array.of(4), META), 0);
  bytes.fill(9);
  meta.fill(9);
  const out: [Uint8Array, Int32Array][] = [];
  staging.drain((packet, row) => out.push([packet, row]));
  t.deepEqual(out, [
    [Uint8Array.of(1, 2, 3), new Int32Array(16).fill(7)],
    [Uint8Array.of(4), META],
  ]);
  t.is(staging.length, 0);
});

test('of more than 128 packets, or 512 KiB, the oldest give way and are counted', (t) => {
  const staging = new Staging();
  for (let number = 0; number < 128; number++) t.is(staging.push(Uint8Array.of(number), META), 0);
  t.is(staging.push(Uint8Array.of(200), META), 1);
  t.is(drained(staging)[0][0], 1);

  const big = new Uint8Array(64 * 1024);
  for (let number = 0; number < 8; number++) t.is(staging.push(big.fill(number), META), 0);
  t.is(staging.push(Uint8Array.of(8), META), 1);
  t.is(staging.push(big, META), 1, 'there was room for what one gave up, less a byte');
  t.is(staging.clear(), 8);
  t.is(staging.push(big, META), 0);
});

test('what is staged while staged packets are drained waits for the next time', (t) => {
  const staging = new Staging();
  staging.push(Uint8Array.of(1), META);
  staging.drain((bytes, meta) => staging.push(bytes, meta));
  t.is(staging.length, 1);
});

test('a source has its own rate: an IPv4 address, or an IPv6 /64', (t) => {
  const limiter = new RateLimiter();
  const burst = (address: string, now: number) => {
    let allowed = 0;
    while (limiter.allow(endpointFrom(address, allowed), now)) allowed++;
    return allowed;
  };
  t.is(burst('192.0.2.1', 0), 5);
  t.is(burst('192.0.2.2', 0), 5);
  t.is(burst('2001:db8:0:1::1', 0), 5);
  t.is(burst('2001:db8:0:1:ffff::2', 0), 0, 'the same /64');
  t.is(burst('2001:db8:0:2::1', 0), 5);
  t.is(burst('192.0.2.1', 100), 2, 'one more each 50 ms');
  t.is(burst('192.0.2.1', 100_000), 5, 'and never more than 5');
});

test('a rate holds however finely the messages come', (t) => {
  const limiter = new RateLimiter();
  const from = endpointFrom('192.0.2.1', 1);
  let allowed = 0;
  for (let now = 0; now < 10_000; now++) if (limiter.allow(from, now)) allowed++;
  t.true(allowed >= 199 && allowed <= 205, `${allowed} in 10 s`);
});

test('the table of sources is bounded and forgets the quiet ones', (t) => {
  const limiter = new RateLimiter();
  for (let number = 0; number < RATE_SOURCES + 100; number++) {
    limiter.allow(endpointFrom(`10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`, 1), 1000);
  }
  t.is(limiter.size, RATE_SOURCES);
  t.false(limiter.allow(endpointFrom('192.0.2.1', 1), 1000));
  limiter.sweep(1100);
  t.is(limiter.size, RATE_SOURCES);
  limiter.sweep(2100);
  t.is(limiter.size, 0);
  t.true(limiter.allow(endpointFrom('192.0.2.1', 1), 2100));
});

test('indices are never given twice at a time, nor is 0', (t) => {
  const words = [0, 5, 5, 5, 6];
  const table = new IndexTable<string>(() => Uint8Array.of(0, 0, 0, words.shift()!));
  t.is(table.claim('first'), 5);
  t.is(table.claim('second'), 6);
  t.is(table.find(5), 'first');
  table.release(5);
  t.is(table.find(5), undefined);
  words.push(5);
  t.is(table.claim('again'), 5);
});

test('indices are 32 bits, unsigned', (t) => {
  const table = new IndexTable<number>(seeded(3));
  const indices = Array.from({ length: 1000 }, (_, number) => table.claim(number));
  t.is(new Set(indices).size, 1000);
  t.true(indices.every((index) => index > 0 && index <= 0xffffffff && Number.isInteger(index)));
  t.true(indices.some((index) => index > 0x7fffffff));
});

test("the limits of a key's counter", (t) => {
  const value = ({ hi, lo }: { hi: number; lo: number }) => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
  t.is(value(REKEY_AFTER_MESSAGES), 2n ** 60n);
  t.is(value(REJECT_AFTER_MESSAGES), 2n ** 64n - 2n ** 13n - 1n);
});

test('the reply timer starts with the first data after anything received, and fires once', (t) => {
  const timer = new ReplyTimer();
  timer.reset(1000);
  const delay = () => 15_000;
  t.false(timer.due(20_000, 900, 0, delay), 'data of before the start');
  t.false(timer.due(20_000, 18_000, 19_000, delay), 'data that was answered');
  t.false(timer.due(20_000, 19_500, 19_000, delay));
  t.false(timer.due(34_400, 34_000, 19_000, delay));
  t.true(timer.due(34_500, 34_000, 19_000, delay), '15 s after the first');
  t.false(timer.due(60_000, 34_000, 19_000, delay), 'once');
  t.false(timer.due(60_000, 60_000, 19_000, delay));
  t.false(timer.due(75_000, 60_000, 61_000, delay), 'called off by what came');
});

test('the keepalive timer starts with the first data after anything sent', (t) => {
  const timer = new KeepaliveTimer();
  timer.reset(0);
  const due = (now: number, received: number, sent: number, answered = sent) =>
    timer.due(now, received, sent, answered, 10_000);
  t.false(due(1000, 1000, 0));
  t.false(due(10_900, 1000, 0));
  t.true(due(11_000, 1000, 0));
  t.false(due(30_000, 1000, 0), 'once, even if it could not be sent');
  t.false(due(30_000, 1000, 11_000, 0), 'once for one');
  t.false(due(40_000, 40_000, 11_000, 0));
  t.false(due(49_000, 45_000, 11_000, 0));
  t.true(due(50_000, 45_000, 11_000, 0));
  t.false(due(59_900, 45_000, 50_000, 0));
  t.true(due(60_000, 45_000, 50_000, 0), 'once more, for data came meanwhile');
  t.false(due(90_000, 45_000, 60_000, 0));
  t.false(due(90_000, 90_000, 60_000, 0));
  t.false(due(100_000, 90_000, 95_000), 'called off by what was sent');
});
