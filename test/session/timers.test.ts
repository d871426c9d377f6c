import test from 'ava';
import { DEFAULT_TIMING, timing } from '../../src/session/constants.ts';
import { established, two, type World } from './world.ts';

/** A tick may come this much after what it fires was due. */
const TICK = 100;

const gaps = (world: World) =>
  world.of('initiation').map(({ at }, number, all) => (number === 0 ? 0 : at - all[number - 1].at));

test('an attempt goes on for 90 s, every 5 s and up to a third of a second, and is then given up', (t) => {
  const { world, ab, ba } = two();
  world.fault = () => [];
  ab.send('hello');
  world.run(89_000);
  t.is(ab.discarded, 0);
  t.is(ab.staging.length, 1);
  world.run(8000);
  t.is(ab.discarded, 1);
  const count = world.of('initiation').length;
  t.true(count >= 17 && count <= 18, `${count} initiations`);
  for (const gap of gaps(world).slice(1)) t.true(gap >= 5000 && gap <= 5333 + TICK, `${gap} ms`);

  world.run(600_000);
  t.is(world.of('initiation').length, count, 'silence after that');
  world.fault = (datagram) => [{ datagram }];
  ab.send('anybody there now?');
  world.run(50);
  t.deepEqual(ba.received, ['anybody there now?']);
});

test('new packets keep an attempt alive, without making it any faster', (t) => {
  const { world, ab } = two();
  world.fault = () => [];
  for (let second = 0; second < 200; second++) {
    ab.send('hello');
    world.run(1000);
  }
  t.is(ab.discarded, 0);
  for (const gap of gaps(world).slice(1)) t.true(gap >= 5000 && gap <= 5333 + TICK, `${gap} ms`);
});

test('retries have jitter: two devices that began together do not stay together', (t) => {
  const times = [1, 50].map((seed) => {
    const { world, ab } = two({ seed });
    world.fault = () => [];
    ab.peer.wantSession(world.now);
    world.run(80_000);
    return world.of('initiation').map(({ at }) => at);
  });
  t.notDeepEqual(times[0], times[1]);
  t.true(new Set(times[0].map((at, number) => at - (times[0][number - 1] ?? 0))).size > 2);
});

test('who asks for a session twice within 5 s initiates once', (t) => {
  const { world, ab } = established();
  ab.peer.wantSession(world.now);
  world.run(4900);
  ab.peer.wantSession(world.now);
  t.is(world.of('initiation').length, 1);
  world.run(100);
  ab.peer.wantSession(world.now);
  t.is(world.of('initiation').length, 2);
});

test('the initiator renews a session of 120 s when it sends; the responder does not', (t) => {
  const { world, ab, ba } = established();
  world.run(119_800 - 50);
  ab.send('young');
  ba.send('young');
  world.run(400);
  ba.send('old');
  world.run(1000);
  t.is(world.of('initiation').length, 1);
  ab.send('old');
  world.run(200);
  t.is(world.of('initiation').length, 2);
  t.deepEqual(world.of('initiation')[1].from, world.of('initiation')[0].from);
  world.run(500);
  t.is(world.of('response').length, 2);
  t.is(ab.current?.localIndex, ba.current?.remoteIndex);
});

test('an idle session is not renewed', (t) => {
  const { world } = established();
  world.run(600_000);
  t.deepEqual(world.kinds(), ['initiation', 'response', 'keepalive']);
});

test('rekeying early, for the operator who asks for it', (t) => {
  const { world, ab, ba } = established({ timing: timing(5000) });
  for (let second = 0; second < 60; second++) {
    ab.send(`${second}`);
    world.run(1000);
  }
  t.is(ba.received.length, 60);
  const count = world.of('initiation').length;
  t.true(count >= 10 && count <= 13, `${count} initiations`);
  t.throws(() => timing(4999), { instanceOf: RangeError });
  t.throws(() => timing(120_001), { instanceOf: RangeError });
  t.throws(() => timing(NaN), { instanceOf: RangeError });
  t.deepEqual(timing(120_000), DEFAULT_TIMING);
});

test('an initiator that only receives renews a session of 165 s, and the next one too', (t) => {
  const { world, ab } = established();
  for (const handshakes of [1, 2, 3]) {
    world.run(164_500);
    ab.activity.receivedAt = world.now;
    world.run(200);
    t.is(world.of('initiation').length, handshakes);
    world.run(500);
    ab.activity.receivedAt = world.now;
    world.run(200);
    t.is(world.of('initiation').length, handshakes + 1);
  }
});

