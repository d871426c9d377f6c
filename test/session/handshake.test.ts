import test from 'ava';
import { DROP_REASONS } from '../../src/wire/drop.ts';
import { endpointFrom, formatEndpoint } from '../../src/wire/endpoint.ts';
import { established, two } from './world.ts';

for (const cipher of ['chacha20-poly1305', 'aes-256-gcm'] as const) {
  test(`${cipher}: the first packet waits for one handshake, and both directions then flow`, (t) => {
    const { world, a, b, ab, ba } = two({ ciphers: [cipher] });
    ab.send('hello');
    ab.send('again');
    world.run(50);
    t.deepEqual(world.kinds(), ['initiation', 'response', 'data', 'data']);
    t.deepEqual(ba.received, ['hello', 'again']);
    ba.send('welcome');
    world.run(50);
    t.deepEqual(ab.received, ['welcome']);
    t.is(ab.current?.cipher, cipher);
    t.deepEqual([...a.drops, ...b.drops], []);
    t.is(ab.peer.lastHandshakeAt, 1_700_000_000_000 + 1002);
    t.is(ba.peer.lastHandshakeAt, 1_700_000_000_000 + 1003);
  });
}

test('with nothing to send, the initiator sends a keepalive so that the responder may send', (t) => {
  const { world, ab, ba } = established();
  t.deepEqual(world.kinds(), ['initiation', 'response', 'keepalive']);
  t.truthy(ab.current);
  t.truthy(ba.current);
});

test('the responder sends nothing under a session before it has heard the initiator use it', (t) => {
  const { world, ab, ba } = two();
  world.fault = (datagram) => (datagram.kind === 'keepalive' ? [] : [{ datagram }]);
  ab.peer.wantSession(world.now);
  world.run(50);
  ba.send('early');
  world.run(1000);
  t.is(ba.current, null);
  t.deepEqual(ab.received, []);
  ab.send('go on');
  world.run(50);
  t.deepEqual(ab.received, ['early']);
});

for (const lost of ['initiation', 'response']) {
  test(`a lost ${lost} is made good by the next attempt`, (t) => {
    const { world, ab, ba } = two();
    let times = 0;
    world.fault = (datagram) => (datagram.kind === lost && times++ === 0 ? [] : [{ datagram }]);
    ab.send('hello');
    world.run(4990);
    t.deepEqual(ba.received, []);
    world.run(500);
    t.deepEqual(ba.received, ['hello']);
    t.is(world.of('initiation').length, 2);
  });
}

test('duplicates of every message change nothing', (t) => {
  const { world, a, b, ab, ba } = two();
  world.fault = (datagram) => [{ datagram }, { datagram, delay: 1 }, { datagram, delay: 30 }];
  ab.send('hello');
  world.run(200);
  t.deepEqual(ba.received, ['hello']);
  t.deepEqual(a.drops, ['unknown-index', 'unknown-index']);
  t.deepEqual(b.drops, ['replayed', 'replayed', 'replayed', 'replayed']);
  t.is(world.of('response').length, 1, 'a replayed initiation is not answered');
});

test('a packet that a new handshake overtakes still arrives under the previous key', (t) => {
  const { world, ab, ba } = established();
  world.run(5000);
  world.fault = (datagram) => [{ datagram, delay: datagram.kind === 'data' ? 200 : 0 }];
  ab.send('slow');
  ab.peer.wantSession(world.now);
  world.run(100);
  t.is(world.of('response').length, 2);
  t.deepEqual(ba.received, []);
  world.run(200);
  t.deepEqual(ba.received, ['slow']);
});

test('truncated messages are dropped and the handshake goes on without them', (t) => {
  const { world, a, b, ab, ba } = two();
  world.fault = (datagram) => [
    { datagram: { ...datagram, bytes: datagram.bytes.slice(0, -1) } },
    { datagram: { ...datagram, bytes: datagram.bytes.slice(0, 3) } },
    { datagram, delay: 1 },
  ];
  ab.peer.wantSession(world.now);
  world.run(50);
  t.deepEqual(a.drops, ['malformed-datagram', 'malformed-datagram']);
  t.deepEqual(b.drops.slice(0, 2), ['malformed-datagram', 'malformed-datagram']);
  t.truthy(ba.current);
});

test('a response that comes after the next initiation is late: nothing changes, and the next one counts', (t) => {
  const { world, a, ab, ba } = two();
  let delay = 6000;
  world.fault = (datagram) => {
    if (datagram.kind !== 'response') return [{ datagram }];
    const delayed = { datagram, delay };
    delay = 1500;
    return [delayed];
  };
  ab.send('hello');
  world.run(6100);
  t.deepEqual(a.drops, ['unknown-index']);
  t.is(ab.current, null);
  world.run(1000);
  t.deepEqual(ba.received, ['hello']);
});

test('an orphan response, to a handshake that ended with its peer, is dropped', (t) => {
  const { world, a, ab } = two();
  world.fault = (datagram) => [{ datagram, delay: datagram.kind === 'response' ? 50 : 0 }];
  ab.peer.wantSession(world.now);
  world.run(10);
  ab.peer.stop();
  ab.peer.start(world.now);
  world.run(100);
  t.deepEqual(a.drops, ['unknown-index']);
  t.is(ab.current, null);
});

