import test from 'ava';
import { established, peering, two, World } from './world.ts';

const AUTO = ['aes-256-gcm', 'chacha20-poly1305'] as const;

test('the first credential is tried first, and the responder follows', (t) => {
  for (const ciphers of [[...AUTO], [...AUTO].reverse()]) {
    const world = new World();
    const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
    const ab = a.connect(peering(7, ciphers).client, b);
    const ba = b.connect(peering(7, [...AUTO]).server, a);
    ab.send('hello');
    world.run(50);
    t.deepEqual(ba.received, ['hello']);
    t.is(ab.peer.credential?.cipher, ciphers[0]);
    t.is(ba.peer.credential?.cipher, ciphers[0]);
  }
});

test('each retry moves on to the next credential, and the one that worked is tried first from then on', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const ab = a.connect(peering(7, [...AUTO]).client, b);
  const ba = b.connect(peering(7, ['chacha20-poly1305']).server, a);
  t.is(ab.peer.credential, null);
  for (let second = 0; second < 7; second++) {
    ab.send(`${second}`);
    world.run(1000);
  }
  t.is(ba.received.length, 7);
  t.deepEqual(b.drops, ['bad-mac1']);
  t.is(ab.current?.cipher, 'chacha20-poly1305');
  world.run(6000);
  ab.peer.wantSession(world.now);
  world.run(50);
  t.deepEqual(b.drops, ['bad-mac1']);
  t.is(world.of('response').length, 2);
});

test('a new attempt begins with the first credential again, whichever the last one ended with', (t) => {
  const { world, b, ab } = two({ ciphers: [...AUTO], seed: 2 });
  world.fault = () => [];
  ab.peer.wantSession(world.now);
  world.run(120_000);
  t.is(world.of('initiation').length % 2, 0, 'it ended with the second');
  world.fault = (datagram) => [{ datagram }];
  ab.peer.wantSession(world.now);
  world.run(50);
  t.is(ab.current?.cipher, AUTO[0]);
  t.deepEqual(b.drops, []);
});

test('a session that began under the second choice is renewed under the first', (t) => {
  const { world, ab, ba } = two({ ciphers: [...AUTO], seed: 2 });
  world.fault = () => [];
  ab.send('waits');
  world.run(1000);
  world.fault = (datagram) => [{ datagram }];
  world.run(6000);
  t.is(ab.current?.cipher, AUTO[1], 'the first initiation was lost');
  for (let second = 0; second < 130; second++) {
    ab.send('data');
    world.run(1000);
  }
  t.is(ab.current?.cipher, AUTO[0]);
  t.is(ba.received.length, 131);
});

test('a peer that leaves the first choice unanswered is renewed under the second without delay, but for once', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const ab = a.connect(peering(7, [...AUTO]).client, b);
  const ba = b.connect(peering(7, ['chacha20-poly1305']).server, a);
  for (let second = 0; second < 400; second++) {
    ab.send(`${second}`);
    world.run(1000);
  }
  t.is(ba.received.length, 400);
  t.is(world.of('response').length, 4, 'every 120 s');
  t.is(b.drops.length, 2, 'the first choice was tried at the start and at the first renewal');
});

test('an attempt begins with the cipher that the caller remembers', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const ab = a.connect(peering(7, [...AUTO]).client, b, 0, 'chacha20-poly1305');
  b.connect(peering(7, ['chacha20-poly1305']).server, a);
  ab.send('hello');
  world.run(50);
  t.is(ab.current?.cipher, 'chacha20-poly1305');
  t.deepEqual(b.drops, []);
});

test('a responder that was called under its second choice calls back under that', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const ab = a.connect(peering(7, ['chacha20-poly1305']).client, b);
  const ba = b.connect(peering(7, [...AUTO]).server, a);
  ab.peer.wantSession(world.now);
  world.run(6000);
  ba.peer.wantSession(world.now);
  world.run(50);
  t.is(world.of('response').length, 2);
  t.deepEqual(a.drops, []);
});

