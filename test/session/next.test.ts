import test from 'ava';
import type { Credential } from '../../src/session/identities.ts';
import { peering, World } from './world.ts';

const CIPHERS: Credential['cipher'][] = ['aes-256-gcm', 'chacha20-poly1305'];
const next = (credentials: Credential[]): Credential[] => credentials.map((each) => ({ ...each, isNext: true }));

/** Two ends with a session under the first PSK, and what they hold in each step of a rotation. */
function rotating() {
  const world = new World();
  const [a, b] = [world.host('192.0.2.1'), world.host('192.0.2.2')];
  const [old, fresh] = [peering(1, CIPHERS), peering(2, CIPHERS)];
  const ends = [
    { link: a.connect(old.client, b), both: [...old.client, ...next(fresh.client)], after: fresh.client },
    { link: b.connect(old.server, a), both: [...old.server, ...next(fresh.server)], after: fresh.server },
  ];
  const [{ link: ab }, { link: ba }] = ends;
  ab.peer.wantSession(world.now);
  world.run(50);
  let sent = 0;
  /** Lets time go by with a packet each way every 50 ms. */
  const talk = (duration: number): void => {
    for (const end = world.now + duration; world.now < end; sent++) {
      for (const { link } of ends) link.send(String(sent));
      world.run(50);
    }
  };
  const lost = (): number => {
    world.run(1000);
    return 2 * sent - ab.received.length - ba.received.length;
  };
  const hold = (end: number, step: 'both' | 'after'): void => {
    const { link } = ends[end];
    link.peer.setCredentials(ends[end][step]);
    if (step === 'both') link.peer.renewSoon();
  };
  const underNext = () => ends.map(({ link }) => link.peer.credential?.isNext === true);
  return { world, a, b, ends, talk, lost, hold, underNext, fresh };
}

for (const first of [0, 1]) {
  for (const promoted of [0, 1]) {
    test(`next: ends moved at different times, ${first} first, then ${promoted} first: nothing is lost`, (t) => {
      const { ends, talk, lost, hold, underNext } = rotating();
      talk(1000);
      hold(first, 'both');
      talk(40_000);
      t.deepEqual(underNext(), [false, false], 'the other end does not have it');
      hold(1 - first, 'both');
      talk(10_000);
      t.deepEqual(underNext(), [true, true]);
      hold(promoted, 'after');
      talk(200_000);
      hold(1 - promoted, 'after');
      talk(200_000);
      t.is(lost(), 0);
      t.deepEqual(underNext(), [false, false]);
      t.deepEqual(
        ends.map(({ link }) => link.peer.credential?.cipher),
        ['aes-256-gcm', 'aes-256-gcm'],
      );
    });
  }
}

test('next: without a session the first PSK is tried first, and the next if it goes unanswered', (t) => {
  const { world, b, ends, hold } = rotating();
  hold(0, 'both');
  hold(1, 'after');
  const [{ link }] = ends;
  link.peer.stop();
  link.peer.start(world.now);
  link.send('anew');
  world.run(20_000);
  t.deepEqual(ends[1].link.received, ['anew']);
  t.true(b.drops.every((drop) => drop === 'bad-mac1'));
  t.true(link.peer.credential?.isNext);
});

test('next: once a session under it has worked, what begins anew does so under it', (t) => {
  const { world, ends, talk, hold, underNext } = rotating();
  hold(0, 'both');
  hold(1, 'both');
  talk(10_000);
  t.deepEqual(underNext(), [true, true]);
  const [{ link }] = ends;
  link.peer.stop();
  link.peer.start(world.now);
  hold(1, 'after');
  link.send('anew');
  world.run(50);
  t.is(ends[1].link.received.at(-1), 'anew');
});

test('next: a message that was lost as it was tried puts the move off to the next renewal', (t) => {
  const { world, talk, hold, underNext, lost } = rotating();
  hold(0, 'both');
  talk(40_000);
  world.fault = (datagram) => (datagram.kind === 'initiation' ? [] : [{ datagram }]);
  hold(1, 'both');
  talk(9000);
  world.fault = (datagram) => [{ datagram }];
  talk(150_000);
  t.deepEqual(underNext(), [true, true]);
  t.is(lost(), 0);
});
