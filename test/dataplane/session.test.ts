import test from 'ava';
import { DEFAULT_TIMING } from '../../src/session/constants.ts';
import { ENDPOINT } from '../../src/wire/endpoint.ts';
import { ip } from '../wire/packets.ts';
import { apart, joined, many, packetToA, packetToB } from './gateways.ts';
import { counterOf, openTransport } from './transport.ts';
import type { Datagram } from '../session/underlay.ts';

const MTU = 1420;
const FIRST_REJECTED = 2n ** 64n - 2n ** 13n - 1n;
const REKEY_AFTER = 2n ** 60n;

const lose = () => [];
const pass = (datagram: Datagram) => [{ datagram }];

function counter(value: bigint): { hi: number; lo: number } {
  return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
}

for (const cipher of ['chacha20-poly1305', 'aes-256-gcm'] as const) {
  test(`${cipher}: packets wait for one handshake, arrive in order and once, and are answered`, (t) => {
    const { underlay, a, b } = apart({ ciphers: [cipher] });
    const packets = many(5, packetToB);
    a.send(...packets.slice(0, 3));
    a.send(...packets.slice(3));
    underlay.run(50);
    t.deepEqual(underlay.kinds(), ['initiation', 'response', 'data', 'data', 'data', 'data', 'data']);
    t.deepEqual(b.received, packets);
    b.send(packetToA());
    underlay.run(50);
    t.deepEqual(a.received, [packetToA()]);
    t.deepEqual(underlay.kinds(7), ['data']);
    t.is(a.dropped() + b.dropped(), 0);
  });

  test(`${cipher}: what is on the wire is the packet, and zeros up to a multiple of 16 or the MTU`, (t) => {
    const { underlay, a, b } = joined({ ciphers: [cipher] });
    // Bytes that the padding could be made of by mistake.
    a.send(ip('172.31.0.1', '192.168.0.1', 253, new Uint8Array(1400).fill(0xaa)));
    const since = underlay.log.length;
    const lengths = [20, 21, 31, 32, 33, 1407, 1408, 1409, 1419, 1420, 1421, 1500];
    const packets = lengths.map((length) => {
      return ip('172.31.0.1', '192.168.0.1', 253, new Uint8Array(length - 20).fill(length));
    });
    a.send(...packets);
    const sizes = lengths.map((length) => {
      const full = Math.ceil(length / 16) * 16;
      return length <= MTU ? Math.min(full, MTU) : full;
    });
    const sent = underlay.log.slice(since);
    t.deepEqual(
      sent.map(({ bytes }) => bytes.length),
      sizes.map((size) => size + 32),
    );
    for (const [index, { bytes }] of sent.entries()) {
      const expected = new Uint8Array(sizes[index]);
      expected.set(packets[index]);
      t.deepEqual(openTransport(b.keypairs[0], bytes), expected);
    }
    underlay.run(50);
    t.deepEqual(b.received.slice(1), packets);
  });
}

test('the MTU that caps the padding is the present one', (t) => {
  const { underlay, a } = joined();
  a.mtu(1285);
  a.send(packetToB(0, 1283 - 28));
  t.is(underlay.log.at(-1)!.bytes.length, 1285 + 32);
});

test("the initiator's first message is a keepalive of 32 bytes, if it has no data, and lets the responder send", (t) => {
  const { underlay, a, b } = joined();
  t.deepEqual(underlay.kinds(), ['initiation', 'response', 'keepalive']);
  t.is(underlay.log[2].bytes.length, 32);
  b.send(packetToA());
  underlay.run(50);
  t.deepEqual(underlay.kinds(3), ['data']);
  t.deepEqual(a.received, [packetToA()]);
  t.deepEqual(b.received, []);
});

test('the responder sends nothing before it has heard the initiator', (t) => {
  const { underlay, a, b, ab } = apart();
  underlay.fault = (datagram) => (datagram.kind === 'keepalive' ? [] : [{ datagram }]);
  ab.wantSession(underlay.now);
  underlay.run(50);
  const packets = many(3, packetToA);
  b.send(...packets);
  underlay.run(1000);
  t.deepEqual(underlay.kinds(), ['initiation', 'response', 'keepalive']);
  a.send(packetToB());
  underlay.run(50);
  t.deepEqual(a.received, packets);
});

test('packets that waited do not stand in for a keepalive that is due later', (t) => {
  const { underlay, a, b, ab } = apart();
  underlay.fault = (datagram) => (datagram.kind === 'keepalive' ? [] : [{ datagram }]);
  ab.wantSession(underlay.now);
  underlay.run(50);
  b.send(packetToA());
  a.send(packetToB());
  underlay.run(1000);
  underlay.fault = pass;
  const since = underlay.log.length;
  a.send(packetToB());
  underlay.run(20_000);
  t.deepEqual(underlay.kinds(since), ['data', 'keepalive']);
});

