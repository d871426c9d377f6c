import test from 'ava';
import {
  CLASS_COUNTER,
  createClassCounters,
  Places,
  Shape,
  type ClassSpec,
  type ShapeSpec,
} from '../../src/policy/shaper.ts';

const PACKET = 1400;
const SUPER = 60_000;

function classOf(said: Partial<ClassSpec>): ClassSpec {
  return { name: 'rest', dscp: [], priority: 4, weight: 1, rate: 0, ...said };
}

/** A shape of `mbit` Mbit/s in virtual time, with places for so many packets. */
class World {
  now = 5000;
  /** Bytes that went on, by class. */
  readonly sent: number[];
  /** Packets that went on. */
  packets = 0;
  dropped = 0;
  readonly counters = createClassCounters();
  readonly shape: Shape;
  readonly #classOfPlace: number[] = [];
  readonly #free: number[];
  readonly #places: Places;

  constructor(mbit: number, classes: readonly ClassSpec[] = [classOf({})], burst = 65_536, places = 4096) {
    this.sent = classes.map(() => 0);
    this.#free = Array.from({ length: places }, (_, place) => place);
    this.#places = new Places(places);
    this.shape = new Shape({ rate: (mbit * 1e6) / 8, burst, classes }, this.#places, this.counters, this.now);
  }

  /** Offers a packet. */
  offer(number: number, bytes = PACKET): void {
    if (this.shape.admit(number, bytes, 1, this.now)) this.#sent(number, bytes);
    else if (!this.shape.hasRoom(number, bytes, 1) || this.#free.length === 0) this.dropped++;
    else {
      const place = this.#free.pop()!;
      this.#classOfPlace[place] = number;
      this.shape.enqueue(number, place, bytes, 1);
    }
  }

  /** What may go now goes. */
  release(): void {
    for (let place = this.shape.dequeue(this.now); place >= 0; place = this.shape.dequeue(this.now)) {
      this.#sent(this.#classOfPlace[place], this.#places.bytes[place]);
      this.#free.push(place);
    }
  }

  /** Lets `ms` go by; `every` ms the data plane looks. Before it does, `offer` is called. */
  run(ms: number, every: number, offer: () => void = () => undefined): void {
    for (const end = this.now + ms; this.now < end;) {
      offer();
      this.release();
      this.now += every;
    }
  }

  count(number: number, counter: keyof typeof CLASS_COUNTER): number {
    return this.counters[number * CLASS_COUNTER.words + CLASS_COUNTER[counter]];
  }

  #sent(number: number, bytes: number): void {
    this.sent[number] += bytes;
    this.packets++;
  }
}

for (const [mbit, every] of [
  [0.064, 5],
  [1, 1],
  [20, 0.7],
  [200, 0.3],
  [2000, 1],
  [20_000, 0.25],
] as const) {
  for (const size of [64, PACKET, SUPER]) {
    const burst = Math.max(65_536, (mbit * 1e6 * 0.02) / 8);
    test(`${mbit} Mbit/s of packets of ${size} bytes, looked at each ${every} ms, is what was asked for`, (t) => {
      // As from a TUN that is always full.
      const world = new World(mbit, [classOf({})], burst);
      const step = Math.ceil((mbit * 125 * every * 1.5) / size);
      const offer = () => {
        for (let packet = 0; packet < step && world.shape.waiting < 2000; packet++) world.offer(0, size);
      };
      const period = mbit < 1 ? 200_000 : mbit > 1000 ? 100 : 2000;
      world.run(period, every, offer);
      const first = world.sent[0];
      world.run(period, every, offer);
      const measured = world.sent[0] - first;
      const wanted = mbit * 125 * period;
      t.true(Math.abs(measured - wanted) <= Math.max(0.01 * wanted, 2 * size), `${measured} of ${wanted} bytes`);
    });
  }
}

test('in no period goes more than its rate, the burst and one packet of each priority', (t) => {
  const classes = [classOf({ name: 'high', dscp: [46], priority: 1 }), classOf({})];
  const world = new World(10, classes, 100_000);
  const log: [at: number, bytes: number][] = [];
  for (let step = 0; step < 4000; step++) {
    const before = world.sent[0] + world.sent[1];
    if (step % 700 < 400)
      for (let packet = 0; packet < 3; packet++) world.offer((step + packet) % 3 === 0 ? 0 : 1, SUPER);
    world.release();
    log.push([world.now, world.sent[0] + world.sent[1] - before]);
    world.now += 1;
  }
  for (let from = 0; from < log.length; from += 50) {
    let bytes = 0;
    for (let to = from; to < log.length; to++) {
      bytes += log[to][1];
      const elapsed = log[to][0] - log[from][0];
      t.true(bytes <= elapsed * 1250 + 2 * (100_000 + SUPER), `${bytes} bytes in ${elapsed} ms`);
    }
  }
});

test('after a pause a burst goes at once, and no more', (t) => {
  const world = new World(8, [classOf({})], 100_000);
  world.run(5000, 1000);
  for (let packet = 0; packet < 200; packet++) world.offer(0, 1000);
  t.is(world.sent[0], 100_000);
  t.is(world.shape.waiting, 100);
  t.is(world.count(0, 'queued'), 100_000);
  t.is(world.count(0, 'delayed'), 100);
  world.now += 10;
  world.release();
  t.is(world.sent[0], 110_000, '1,000 bytes a ms');
});

test('a super-packet larger than the burst passes, and is paid for', (t) => {
  const world = new World(8, [classOf({})], 1500);
  world.offer(0, SUPER);
  t.is(world.sent[0], SUPER);
  world.offer(0, SUPER);
  t.is(world.sent[0], SUPER);
  t.true(Math.abs(world.shape.delay(world.now) - (SUPER - 1500) / 1000) < 0.01);
  world.now += world.shape.delay(world.now);
  world.release();
  t.is(world.sent[0], 2 * SUPER);
});

test('what waits says when it may go: never early, and then at once', (t) => {
  const world = new World(1);
  for (let packet = 0; packet < 100; packet++) world.offer(0);
  let looks = 0;
  while (world.shape.waiting > 0) {
    const before = world.sent[0];
    world.now += world.shape.delay(world.now) - 0.1;
    world.release();
    t.is(world.sent[0], before);
    world.now += 0.1;
    world.release();
    t.is(world.sent[0], before + PACKET);
    looks++;
  }
  t.is(looks, 53);
  t.is(world.shape.delay(world.now), Infinity);
});

test('a priority is not kept waiting by what a lower one has sent or has waiting', (t) => {
  const world = new World(8, [classOf({ name: 'voice', dscp: [46], priority: 1 }), classOf({})]);
  const delays: number[] = [];
  for (let step = 0; step < 2000; step++) {
    for (let packet = 0; packet < 3; packet++) world.offer(1, SUPER);
    world.release();
    if (step % 20 === 7) {
      const before = world.sent[0];
      world.offer(0, 200);
      world.release();
      delays.push(world.sent[0] === before ? 1 : 0);
    }
    world.now += 1;
  }
  t.deepEqual(new Set(delays), new Set([0]), 'each goes in the moment in which it came');
  t.true(world.dropped > 0);
  t.is(world.count(0, 'drops'), 0);
  // 1,000 bytes each ms, of which 10 are the voice's.
  t.true(world.sent[0] + world.sent[1] <= 2000 * 1000 + 65_536 + SUPER);
  t.true(world.sent[1] >= 0.95 * 2000 * 990);
});

test('the highest priority may have everything, and no more than that', (t) => {
  const world = new World(8, [classOf({ name: 'voice', dscp: [46], priority: 1 }), classOf({})]);
  const both = () => {
    world.offer(0, PACKET);
    world.offer(1, PACKET);
  };
  world.run(1000, 1, both);
  const before = [...world.sent];
  world.run(2000, 1, both);
  t.true(Math.abs(world.sent[0] - before[0] - 2_000_000) < 0.01 * 2_000_000);
  t.is(world.sent[1], before[1]);
});

for (const sizes of [
  [PACKET, PACKET],
  [200, SUPER],
] as const) {
  test(`classes of one priority share by weight, whatever their packets: ${sizes.join(' and ')} bytes`, (t) => {
    const classes = [classOf({ name: 'gold', dscp: [10], weight: 3 }), classOf({})];
    const world = new World(80, classes, 65_536, 16_384);
    const both = () => {
      for (let number = 0; number < 2; number++) {
        for (let bytes = 0; bytes < 15_000 || bytes < sizes[number]; bytes += sizes[number]) {
          world.offer(number, sizes[number]);
        }
      }
    };
    world.run(500, 1, both);
    const before = [...world.sent];
    world.run(4000, 1, both);
    const [gold, rest] = world.sent.map((bytes, number) => bytes - before[number]);
    t.true(Math.abs(gold / rest - 3) < 0.1, `${gold} and ${rest} bytes`);
    t.true(Math.abs(gold + rest - 40_000_000) < 400_000);
  });
}

test('a class that was idle has no claim on what it did not use', (t) => {
  const world = new World(8, [classOf({ name: 'one', dscp: [10] }), classOf({})]);
  world.run(5000, 1, () => world.offer(1));
  const before = [...world.sent];
  world.run(1000, 1, () => {
    world.offer(0);
    world.offer(1);
  });
  const [one, rest] = world.sent.map((bytes, number) => bytes - before[number]);
  t.true(Math.abs(one / rest - 1) < 0.05, `${one} and ${rest} bytes`);
});

test('a class keeps to its own rate, and leaves the rest to others', (t) => {
  const classes = [classOf({ name: 'voice', dscp: [46], priority: 1, rate: 250_000 }), classOf({})];
  const world = new World(8, classes);
  const both = () => {
    world.offer(0, 1000);
    world.offer(1, 1000);
  };
  world.run(1000, 1, both);
  const before = [...world.sent];
  world.run(4000, 1, both);
  const [voice, rest] = world.sent.map((bytes, number) => bytes - before[number]);
  t.true(Math.abs(voice - 1_000_000) < 10_000, `${voice} bytes`);
  t.true(Math.abs(rest - 3_000_000) < 30_000, `${rest} bytes`);
});

test('packets of a class stay in order', (t) => {
  const places = new Places(64);
  const shape = new Shape({ rate: 1e6, burst: 1500, classes: [classOf({})] }, places, createClassCounters(), 0);
  t.true(shape.admit(0, 2000, 1, 0));
  const order = [5, 3, 60, 1, 2];
  for (const place of order) {
    t.false(shape.admit(0, PACKET, 1, 0));
    shape.enqueue(0, place, PACKET, 1);
  }
  const out: number[] = [];
  for (let now = 0; now < 20; now += 0.5) out.push(shape.dequeue(now));
  t.deepEqual(
    out.filter((place) => place >= 0),
    order,
  );
});

test('a class holds 100 ms of the rate and at least three super-packets; the rest is dropped and counted', (t) => {
  for (const [mbit, bytes] of [
    [1, 3 * 65_536],
    [80, 1_000_000],
    [8000, 4 << 20],
  ]) {
    const world = new World(mbit, [classOf({})], 1500);
    for (let packet = 0; packet < 4000; packet++) world.offer(0, 1500);
    const queued = world.count(0, 'queued');
    t.true(queued <= bytes && queued > bytes - 1500, `${queued} of ${bytes} bytes`);
    t.is(world.count(0, 'drops'), world.dropped);
    t.is(world.dropped + world.shape.waiting + world.count(0, 'packets'), 4000);
  }
});

test('a new specification keeps what waits, debts and counts; a class that is gone hands over to the rest', (t) => {
  const classes = [
    classOf({ name: 'voice', dscp: [46], priority: 1 }),
    classOf({ name: 'video', dscp: [34], priority: 2 }),
    classOf({}),
  ];
  const world = new World(8, classes, 2000);
  for (let packet = 0; packet < 30; packet++) world.offer(packet % 3, 1000);
  const { waiting } = world.shape;
  const counted = world.count(0, 'packets') + world.count(1, 'packets') + world.count(2, 'packets');
  t.is(waiting + counted, 30);
  const next: ShapeSpec = { rate: 2e6, burst: 2000, classes: [classOf({}), classes[0]] };
  world.shape.change(next, world.now);
  t.is(world.shape.waiting, waiting);
  t.is(world.shape.classOf(46), 1);
  t.is(world.shape.classOf(34), 0);
  t.is(world.count(0, 'queued') + world.count(1, 'queued'), waiting * 1000);
  const before = world.sent.reduce((sum, bytes) => sum + bytes);
  world.release();
  t.is(
    world.sent.reduce((sum, bytes) => sum + bytes),
    before,
    'there is still a debt',
  );
  world.now += 10;
  world.release();
  const after = world.sent.reduce((sum, bytes) => sum + bytes);
  t.true(after - before <= 4000, 'no burst came with the change');
  world.run(100, 1);
  t.is(world.shape.waiting, 0);
  t.is(world.packets, 30);
});
