import test from 'ava';
import { DOWN_AFTER_SILENCE, Liveness, UP_AFTER_MAX, type PathState } from '../../src/session/liveness.ts';

const TICK = 100;
const PROBED = { probe: 1000, downAfter: 2500, upAfter: 5000 };

/** A path in virtual time, whose probes are answered `rtt` ms later while `answers` says so. */
class World {
  now = 0;
  readonly path = new Liveness(PROBED);
  readonly sent: number[] = [];
  readonly changes: [at: number, state: PathState][] = [];
  answers: (sequence: number) => boolean = () => true;
  rtt = 20;
  readonly #coming: { sequence: number; at: number; rtt: number }[] = [];

  run(until: number): void {
    for (; this.now <= until; this.now += TICK) {
      for (const answer of this.#coming.splice(0)) {
        if (answer.at <= this.now) this.path.answered(answer.sequence, answer.rtt, answer.at);
        else this.#coming.push(answer);
      }
      if (this.path.advance(this.now)) this.changes.push([this.now, this.path.state]);
      const sequence = this.path.due(this.now);
      if (sequence < 0) continue;
      this.sent.push(this.now);
      if (this.answers(sequence)) this.#coming.push({ sequence, at: this.now + this.rtt, rtt: this.rtt });
    }
  }
}

test('a path is up with its first answer, and asked once a second', (t) => {
  const world = new World();
  t.is(world.path.state, 'unknown');
  world.run(20_000);
  t.deepEqual(world.changes, [[100, 'up']]);
  t.is(world.sent.length, 21);
  t.is(world.path.rtt, 20);
  t.is(world.path.jitter, 0);
  t.is(world.path.loss, 0);
});

test('a path that nobody answered is not known, and not up', (t) => {
  const world = new World();
  world.answers = () => false;
  world.run(30_000);
  t.is(world.path.state, 'unknown');
  t.is(world.path.loss, 1);
});

test('whenever a path is cut, it is down within 3 s', (t) => {
  for (let phase = 0; phase < 1000; phase += TICK) {
    const world = new World();
    const cutAt = 10_000 + phase;
    world.answers = () => world.now < cutAt;
    world.run(20_000);
    const [, [fellAt, state]] = world.changes;
    t.is(state, 'down');
    t.true(fellAt - cutAt <= 3000, `cut at ${cutAt}, down at ${fellAt}`);
    const asked = world.sent.filter((at) => at >= cutAt && at <= fellAt).length;
    t.true(asked >= 3, `down after ${asked} probes without an answer`);
  }
});

test('a path on which data goes out and nothing comes back is down within 1.4 s, before a TCP sender tries for the fourth time', (t) => {
  for (let phase = 0; phase < 1000; phase += TICK) {
    const path = new Liveness(PROBED);
    const cutAt = 10_000 + phase;
    let fellAt = -1;
    const coming: { sequence: number; at: number }[] = [];
    for (let now = 0; now <= 20_000; now += TICK) {
      for (const { sequence, at } of coming.splice(0)) path.answered(sequence, TICK, at);
      path.heed(now, now, Math.min(now, cutAt));
      if (path.advance(now) && path.state === 'down') fellAt = now;
      const sequence = path.due(now);
      if (sequence >= 0 && now < cutAt) coming.push({ sequence, at: now + TICK });
    }
    t.is(path.state, 'down');
    t.true(fellAt > cutAt && fellAt - cutAt <= 1400, `cut at ${cutAt}, down at ${fellAt}`);
  }
});

test('data that nobody answers, as a stream in one direction, is no fault of a path that answers probes', (t) => {
  const path = new Liveness(PROBED);
  let receivedAt = 0;
  let asked = 0;
  for (let now = 0; now <= 60_000; now += TICK) {
    path.heed(now, now, receivedAt);
    path.advance(now);
    const sequence = path.due(now);
    if (sequence < 0) continue;
    asked++;
    if (asked % 50 === 0) continue;
    path.answered(sequence, 5, now + 5);
    receivedAt = now + 5;
  }
  t.is(path.state, 'up');
  t.true(asked < 60 * 4, `asked ${asked} times in a minute`);
});

