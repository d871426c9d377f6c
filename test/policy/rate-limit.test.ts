import test from 'ava';
import { Departures, LIMITED, RateLimits } from '../../src/policy/rate-limit.ts';

const PACKET = 1400;
const SUPER = 60_000;
const PLACES = 4096;
/** Bytes per ms of a Mbit/s. */
const MBIT = 125;

/** Rules' limits in Mbit/s, [all, each flow], in virtual time. */
class World {
  now = 5000;
  dropped = 0;
  /** What left, in order. */
  readonly left: { readonly flow: number; readonly bytes: number; readonly number: number; readonly at: number }[] = [];
  readonly departures = new Departures(PLACES);
  readonly #limits: RateLimits;
  readonly #waiting = new Map<number, Omit<World['left'][number], 'at'>>();
  readonly #free = Array.from({ length: PLACES }, (_, place) => place);
  #leftUntil = 0;
  #number = 0;

  constructor(...rules: (readonly [rate: number, perFlow: number])[]) {
    this.#limits = new RateLimits(new Float64Array(rules.flat().map((mbit) => mbit * MBIT)), 64);
  }

  offer(rule: number, flow: number, bytes = PACKET, begins = false): void {
    const packet = { flow, bytes, number: this.#number++ };
    const clock = new Float64Array([this.now]);
    const left = this.departures.size === 0 ? clock : new Float64Array([this.#leftUntil]);
    const said = this.#limits.admit(rule, flow, begins, bytes, clock, left);
    if (said === LIMITED.go) this.left.push({ ...packet, at: this.now });
    else if (said === LIMITED.drop) this.dropped++;
    else {
      const place = this.#free.pop()!;
      this.#waiting.set(place, packet);
      this.departures.push(place, this.#limits.departure);
    }
  }

  run(ms: number, every: number, offer: () => void): void {
    for (const end = this.now + ms; this.now < end; this.now += every) {
      offer();
      for (let place = this.departures.pop(this.now); place >= 0; place = this.departures.pop(this.now)) {
        this.left.push({ ...this.#waiting.get(place)!, at: this.now });
        this.#waiting.delete(place);
        this.#free.push(place);
      }
      this.#leftUntil = this.now;
    }
  }

  /** Mbit/s that left since `from`, of one flow or all. */
  mbit(from: number, flow?: number): number {
    const counted = this.left.filter((packet) => packet.at >= from && (flow === undefined || packet.flow === flow));
    return counted.reduce((sum, { bytes }) => sum + bytes, 0) / (this.now - from) / MBIT;
  }
}

for (const [mbit, every] of [
  [0.064, 5],
  [1, 1],
  [20, 0.7],
  [200, 0.3],
  [2000, 0.25],
] as const) {
  for (const size of [64, PACKET, SUPER]) {
    for (const limit of ['rate', 'per_flow'] as const) {
      test(`${limit} ${mbit} Mbit/s, packets of ${size} bytes: over time as much passes`, (t) => {
        const world = new World(limit === 'rate' ? [mbit, 0] : [0, mbit]);
        const step = Math.ceil((mbit * MBIT * every * 1.2) / size);
        const offer = () => {
          for (let packet = 0; packet < step && world.departures.size < PLACES; packet++) world.offer(0, 1, size);
        };
        const period = mbit < 1 ? 100_000 : mbit > 100 ? 200 : 2000;
        world.run(period, every, offer);
        const from = world.now;
        world.run(period, every, offer);
        const wanted = mbit * MBIT * period;
        const measured = world.mbit(from) * MBIT * period;
        t.true(Math.abs(measured - wanted) <= Math.max(0.01 * wanted, 2 * size), `${measured} of ${wanted} bytes`);
      });
    }
  }
}

test('each flow has its rate, and a greedy one takes nothing from another', (t) => {
  const world = new World([0, 8]);
  world.run(2000, 0.5, () => {
    for (let packet = 0; packet < 8; packet++) world.offer(0, 1);
    world.offer(0, 2, 250);
  });
  t.true(Math.abs(world.mbit(5000, 1) - 8) < 0.4, `${world.mbit(5000, 1)} Mbit/s`);
  // 250 bytes each half ms are 4 Mbit/s: none of them waits or is dropped.
  t.is(world.left.filter(({ flow }) => flow === 2).length, 4000);
  t.true(world.dropped > 0);
});

test('flows of one rule together have no more than its rate, whatever each may have', (t) => {
  const world = new World([20, 8]);
  world.run(3000, 0.5, () => {
    for (let flow = 0; flow < 4; flow++) world.offer(0, flow);
  });
  t.true(Math.abs(world.mbit(6000) - 20) < 1, `${world.mbit(6000)} Mbit/s`);
  for (let flow = 0; flow < 4; flow++) t.true(world.mbit(6000, flow) <= 8.4);
});

test('one rule’s rate is not another’s, and what no rule let begin has none', (t) => {
  const world = new World([1, 0], [0, 0]);
  world.run(1000, 1, () => {
    for (const [rule, flow] of [
      [0, 0],
      [1, 1],
      [-1, 2],
    ]) {
      world.offer(rule, flow);
    }
  });
  t.true(world.mbit(5000, 0) < 1.4);
  t.is(world.left.filter(({ flow }) => flow !== 0).length, 2000);
});

test('what is in no flow shares the rate of one', (t) => {
  const world = new World([0, 8]);
  world.run(2000, 0.5, () => {
    for (let packet = 0; packet < 4; packet++) world.offer(0, -1);
  });
  t.true(Math.abs(world.mbit(5000) - 8) < 0.4);
});

test('a flow’s packets leave in order, however late the data plane looks', (t) => {
  const world = new World([20, 8]);
  let step = 0;
  world.run(1000, 3.3, () => {
    step++;
    for (let packet = 0; packet < 1 + (step % 5); packet++) world.offer(0, packet % 3, 200 + 97 * ((step * 7) % 13));
  });
  for (let flow = 0; flow < 3; flow++) {
    const numbers = world.left.filter((packet) => packet.flow === flow).map(({ number }) => number);
    t.true(numbers.length > 100);
    t.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
  }
});

test('a new flow owes nothing for the one that had its slot before', (t) => {
  const world = new World([0, 1]);
  for (let packet = 0; packet < 100; packet++) world.offer(0, 3);
  t.true(world.dropped > 0);
  const { length } = world.left;
  world.offer(0, 3, PACKET, true);
  world.run(1, 0.1, () => undefined);
  t.true(world.left.length > length);
});

test('what waits leaves by its time, and of one time in its order', (t) => {
  const departures = new Departures(512);
  const times = Array.from({ length: 500 }, (_, place) => (place * 7919) % 61);
  for (const [place, time] of times.entries()) departures.push(place, new Float64Array([time]));
  t.is(departures.delay(-2), 2);
  t.is(departures.pop(-1), -1);
  const order: number[] = [];
  for (let place = departures.pop(100); place >= 0; place = departures.pop(100)) order.push(place);
  const wanted = [...times.keys()].sort((a, b) => times[a] - times[b] || a - b);
  t.deepEqual(order, wanted);
  t.is(departures.delay(0), Infinity);
});