test('a persistent keepalive goes out on time and keeps one session going', (t) => {
  const { underlay } = joined({ keepalive: 5000 });
  const since = underlay.log.length;
  underlay.run(60_000);
  t.true(underlay.log.length - since >= 11);
  t.true(underlay.log.slice(since).every(({ kind, bytes }) => kind === 'keepalive' && bytes.length === 32));
});

test('a key is renewed by age under traffic, and no packet is lost, doubled or put out of order', (t) => {
  const { underlay, a, b } = joined();
  const packets = many(3000, packetToB);
  const answers = many(3000, packetToA);
  for (let turn = 0; turn < 3000; turn++) {
    a.send(packets[turn]);
    b.send(answers[turn]);
    underlay.run(100);
  }
  t.deepEqual(b.received, packets);
  t.deepEqual(a.received, answers);
  t.is(underlay.of('initiation').length, 3);
  t.is(underlay.of('response').length, 3);
  t.is(a.dropped() + b.dropped(), 0);
  const renewed = underlay.of('initiation').map(({ at }) => Math.round((at - 1000) / 1000));
  t.deepEqual(renewed, [0, 120, 240]);
});

test('what was sent under the previous key is still opened after the next one is in use', (t) => {
  const { underlay, a, b } = joined();
  underlay.run(DEFAULT_TIMING.rekeyAfterTime - 2000);
  underlay.fault = (datagram) => [{ datagram, delay: 5000 }];
  a.send(packetToB(1));
  underlay.fault = pass;
  underlay.run(2500);
  a.send(packetToB(2));
  underlay.run(500);
  a.send(packetToB(3));
  underlay.run(500);
  t.is(a.keypairs.length, 2);
  t.deepEqual(b.received, [packetToB(2), packetToB(3)]);
  underlay.run(5000);
  t.deepEqual(b.received, [packetToB(2), packetToB(3), packetToB(1)]);
});

test('what arrives under a key that is 180 s old is dropped', (t) => {
  const { underlay, a, b } = joined();
  const late = b.keypairs[0].createdAt + DEFAULT_TIMING.rejectAfterTime;
  underlay.run(late - underlay.now - 10);
  const delays = [0, 8, 9];
  underlay.fault = (datagram) => [{ datagram, delay: delays.shift()! }];
  a.send(...many(3, packetToB));
  underlay.fault = pass;
  underlay.run(11);
  t.deepEqual(b.received, [packetToB(0), packetToB(1)]);
  t.deepEqual(b.drops(0), { 'key-expired': 1 });
});

test('nothing is sent under a key that is 180 s old: the packet waits for a new one', (t) => {
  const { underlay, a, b } = joined();
  underlay.run(a.keypairs[0].createdAt + DEFAULT_TIMING.rejectAfterTime - underlay.now);
  a.send(packetToB());
  underlay.run(10);
  t.deepEqual(underlay.kinds(3), ['initiation', 'response', 'data']);
  t.deepEqual(b.received, [packetToB()]);
});

test('no counter at or above the limit is used: packets wait for a new key', (t) => {
  const { underlay, a, b, ab } = apart();
  a.firstCounter = counter(FIRST_REJECTED - 3n);
  ab.wantSession(underlay.now);
  underlay.run(50);
  a.firstCounter = undefined;
  a.send(...many(4, packetToB));
  underlay.run(6000);
  t.deepEqual(b.received, many(2, packetToB));
  a.send(packetToB(4));
  underlay.run(50);
  t.deepEqual(b.received, many(5, packetToB));
  const counters = [...underlay.of('keepalive'), ...underlay.of('data')].map(({ bytes }) => counterOf(bytes));
  t.deepEqual(counters, [FIRST_REJECTED - 3n, FIRST_REJECTED - 2n, FIRST_REJECTED - 1n, 0n, 1n, 2n]);
});

test('a key is renewed by count, also by the end that responded, and goes on meanwhile', (t) => {
  const { underlay, a, b, ab } = apart();
  b.firstCounter = counter(REKEY_AFTER - 2n);
  ab.wantSession(underlay.now);
  underlay.run(10_000);
  b.firstCounter = undefined;
  b.send(packetToA(0), packetToA(1));
  underlay.run(50);
  t.is(underlay.of('initiation').length, 1);
  b.send(packetToA(2));
  underlay.run(50);
  t.is(underlay.of('initiation').length, 2);
  b.send(packetToA(3));
  underlay.run(50);
  t.deepEqual(a.received, many(4, packetToA));
  const counters = underlay.of('data').map(({ bytes }) => counterOf(bytes));
  t.deepEqual(counters, [REKEY_AFTER - 2n, REKEY_AFTER - 1n, REKEY_AFTER, 1n]);
});