test('a changed pre-shared key is in the next handshake, and the session goes on meanwhile', (t) => {
  const { world, ab, ba, keys } = established();
  const changed = (list: typeof keys.client) =>
    list.map((credential) => ({ ...credential, presharedKey: new Uint8Array(32).fill(200) }));
  ab.peer.setCredentials(changed(keys.client));
  ab.send('still here');
  world.run(6000);
  t.deepEqual(ba.received, ['still here']);
  ab.peer.wantSession(world.now);
  world.run(50);
  t.is(world.kinds().at(-1), 'response', 'the two keys differ: the response is refused');
  const before = ab.current;
  ba.peer.setCredentials(changed(keys.server));
  world.run(6000);
  t.not(ab.current, before);
  t.is(ab.current?.localIndex, ba.current?.remoteIndex);
});

test('a session goes with the credential that it came from', (t) => {
  const { world, a, ab, keys } = established({ ciphers: [...AUTO] });
  ab.peer.setCredentials([keys.client[1]]);
  t.is(a.keypairs.size, 0);
  t.is(ab.current, null);
  t.is(ab.peer.credential, null);
  world.run(6000);
  ab.send('under the other');
  world.run(50);
  t.is(ab.current!.cipher, 'chacha20-poly1305');
  const { current } = ab;
  ab.peer.setCredentials([...keys.client].reverse());
  t.is(ab.current, current, 'and stays with it');
});

test('a new PSK beside the old one moves a peering over without a packet lost', (t) => {
  const { world, ab, ba, keys } = established();
  const next = peering(9);
  ba.peer.setCredentials([...keys.server, ...next.server]);
  ab.peer.setCredentials([...next.client, ...keys.client]);
  let sent = 0;
  const talk = (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      ab.send(`${sent++}`);
      world.run(1000);
    }
  };
  talk(10);
  t.is(ab.peer.credential, keys.client[0]);
  ab.peer.setCredentials(next.client);
  talk(10);
  t.is(ab.peer.credential, next.client[0]);
  ba.peer.setCredentials(next.server);
  talk(10);
  t.is(ba.received.length, sent);
});

test('an initiation that is out when its credential goes is forgotten', (t) => {
  const { world, a, ab, ba, keys } = two();
  ab.peer.wantSession(world.now);
  ab.peer.setCredentials(peering(9).client);
  world.run(50);
  t.deepEqual(a.drops, ['unknown-index']);
  ab.peer.setCredentials(keys.client);
  world.run(6000);
  t.truthy(ba.current);
});

test('many peers may share one identity, as in plain WireGuard, but not one public key', (t) => {
  const world = new World();
  const [hub, one, two] = [world.host('192.0.2.1'), world.host('192.0.2.2'), world.host('192.0.2.3')];
  const [first, second] = [peering(1), peering(2)];
  const localPrivate = first.server[0].localPrivate;
  const known = (name: typeof first) => [{ ...name.server[0], localPrivate }];
  const toOne = hub.connect(known(first), one);
  const toTwo = hub.connect(known(second), two);
  const remotePublic = first.client[0].remotePublic;
  const oneToHub = one.connect([{ ...first.client[0], remotePublic }], hub);
  const twoToHub = two.connect([{ ...second.client[0], remotePublic }], hub);
  oneToHub.send('one');
  twoToHub.send('two');
  world.run(50);
  t.deepEqual([toOne.received, toTwo.received], [['one'], ['two']]);

  t.throws(() => hub.connect(known(second), two), { message: /another peer/ });
  t.throws(() => toOne.peer.setCredentials([...known(peering(3)), ...known(second)]), { message: /another peer/ });
  t.deepEqual(toOne.peer.credentials, known(first), 'and nothing is changed');
  t.is(hub.device.peers.size, 2);
  hub.connect(known(peering(3)), null);
});

test('an identity is there as long as one peer has it', (t) => {
  const { world, b, ab, ba, keys } = two();
  const other = b.connect([{ ...peering(9).server[0], localPrivate: keys.server[0].localPrivate }], null);
  b.device.removePeer(ba.peer);
  ab.peer.wantSession(world.now);
  world.run(50);
  t.deepEqual(b.drops, ['unknown-peer']);
  b.device.removePeer(other.peer);
  world.run(6000);
  t.deepEqual(b.drops, ['unknown-peer', 'bad-mac1']);
});

test('a credential that can never succeed is left out, and a peer without any is quiet', (t) => {
  const { world, a, keys } = two();
  const link = a.connect([{ ...keys.client[0], remotePublic: new Uint8Array(32) }], null, 25_000);
  link.send('nowhere');
  world.run(100_000);
  t.deepEqual(link.peer.credentials, []);
  t.deepEqual(world.log, []);
});
