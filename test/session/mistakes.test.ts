import test from 'ava';
import { credentialsOf } from '../../src/gateway/credentials.ts';
import { derivePeering, publicKey } from '../../src/noise/psk.ts';
import type { CipherChoice, PeeringConfig, Role } from '../../src/gateway/config.ts';
import { World } from './world.ts';

const PSK = new Uint8Array(32).fill(7);
const OTHER_PSK = new Uint8Array(32).fill(8);

function peering(role: Role, cipher: CipherChoice, psk = PSK): PeeringConfig {
  return {
    ...{ name: 'peer', endpoint: undefined, subnets: [], addresses: [], keepaliveMs: 0, acl: -1, bundle: -1 },
    ...{ routeTable: 'local', propagateTo: [], learn: undefined, groups: [], networkAcl: undefined },
    shape: { out: undefined, in: undefined },
    keys: { kind: 'psk', role, cipher, psk },
  };
}

/** What B says of the first two calls of A. */
function called(a: PeeringConfig, b: PeeringConfig) {
  const world = new World();
  const [hostA, hostB] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const ab = hostA.connect(credentialsOf(a), hostB);
  const ba = hostB.connect(credentialsOf(b), null);
  ab.peer.wantSession(world.now);
  world.run(8000);
  return { drops: hostB.drops, knowsWhose: hostB.blamed.every((peer) => peer === ba.peer), ab, ba };
}

for (const [what, a, b, reason, knowsWhose] of [
  ['the same role', ['server', 'auto'], ['server', 'auto'], 'same-role', true],
  ['the same role, client', ['client', 'auto'], ['client', 'auto'], 'same-role', true],
  ['the same role under fixed ciphers', ['server', 'aes-256-gcm'], ['server', 'aes-256-gcm'], 'same-role', true],
  ['ciphers that differ', ['client', 'aes-256-gcm'], ['server', 'chacha20-poly1305'], 'other-cipher', true],
  ['ciphers that differ, reversed', ['client', 'chacha20-poly1305'], ['server', 'aes-256-gcm'], 'other-cipher', true],
  ['PSKs that differ', ['client', 'auto', OTHER_PSK], ['server', 'auto'], 'bad-mac1', false],
] as const) {
  test(`a responder tells ${what}, in every call`, (t) => {
    const result = called(peering(...(a as [Role, CipherChoice])), peering(...(b as [Role, CipherChoice])));
    t.deepEqual(result.drops, [reason, reason]);
    t.is(result.knowsWhose, knowsWhose);
    t.is(result.ab.peer.unanswered, 2);
    t.false(result.ab.peer.hasSession);
  });
}

test('with cipher auto on the calling side a fixed one costs one call', (t) => {
  const { drops, ab, ba } = called(peering('client', 'auto'), peering('server', 'chacha20-poly1305'));
  t.true(drops.every((reason) => reason === 'other-cipher') && drops.length <= 1);
  t.is(ab.peer.credential?.cipher, 'chacha20-poly1305');
  t.deepEqual([ab.peer.unanswered, ba.peer.unconfirmed, ab.peer.hasSession], [0, 0, true]);
});

test('what a peering may be taken for goes with its keys', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const ab = a.connect(credentialsOf(peering('server', 'auto')), b);
  const ba = b.connect(credentialsOf(peering('server', 'auto')), null);
  const call = (): void => {
    ab.peer.wantSession(world.now);
    world.run(50);
    ab.peer.stop();
    ab.peer.start(world.now);
  };
  call();
  ba.peer.setCredentials(credentialsOf(peering('server', 'auto', OTHER_PSK)));
  call();
  ba.peer.setCredentials(credentialsOf(peering('server', 'auto')));
  call();
  b.device.removePeer(ba.peer);
  call();
  t.deepEqual(b.drops, ['same-role', 'bad-mac1', 'same-role', 'bad-mac1']);
});

test('looking for mistakes spends the budget for strangers', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  for (let number = 0; number < 200; number++) {
    const key = (byte: number) => new Uint8Array(32).fill(byte).fill(number, 8);
    const remotePublic = publicKey(key(1));
    const lookalikes = [2, 3, 4].map((byte) => ({ publicKey: publicKey(key(byte)), reason: 'same-role' as const }));
    const rest = { cipher: 'chacha20-poly1305', presharedKey: key(5) } as const;
    b.connect([{ ...rest, localPrivate: key(6), remotePublic, lookalikes }], null);
  }
  const junk = Uint8Array.from({ length: 148 }, (_, at) => (at === 0 ? 1 : 0));
  for (let number = 0; number < 200; number++) world.carry(a.endpoint, b.endpoint, junk);
  world.run(2);
  // 100,000 tries at once, and each message takes 200 + 600.
  t.is(b.drops.filter((reason) => reason === 'bad-mac1').length, 125);
  t.is(b.drops.filter((reason) => reason === 'mac1-limited').length, 75);
});

test('each end learns how far the clock of the other is off', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const { client, server } = { client: peering('client', 'auto'), server: peering('server', 'auto') };
  const ab = a.connect(credentialsOf(client), b);
  const ba = b.connect(credentialsOf(server), a);
  a.clockOffset = -90_000;
  t.is(ba.peer.clockSkew(world.now), null);
  ab.peer.wantSession(world.now);
  world.run(50);
  t.true(Math.abs(ba.peer.clockSkew(world.now)! + 90_000) < 20, String(ba.peer.clockSkew(world.now)));
  t.is(ab.peer.clockSkew(world.now), null);
  world.run(6000);
  ba.peer.wantSession(world.now);
  world.run(50);
  t.true(Math.abs(ab.peer.clockSkew(world.now)! - 90_000) < 20, String(ab.peer.clockSkew(world.now)));
  world.run(900_000);
  t.is(ab.peer.clockSkew(world.now), null, 'who has not called for 15 minutes may have set it right');
});

test('an initiator whose clock was set back while it was down is known by its old timestamps', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const credentials = credentialsOf(peering('client', 'auto'));
  const first = a.connect(credentials, b);
  const ba = b.connect(credentialsOf(peering('server', 'auto')), null);
  first.peer.wantSession(world.now);
  world.run(50);
  a.device.removePeer(first.peer);
  a.clockOffset = -3_600_000;
  world.run(6000);
  a.connect(credentials, b).peer.wantSession(world.now);
  world.run(50);
  t.deepEqual(b.drops, ['replayed']);
  t.deepEqual(b.blamed, [ba.peer]);
});

test('answers that are lost on the way back are counted where they were given', (t) => {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const ab = a.connect(credentialsOf(peering('client', 'chacha20-poly1305')), b);
  const ba = b.connect(credentialsOf(peering('server', 'chacha20-poly1305')), a);
  world.fault = (datagram) => (datagram.kind === 'response' ? [] : [{ datagram }]);
  ab.peer.wantSession(world.now);
  world.run(12_000);
  t.deepEqual([ab.peer.unanswered, ba.peer.unconfirmed], [3, 3]);
  world.fault = (datagram) => [{ datagram }];
  world.run(6000);
  t.deepEqual([ab.peer.unanswered, ba.peer.unconfirmed, ba.peer.hasSession], [0, 0, true]);
});

test('a PSK gives each cipher and role a public key of its own', (t) => {
  const ciphers = ['aes-256-gcm', 'chacha20-poly1305'] as const;
  const names = ciphers.flatMap((cipher) => {
    const { server, client } = derivePeering(PSK, cipher);
    return [server, client].map((key) => Buffer.from(publicKey(key)).toString('hex'));
  });
  t.is(new Set(names).size, 4);
});
