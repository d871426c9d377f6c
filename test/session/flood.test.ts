import test from 'ava';
import { keyPair } from '../../src/noise/x25519.ts';
import { MAC1_BURST, MAC1_PER_SECOND } from '../../src/session/constants.ts';
import type { Credential } from '../../src/session/identities.ts';
import { endpointFrom } from '../../src/wire/endpoint.ts';
import { established, seeded, World, type Host } from './world.ts';

const SEED = 20261121;
const IDENTITIES = 1000;

/** Gives the host as many more identities, each of one peer, none of which ever speaks. */
function crowd(host: Host, count: number): void {
  const random = seeded(SEED);
  const remotePublic = keyPair(random(32)).publicKey;
  for (let number = 0; number < count; number++) {
    const credential: Credential = {
      cipher: 'chacha20-poly1305',
      localPrivate: random(32),
      remotePublic,
      presharedKey: new Uint8Array(32),
    };
    host.connect([credential], null);
  }
}

/** Initiations of the right form with nothing right in them, from a source each. Returns why they were dropped. */
function flood(world: World, target: Host, count: number, from = 0): Record<string, number> {
  const random = seeded(SEED + 1 + from);
  const before = target.drops.length;
  for (let number = 0; number < count; number++) {
    const junk = new Uint8Array(148);
    junk[0] = 1;
    junk.set(random(32), 116);
    const source = from + number;
    world.carry(endpointFrom(`198.51.${source >>> 8}.${source & 255}`, 1000), target.endpoint, junk);
  }
  world.run(2);
  const reasons: Record<string, number> = {};
  for (const reason of target.drops.slice(before)) reasons[reason] = (reasons[reason] ?? 0) + 1;
  return reasons;
}

test('junk initiations against 1,000 identities cost bounded work, at once and per second', (t) => {
  const { world, b } = established();
  crowd(b, IDENTITIES - 1);
  const burst = MAC1_BURST / IDENTITIES;
  t.deepEqual(flood(world, b, burst + 100), { 'bad-mac1': burst, 'mac1-limited': 100 });
  world.run(1000 - 2);
  const perSecond = MAC1_PER_SECOND / IDENTITIES;
  t.deepEqual(flood(world, b, 200, 1000), { 'bad-mac1': perSecond, 'mac1-limited': 200 - perSecond });
});

test('under a flood of junk a peer is answered from where it was last seen, from another port too', (t) => {
  const { world, a, b, ab, ba } = established();
  crowd(b, IDENTITIES - 1);
  flood(world, b, 150);
  for (const port of [51820, 40000]) {
    a.endpoint = endpointFrom('192.0.2.1', port);
    world.run(5100);
    ab.peer.stop();
    ab.peer.start(world.now);
    flood(world, b, 300, port);
    ab.send(`from ${port}`);
    world.run(50);
    t.is(ba.received.at(-1), `from ${port}`);
  }
  t.true(b.drops.includes('mac1-limited'));
});

test('under a flood of junk a peer is answered where its owner expects it, before it was ever seen', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const { client, server } = keys();
  crowd(b, IDENTITIES - 1);
  const ba = b.connect([server], null);
  ba.peer.expectAt(a.endpoint);
  const ab = a.connect([client], b);
  flood(world, b, 150);
  ab.send('first');
  world.run(50);
  t.deepEqual(ba.received, ['first']);
});

test('under a flood of junk a peer from nowhere known is found by chance at first, and by its cookie after', (t) => {
  const { world, a, b, ab } = established();
  crowd(b, IDENTITIES - 1);
  a.endpoint = endpointFrom('203.0.113.1', 51820);
  b.queued = 128;
  const initiate = (): string => {
    ab.peer.stop();
    ab.peer.start(world.now);
    const since = world.log.length;
    ab.peer.wantSession(world.now);
    world.run(50);
    return world.kinds(since).slice(1, 2).join();
  };
  t.is(initiate(), 'cookie', 'while the budget lasts it is searched for, and under load told to show a cookie');
  flood(world, b, 150);
  const drops = b.drops.length;
  t.is(initiate(), 'response');
  a.endpoint = endpointFrom('203.0.113.2', 51820);
  flood(world, b, 150, 1000);
  t.is(initiate(), '', 'the cookie is of another address');
  t.is(b.drops.at(-1), 'mac1-limited');
  t.true(drops < b.drops.length);
});

test('a source is told apart by at most eight identities, the latest', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const links = Array.from({ length: 10 }, (_, number) => {
    const { client, server } = keys(number);
    const ba = b.connect([server], null);
    ba.peer.expectAt(a.endpoint);
    return { ab: a.connect([client], b), ba };
  });
  crowd(b, IDENTITIES);
  flood(world, b, 150);
  for (const { ab } of links) ab.send('here');
  world.run(50);
  t.deepEqual(
    links.map(({ ba }) => ba.received.length),
    [0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
  );
});

function keys(number = 0): { client: Credential; server: Credential } {
  const random = seeded(SEED - 1 - number);
  const [ours, theirs] = [random(32), random(32)];
  const credential = (localPrivate: Uint8Array, remotePrivate: Uint8Array): Credential => ({
    cipher: 'chacha20-poly1305',
    localPrivate,
    remotePublic: keyPair(remotePrivate).publicKey,
    presharedKey: new Uint8Array(32).fill(number),
  });
  return { client: credential(ours, theirs), server: credential(theirs, ours) };
}