test('a single lost probe, and two, do not bring a path down', (t) => {
  for (const lost of [1, 2]) {
    const world = new World();
    world.answers = (sequence) => sequence % 20 >= lost;
    world.run(120_000);
    t.is(world.path.state, 'up');
    t.is(world.changes.length, 1);
    t.true(Math.abs(world.path.loss - lost / 20) < 0.02, `loss ${world.path.loss}`);
  }
});

test('a path comes back after it has answered for 5 s, and after twice as long with each further fall', (t) => {
  const world = new World();
  let up = true;
  world.answers = () => up;
  world.run(10_000);
  const holds: number[] = [];
  for (let fall = 0; fall < 6; fall++) {
    up = false;
    world.run(world.now + 10_000);
    t.is(world.path.state, 'down');
    up = true;
    const before = world.changes.length;
    world.run(world.now + 80_000);
    const [[dampedAt], [upAt]] = world.changes.slice(before);
    t.deepEqual(
      world.changes.slice(before).map(([, state]) => state),
      ['damped', 'up'],
    );
    holds.push(Math.round((upAt - dampedAt) / 1000));
  }
  t.deepEqual(holds, [5, 10, 20, 40, UP_AFTER_MAX / 1000, UP_AFTER_MAX / 1000]);
});

test('a path that falls silent while it is damped waits anew, and a long good time forgives its falls', (t) => {
  const world = new World();
  let up = true;
  world.answers = () => up;
  world.run(10_000);
  for (const state of [false, true, false, true]) {
    up = state;
    world.run(world.now + 3500);
  }
  world.run(world.now + 10_000);
  t.deepEqual(
    world.changes.map(([, state]) => state),
    ['up', 'down', 'damped', 'down', 'damped', 'up'],
  );
  world.run(world.now + 700_000);
  const before = world.changes.length;
  up = false;
  world.run(world.now + 5000);
  up = true;
  world.run(world.now + 10_000);
  const [, [dampedAt], [upAt]] = world.changes.slice(before);
  t.true(upAt - dampedAt <= 5100, 'as after a first fall');
});

test('a time in which nobody could ask is not held against the path', (t) => {
  const world = new World();
  world.run(10_000);
  world.now += 20_000;
  world.run(world.now + 10_000);
  t.deepEqual(world.changes, [[100, 'up']]);
  t.is(world.path.loss, 0);
});

test('round trips are averaged, and jitter is how they differ', (t) => {
  const path = new Liveness(PROBED);
  for (let round = 0; round < 200; round++) {
    path.answered(path.due(round * 1000), round % 2 === 0 ? 10 : 30, round * 1000 + 30);
  }
  t.true(Math.abs(path.rtt! - 20) < 3, `${path.rtt}`);
  t.true(Math.abs(path.jitter - 20) < 1, `${path.jitter}`);
});

test('a path that cannot be asked is down when what is sent stays without any answer', (t) => {
  const path = new Liveness({ probe: 0, downAfter: DOWN_AFTER_SILENCE, upAfter: 5000 });
  const states: PathState[] = [];
  let sentAt = 0;
  let receivedAt = 0;
  const run = (from: number, to: number): void => {
    for (let now = from; now < to; now += TICK) {
      t.is(path.due(now), -1);
      path.watch(now, sentAt, receivedAt);
      if (path.advance(now)) states.push(path.state);
    }
  };
  run(0, 5000);
  t.deepEqual(states, []);
  receivedAt = 4900;
  run(5000, 100_000);
  t.deepEqual(states, ['up'], 'nothing is owed on a path at rest');
  sentAt = 100_000;
  run(100_000, 114_000);
  t.deepEqual(states, ['up']);
  run(114_000, 200_000);
  t.deepEqual(states, ['up', 'down']);
  receivedAt = 200_000;
  run(200_000, 210_000);
  t.deepEqual(states, ['up', 'down', 'damped', 'up']);
});
