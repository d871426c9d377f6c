import test from 'ava';
import fc from 'fast-check';
import { DROP_REASONS } from '../../src/wire/drop.ts';
import type { Datagram } from './underlay.ts';
import { established, two, type Host } from './world.ts';

/** A host that is about to receive an intact `kind`, which is kept from it; and that message. */
function awaiting(kind: string): { receiver: Host; datagram: Datagram; now: number } {
  const { world, a, b, ab } = two();
  if (kind === 'cookie') b.queued = 128;
  world.fault = (datagram) => (datagram.kind === kind ? [] : [{ datagram }]);
  ab.peer.wantSession(world.now);
  world.run(50);
  return { receiver: kind === 'initiation' ? b : a, datagram: world.of(kind)[0], now: world.now };
}

const MAC2 = 16;

for (const kind of ['initiation', 'response', 'cookie']) {
  test(`a changed byte anywhere in a message of kind ${kind} is a drop with a reason, and nothing more`, (t) => {
    const { receiver, datagram, now } = awaiting(kind);
    const { length } = datagram.bytes;
    const covered = kind === 'cookie' ? length : length - MAC2;
    for (let at = 0; at < covered; at++) {
      for (const flip of [1, 0x80, 0xff]) {
        const changed = Uint8Array.from(datagram.bytes);
        changed[at] ^= flip;
        const drop = receiver.device.receive(changed, datagram.from, now, 0);
        t.true(drop > 0 && drop < DROP_REASONS.length, `byte ${at}`);
      }
    }
    t.is(receiver.keypairs.size, 0);
    t.is(receiver.device.receive(datagram.bytes, datagram.from, now, 0), 0, 'and the intact one is still accepted');
  });

  test(`any other length of a message of kind ${kind} is malformed`, (t) => {
    const { receiver, datagram, now } = awaiting(kind);
    for (let length = 0; length < 200; length++) {
      if (length === datagram.bytes.length) continue;
      const message = new Uint8Array(length);
      message.set(datagram.bytes.subarray(0, length));
      t.is(DROP_REASONS[receiver.device.receive(message, datagram.from, now, 0)], 'malformed-datagram');
    }
  });
}

test('whatever arrives is dropped with a reason, and is answered by nothing', (t) => {
  const { world, a, b } = established();
  const before = world.log.length;
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .tuple(fc.constantFrom([1, 148], [2, 92], [3, 64], [4, 32]), fc.uint8Array({ minLength: 200, maxLength: 200 }))
      .map(([[type, length], bytes]) => Uint8Array.of(type, 0, 0, 0, ...bytes).subarray(0, length)),
  );
  fc.assert(
    fc.property(message, fc.nat(200), (bytes, queued) => {
      const drop = b.device.receive(bytes, a.endpoint, world.now, queued);
      return drop > 0 && drop < DROP_REASONS.length;
    }),
    { seed: 1, numRuns: 2000 },
  );
  t.is(world.log.length, before);
  t.is(b.keypairs.size, 1);
});

test('a network that loses, repeats, cuts and reorders everything does not keep two peers apart', (t) => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(99)), (dice) => {
      const roll = () => dice.next().value as number;
      const { world, a, b, ab, ba } = two();
      world.fault = (datagram) => {
        const luck = roll();
        if (luck < 30) return [];
        if (luck < 40) return [{ datagram: { ...datagram, bytes: datagram.bytes.slice(0, roll()) } }];
        if (luck < 60)
          return [
            { datagram, delay: roll() * 20 },
            { datagram, delay: roll() * 5 },
          ];
        return [{ datagram, delay: roll() }];
      };
      for (let second = 0; second < 120; second++) {
        ab.send(`a ${second}`);
        ba.send(`b ${second}`);
        world.run(1000);
      }
      world.fault = (datagram) => [{ datagram }];
      world.run(20_000);
      ab.send('last of a');
      ba.send('last of b');
      world.run(20_000);
      const unique = new Set(ba.received).size === ba.received.length;
      const bounded = a.keypairs.size <= 3 && b.keypairs.size <= 3;
      return unique && bounded && ba.received.at(-1) === 'last of a' && ab.received.at(-1) === 'last of b';
    }),
    { seed: 1, numRuns: 25 },
  );
  t.pass();
});
