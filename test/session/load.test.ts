import test from 'ava';
import { endpointFrom, formatEndpoint } from '../../src/wire/endpoint.ts';
import { established, peering, two } from './world.ts';

test('under load an initiation is answered by a cookie, and the next one, which shows it, by a response', (t) => {
  const { world, b, ab, ba } = two();
  b.queued = 128;
  ab.send('hello');
  world.run(50);
  t.deepEqual(world.kinds(), ['initiation', 'cookie']);
  t.deepEqual(b.drops, ['under-load']);
  world.run(6000);
  t.deepEqual(world.kinds(), ['initiation', 'cookie', 'initiation', 'response', 'data']);
  t.deepEqual(ba.received, ['hello']);
});

test('load is 128 waiting, and lasts for a second after', (t) => {
  const { world, a, b, ab } = two();
  const initiate = (queued: number) => {
    b.queued = queued;
    ab.peer.stop();
    ab.peer.start(world.now);
    ab.peer.wantSession(world.now);
    world.run(50);
    return world.log.at(-1)!.kind;
  };
  t.is(initiate(127), 'keepalive');
  t.is(initiate(128), 'cookie');
  t.is(initiate(0), 'keepalive', 'it has a cookie now');
  a.device.removePeer(ab.peer);
  const again = a.connect(peering(7).client, b);
  again.peer.wantSession(world.now);
  world.run(50);
  t.is(world.log.at(-1)!.kind, 'cookie', 'and without one is still refused');
  world.run(1000);
  again.peer.stop();
  again.peer.start(world.now);
  again.peer.wantSession(world.now);
  const { bytes } = world.log.at(-1)!;
  world.run(50);
  t.is(world.log.at(-1)!.kind, 'keepalive');
  t.false(
    bytes.subarray(132).every((byte) => byte === 0),
    'a cookie is shown for as long as it lasts',
  );
});

test('a cookie is good for the address and the port that it was sent to', (t) => {
  for (const moved of [endpointFrom('192.0.2.1', 51821), endpointFrom('192.0.2.3', 51820)]) {
    const { world, a, b, ab } = two();
    b.queued = 128;
    ab.peer.wantSession(world.now);
    world.run(50);
    a.endpoint = moved;
    world.run(6000);
    t.deepEqual(world.kinds(), ['initiation', 'cookie', 'initiation', 'cookie']);
    world.run(6000);
    t.is(world.of('response').length, 1);
  }
});

test('a cookie reply does not move the peer to where it came from', (t) => {
  const { world, b, ab } = two();
  b.queued = 128;
  world.fault = (datagram) => [
    { datagram: datagram.kind === 'cookie' ? { ...datagram, from: endpointFrom('203.0.113.66', 1) } : datagram },
  ];
  ab.peer.wantSession(world.now);
  world.run(50);
  t.is(world.of('cookie').length, 1);
  t.is(formatEndpoint(ab.endpoint!), formatEndpoint(b.endpoint));
});

test('a response is answered by a cookie when the initiator is under load', (t) => {
  const { world, a, ab, ba } = two();
  a.queued = 128;
  ab.send('hello');
  world.run(50);
  t.deepEqual(world.kinds(), ['initiation', 'response', 'cookie']);
  world.run(6000);
  t.deepEqual(ba.received, ['hello']);
});

test('with a cookie, a source has five messages at once and then one each 50 ms', (t) => {
  const { world, a, b, ab } = two();
  b.queued = 128;
  ab.peer.wantSession(world.now);
  world.run(6000);
  t.is(world.of('response').length, 1);
  const { bytes } = world.of('initiation')[1];
  world.run(1000);
  const flood = (count: number) => {
    const before = b.drops.length;
    for (let sent = 0; sent < count; sent++) world.carry(a.endpoint, b.endpoint, bytes);
    world.run(10);
    return b.drops.slice(before);
  };
  t.deepEqual(flood(7), [...Array<string>(5).fill('replayed'), 'rate-limited', 'rate-limited']);
  world.run(40);
  t.deepEqual(flood(2), ['replayed', 'rate-limited']);
});

test('cookie replies to nobody, forged or repeated, are dropped', (t) => {
  const { world, a, b, ab } = two();
  b.queued = 128;
  ab.peer.wantSession(world.now);
  world.run(50);
  const { bytes } = world.of('cookie')[0];
  const forged = Uint8Array.from(bytes);
  forged[40] ^= 1;
  const orphan = Uint8Array.from(bytes);
  orphan[4] ^= 1;
  for (const message of [bytes, forged, orphan]) world.carry(b.endpoint, a.endpoint, message);
  world.run(10);
  t.deepEqual(a.drops, ['bad-handshake', 'bad-handshake', 'unknown-index']);
});

test('a stranger is never answered, under load or not', (t) => {
  const { world, a, b } = established();
  const stranger = world.host('203.0.113.9', { seed: 99 });
  const keys = peering(8);
  const guess = stranger.connect([{ ...keys.client[0], remotePublic: peering(7).client[0].remotePublic }], b);
  guess.peer.wantSession(world.now);
  world.run(100);
  t.deepEqual(b.drops, ['unknown-peer'], 'one who knows the public key, but is not a peer');
  const blind = stranger.connect(keys.client, b);
  for (const queued of [0, 128]) {
    b.queued = queued;
    world.run(5500);
    blind.peer.wantSession(world.now);
    world.run(20);
  }
  t.true(b.drops.slice(1).every((drop) => drop === 'bad-mac1' || drop === 'unknown-peer' || drop === 'under-load'));
  t.true(world.log.filter(({ from, kind }) => from === b.endpoint && kind === 'response').length === 1);
  t.deepEqual(a.drops, []);
});