test('a rekey that fails is tried for 90 s from what asked for it, and no longer', (t) => {
  for (const asks of ['sentAt', 'receivedAt'] as const) {
    const { world, ab } = established();
    world.run(166_000);
    world.fault = () => [];
    const asked = world.now;
    for (let second = 0; second < 10; second++) {
      if (asks === 'receivedAt' || second === 0) ab.activity[asks] = world.now;
      world.run(1000);
    }
    world.run(300_000);
    const lasted = world.of('initiation').at(-1)!.at - asked;
    t.true(lasted > 80_000 && lasted < 90_000 + TICK, `${lasted} ms by ${asks}`);
  }
});

test('keys are gone at 180 s, on both sides, and overwritten', (t) => {
  const { world, a, b } = established();
  world.run(179_900);
  t.is(a.keypairs.size + b.keypairs.size, 2);
  world.run(200);
  t.is(a.keypairs.size + b.keypairs.size, 0);
  for (const { sendKey, receiveKey } of [...a.gone, ...b.gone]) {
    t.true([...sendKey, ...receiveKey].every((byte) => byte === 0));
  }
});

test('rekeys leave three keypairs at most, and the older ones are overwritten', (t) => {
  const { world, a, b, ab, ba } = established();
  for (let round = 0; round < 10; round++) {
    world.run(5000);
    (round % 3 === 0 ? ba : ab).peer.wantSession(world.now);
    world.run(50);
    t.true(a.keypairs.size <= 2 && b.keypairs.size <= 2, `${a.keypairs.size}, ${b.keypairs.size}`);
    t.is(ab.current?.localIndex, ba.current?.remoteIndex);
  }
  t.is(world.of('response').length, 11);
});

test('a response is taken late, but not once all trace of the attempt was erased', (t) => {
  for (const [delay, taken] of [
    [200_000, true],
    [700_000, false],
  ] as const) {
    const { world, ab } = two();
    let count = 0;
    world.fault = (datagram) => {
      if (datagram.kind === 'response') return [{ datagram, delay }];
      return datagram.kind === 'initiation' && ++count < 17 ? [] : [{ datagram }];
    };
    ab.peer.wantSession(world.now);
    world.run(delay + 95_000);
    t.is(ab.current !== null, taken, `${delay} ms`);
  }
});

test('what is erased for an attempt that failed is not a session that the other end has begun since', (t) => {
  const { world, a, ab, ba } = two();
  world.fault = () => [];
  ab.peer.wantSession(world.now);
  world.run(610_000);
  world.fault = (datagram) => (datagram.kind === 'keepalive' ? [] : [{ datagram }]);
  ba.peer.wantSession(world.now);
  world.run(60_000);
  t.is(a.keypairs.size, 1);
});

test('data that nobody answers leads to a new handshake after 15 s and up to a third', (t) => {
  const { world, b, ab } = established();
  world.run(1000);
  const sent = world.now;
  world.fault = (datagram) => (datagram.to === b.endpoint ? [] : [{ datagram }]);
  ab.send('hello?');
  world.run(2000);
  ab.send('hello??');
  world.run(20_000);
  const at = world.of('initiation')[1].at - sent;
  t.true(at >= 15_000 && at <= 15_333 + TICK, `${at} ms`);
});

test('data that waited for the handshake and was then lost is missed as well', (t) => {
  const { world, ab } = two();
  world.fault = (datagram) => (datagram.kind === 'data' ? [] : [{ datagram }]);
  ab.send('hello');
  world.run(14_900);
  t.is(world.of('initiation').length, 1);
  world.run(600);
  t.is(world.of('initiation').length, 2);
});

test('any answer, if only a keepalive, is enough', (t) => {
  const { world, ab } = established();
  ab.send('one way');
  world.run(60_000);
  t.is(world.of('initiation').length, 1);
});

test('data that is not answered for 10 s is answered by a keepalive, and that by nothing', (t) => {
  const { world, b, ab } = established();
  world.run(1000);
  const [sent, before] = [world.now, world.log.length];
  ab.send('one way');
  world.run(100_000);
  t.deepEqual(world.kinds(before), ['data', 'keepalive']);
  const keepalive = world.log.at(-1)!;
  t.is(keepalive.from, b.endpoint);
  t.true(keepalive.at - sent >= 10_000 && keepalive.at - sent <= 10_001 + TICK);
});