test('packets for a peer that does not answer are given up with the attempt, and counted', (t) => {
  const { underlay, a } = apart();
  underlay.fault = lose;
  a.send(...many(3, packetToB));
  underlay.run(89_000);
  t.deepEqual(a.drops(0), {});
  t.true(underlay.of('initiation').length >= 16);
  underlay.run(7000);
  t.deepEqual(a.drops(0), { 'no-session': 3 });
  const since = underlay.log.length;
  underlay.run(30_000);
  t.is(underlay.log.length, since);
});

test('of more packets than may wait, the last ones are kept', (t) => {
  const { underlay, a, b } = apart();
  a.send(...many(130, packetToB));
  underlay.run(50);
  t.deepEqual(a.drops(0), { 'staging-full': 2 });
  t.deepEqual(b.received, many(128, packetToB, 2));
});

test('a peer whose endpoint is not known gets nothing until it calls', (t) => {
  const { underlay, a, b } = apart();
  b.send(packetToA());
  underlay.run(1000);
  t.deepEqual(underlay.log, []);
  t.deepEqual(b.drops(0), { 'no-endpoint': 1 });
  a.send(packetToB());
  underlay.run(50);
  t.deepEqual(a.received, [packetToA()]);
});

test('what waited too long for a peer to call is not sent to it, and what came since is', (t) => {
  const { underlay, a, b } = apart();
  b.send(...many(3, packetToA));
  underlay.run(91_000);
  b.send(packetToA(3));
  underlay.run(1000);
  t.deepEqual(b.drops(0), { 'no-endpoint': 2, 'no-session': 3 });
  a.send(packetToB());
  underlay.run(50);
  t.deepEqual(a.received, [packetToA(3)]);

  const later = apart();
  later.b.send(packetToA());
  later.underlay.run(91_000);
  later.a.send(packetToB());
  later.underlay.run(50);
  t.deepEqual(later.a.received, []);
  t.deepEqual(later.b.received, [packetToB()]);
});

test('from an address that nothing comes back to, a peer is called from whatever address the kernel chooses', (t) => {
  const { underlay, a, b } = joined();
  const local = b.endpoint.slice();
  local.set([0, 0, 0xffff, 0x0a000001, 3], ENDPOINT.local);
  const isSticky = () =>
    a
      .whereIs(0)!
      .subarray(ENDPOINT.local)
      .some((word) => word !== 0);
  a.moveTo(0, local);
  underlay.run(60_000);
  t.true(isSticky(), 'silence alone says nothing');
  underlay.fault = () => [];
  a.send(packetToB());
  underlay.run(14_900);
  t.true(isSticky());
  underlay.run(1000);
  t.false(isSticky(), 'data was not answered');
  t.deepEqual(a.whereIs(0), b.endpoint);
  a.moveTo(0, local);
  underlay.run(6000);
  t.false(isSticky(), 'nor was the initiation');
});

test('what waits for a session is gone when the device goes down', (t) => {
  const { underlay, a, b, ab } = apart();
  underlay.fault = () => [];
  a.send(packetToB(1));
  underlay.run(1000);
  ab.stop();
  t.deepEqual(a.drops(0), { 'no-session': 1 });
  underlay.fault = (datagram) => [{ datagram }];
  ab.start(underlay.now);
  a.send(packetToB(2));
  underlay.run(50);
  t.deepEqual(b.received, [packetToB(2)]);
});

test('what the socket or the TUN does not take is counted', (t) => {
  const { underlay, a, b } = joined();
  a.socketUp = false;
  a.send(...many(2, packetToB));
  t.deepEqual(a.drops(0), { 'send-failed': 2 });
  a.socketUp = true;
  b.tunUp = false;
  a.send(packetToB());
  underlay.run(50);
  t.deepEqual(b.drops(), { 'write-failed': 1 });
  // Coalesced, each still counts.
  a.send(...many(10, packetToB));
  underlay.run(50);
  t.deepEqual(b.drops(), { 'write-failed': 11 });
  b.tunUp = true;
  a.send(packetToB(1));
  underlay.run(50);
  t.deepEqual(b.received, [packetToB(1)]);
});

test('a removed peer is neither heard nor sent to', (t) => {
  const { underlay, a, b, ba } = joined();
  b.removePeer(ba);
  const since = underlay.log.length;
  a.send(packetToB());
  b.send(packetToA());
  underlay.run(50);
  t.deepEqual(b.received, []);
  t.deepEqual(b.drops(), { 'unknown-index': 1 });
  t.deepEqual(underlay.kinds(since), ['data']);
});