test('two ends that initiate at once both have a session at once, and settle', (t) => {
  const { world, a, b, ab, ba } = two();
  ab.send('from a');
  ba.send('from b');
  world.run(20);
  t.deepEqual(ab.received, ['from b']);
  t.deepEqual(ba.received, ['from a']);
  t.deepEqual([...a.drops, ...b.drops], []);
  ab.send('more from a');
  ba.send('more from b');
  world.run(60_000);
  t.deepEqual(ab.received, ['from b', 'more from b']);
  t.deepEqual(ba.received, ['from a', 'more from a']);
  t.is(world.of('initiation').length, 2, 'and no more handshakes follow');
  world.run(180_000);
  t.is(a.keypairs.size + b.keypairs.size, 0, 'neither session is left behind');
});

test('a response that a session of the other end overtook is late: that session stays', (t) => {
  const { world, a, ab, ba } = two();
  world.fault = (datagram) => [
    { datagram, delay: datagram.kind === 'response' && datagram.to === a.endpoint ? 100 : 0 },
  ];
  ab.peer.wantSession(world.now);
  world.run(30);
  ba.peer.stop();
  ba.peer.start(world.now);
  ba.peer.wantSession(world.now);
  world.run(30);
  const { current } = ab;
  t.truthy(current);
  t.is(current?.localIndex, ba.current?.remoteIndex);
  world.run(200);
  t.is(ab.current, current);
  t.deepEqual(a.drops, ['unknown-index']);
});

test('two ends that initiate at once, one response lost: the other session serves both', (t) => {
  const { world, ab, ba } = two();
  let responses = 0;
  world.fault = (datagram) => (datagram.kind === 'response' && responses++ === 0 ? [] : [{ datagram }]);
  ab.send('from a');
  ba.send('from b');
  world.run(50);
  t.deepEqual([...ab.received, ...ba.received].sort(), ['from a', 'from b']);
});

test('the responder takes the endpoint that an initiation came from, by address and by port', (t) => {
  const { world, a, ab, ba } = established();
  for (const moved of [endpointFrom('192.0.2.1', 40_000), endpointFrom('198.51.100.9', 40_000)]) {
    world.run(5000);
    a.endpoint = moved;
    ab.peer.wantSession(world.now);
    world.run(2);
    t.is(formatEndpoint(ba.endpoint!), formatEndpoint(moved));
  }
});

test('the initiator takes the endpoint that the response came from', (t) => {
  const { world, ab } = two();
  const elsewhere = endpointFrom('203.0.113.5', 7);
  world.fault = (datagram) => [
    { datagram: datagram.kind === 'response' ? { ...datagram, from: elsewhere } : datagram },
  ];
  ab.peer.wantSession(world.now);
  world.run(50);
  t.is(formatEndpoint(ab.endpoint!), formatEndpoint(elsewhere));
});

test('an initiation replayed after the peer was stopped and started is refused still', (t) => {
  const { world, a, b, ba } = established();
  ba.peer.stop();
  ba.peer.start(world.now);
  const { bytes } = world.of('initiation')[0];
  world.carry(a.endpoint, b.endpoint, bytes);
  world.run(50);
  t.deepEqual(b.drops, ['replayed']);
  t.is(world.of('response').length, 1);
});

test('a clock set back does not lock a peer out', (t) => {
  const { world, a, ab, ba } = established();
  a.clockOffset = -3_600_000;
  ab.peer.stop();
  ab.peer.start(world.now);
  ab.send('an hour ago');
  world.run(50);
  t.deepEqual(ba.received, ['an hour ago']);
});

test('initiations of one peer less than 20 ms apart are refused', (t) => {
  const { world, b, ab } = two();
  const initiate = () => {
    ab.peer.stop();
    ab.peer.start(world.now);
    ab.peer.wantSession(world.now);
  };
  initiate();
  world.run(20);
  initiate();
  world.run(21);
  initiate();
  world.run(10);
  t.deepEqual(b.drops, ['rate-limited']);
  t.is(world.of('response').length, 2);
});

test('a stopped device answers nothing and has no keys; started again it works', (t) => {
  const { world, a, b, ab, ba } = established();
  const keys = [...a.keypairs.values()].map(({ keypair }) => keypair);
  ab.peer.stop();
  t.is(a.keypairs.size, 0);
  const toOldIndex = new Uint8Array(64).fill(3, 0, 1);
  new DataView(toOldIndex.buffer).setUint32(4, keys[0].localIndex, true);
  t.is(DROP_REASONS[a.device.receive(toOldIndex, b.endpoint, world.now, 0)], 'unknown-index');
  for (const { sendKey, receiveKey } of keys) t.true([...sendKey, ...receiveKey].every((byte) => byte === 0));
  world.run(5000);
  ba.peer.wantSession(world.now);
  ab.peer.wantSession(world.now);
  world.run(50);
  t.deepEqual(a.drops, ['unknown-peer']);
  t.is(world.of('response').length, 1);
  ab.peer.start(world.now);
  ab.send('back');
  world.run(50);
  t.deepEqual(ba.received, ['back']);
  t.deepEqual(b.drops, []);
});

test('closing a device wipes every key and ends every peer', (t) => {
  const { a, ab } = established();
  a.device.close();
  t.is(a.device.peers.size, 0);
  t.is(a.keypairs.size, 0);
  t.true(a.gone.every(({ sendKey }) => sendKey.every((byte) => byte === 0)));
  t.is(ab.current, null);
});