test('one keepalive more if further data came in those 10 s; none if it was answered', (t) => {
  const { world, ab, ba } = established();
  let before = world.log.length;
  ab.send('one');
  world.run(5000);
  ab.send('two');
  world.run(60_000);
  t.deepEqual(world.kinds(before), ['data', 'data', 'keepalive', 'keepalive']);

  before = world.log.length;
  ab.send('one');
  world.run(5000);
  ba.send('an answer');
  world.run(8000);
  ab.send('thanks');
  ba.send('no more');
  world.run(9000);
  t.deepEqual(world.kinds(before), ['data', 'data', 'data', 'data']);
});

test('a handshake message counts as an answer', (t) => {
  const { world, ab } = established();
  world.run(5000);
  ab.send('one way');
  world.run(5000);
  ab.peer.wantSession(world.now);
  world.run(60_000);
  t.deepEqual(world.kinds(3), ['data', 'initiation', 'response', 'keepalive']);
});

test('a steady stream one way is answered every 10 s', (t) => {
  const { world, ab } = established();
  const before = world.log.length;
  for (let second = 0; second < 100; second++) {
    ab.send('again');
    world.run(1000);
  }
  const count = world.kinds(before).filter((kind) => kind === 'keepalive').length;
  t.true(count >= 9 && count <= 10, `${count} keepalives`);
});

test('a persistent keepalive goes out when nothing else has for its interval, and begins at once', (t) => {
  const { world, ab, ba } = established();
  const before = world.log.length;
  ab.peer.persistentKeepalive = 25_000;
  world.run(200);
  t.deepEqual(world.kinds(before), ['keepalive'], 'at once when turned on');
  world.run(100_000);
  t.is(world.log.length - before, 5);
  ba.send('any message puts it off');
  world.run(24_900);
  t.is(world.kinds(before).filter((kind) => kind === 'keepalive').length, 6, 'but for the answer after 10 s');
  ab.peer.persistentKeepalive = 0;
  const off = world.log.length;
  world.run(15_000);
  t.is(world.log.length, off);
  ab.peer.persistentKeepalive = 25_000;
  world.run(200);
  const on = world.log.length;
  ab.peer.persistentKeepalive = 0;
  ab.peer.persistentKeepalive = 25_000;
  world.run(200);
  t.deepEqual(world.kinds(on), ['keepalive'], 'at once when turned on again');
});

test('a persistent keepalive makes the session that it needs, and again whenever it is lost', (t) => {
  const { world, a, b, keys } = two();
  const link = a.connect([{ ...keys.client[0], localPrivate: new Uint8Array(32).fill(77) }], b, 25_000);
  t.deepEqual(world.kinds(), ['initiation'], 'at once when started');
  world.run(300_000);
  const count = world.of('initiation').length;
  t.true(count > 50, `${count} attempts while nobody answers`);
  link.peer.persistentKeepalive = 0;
  world.run(95_000);
  const last = world.of('initiation').length;
  world.run(100_000);
  t.is(world.of('initiation').length, last);
});

test('a persistent keepalive waits until it is known where the peer is, and then goes out at once', (t) => {
  const { world, a, b, keys } = two();
  const link = a.connect([{ ...keys.client[0], localPrivate: new Uint8Array(32).fill(77) }], null, 25_000);
  world.run(3_000);
  t.is(link.peer.initiations, 0, 'nothing is begun that cannot be sent');
  link.endpoint = b.endpoint;
  world.run(200);
  t.deepEqual(world.kinds(), ['initiation']);
  world.run(4_000);
  t.deepEqual(world.kinds(), ['initiation'], 'and is not sent again before its time');
});

test('with a persistent keepalive a session is renewed before its keys are gone', (t) => {
  const { world, a, b, ab } = established();
  ab.peer.persistentKeepalive = 25_000;
  for (let minute = 0; minute < 20; minute++) {
    world.run(60_000);
    t.true(a.keypairs.size > 0 && b.keypairs.size > 0);
  }
  const count = world.of('initiation').length;
  t.true(count >= 8 && count <= 11, `${count} handshakes in 20 minutes`);
});
