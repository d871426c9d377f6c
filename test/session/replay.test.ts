import test from 'ava';
import fc from 'fast-check';
import { ReplayWindow } from '../../src/session/replay.ts';

const WINDOW = 8192n;
const REJECT = 2n ** 64n - 2n ** 13n - 1n;

/** RFC 6479's rule, slow and obvious. */
class Reference {
  readonly #seen = new Set<bigint>();
  #greatest = -1n;

  accept(counter: bigint): boolean {
    if (counter >= REJECT || counter + WINDOW <= this.#greatest || this.#seen.has(counter)) return false;
    this.#seen.add(counter);
    if (counter > this.#greatest) this.#greatest = counter;
    return true;
  }
}

const accept = (window: ReplayWindow, counter: bigint) =>
  window.accept(Number(BigInt.asIntN(32, counter)), Number(BigInt.asIntN(32, counter >> 32n)));

test('a counter is accepted once, and in any order within 8,192 of the greatest', (t) => {
  const window = new ReplayWindow();
  for (const counter of [0n, 1n, 9n, 8n, 7n, 6n, 5n, 3n, 4n, 2n]) {
    t.true(accept(window, counter), `${counter}`);
    t.false(accept(window, counter), `${counter} again`);
  }
  t.true(accept(window, 20_000n));
  t.true(accept(window, 20_000n - 8191n), 'the oldest in the window');
  t.false(accept(window, 20_000n - 8192n), 'one older');
  t.false(accept(window, 9n));
});

test('the window agrees with a slow and obvious one, wherever the counters stand and however they jump', (t) => {
  const base = fc.constantFrom(0n, 2n ** 31n, 2n ** 32n, 2n ** 33n - 5n, 2n ** 60n, 2n ** 63n, REJECT - 30_000n);
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.bigInt(-64n, 64n) },
    { weight: 3, arbitrary: fc.bigInt(-9000n, 9000n) },
    { weight: 2, arbitrary: fc.bigInt(-40_000n, 40_000n) },
    { weight: 1, arbitrary: fc.constantFrom(8191n, 8192n, 8193n, -8191n, -8192n, -8193n, 16_383n, 16_384n, 16_385n) },
    { weight: 1, arbitrary: fc.bigInt(-(2n ** 34n), 2n ** 34n) },
  );
  fc.assert(
    fc.property(base, fc.array(step, { minLength: 1, maxLength: 400 }), (start, steps) => {
      const [window, reference] = [new ReplayWindow(), new Reference()];
      let at = start;
      for (const move of steps) {
        at += move;
        if (at < 0n) at = 0n;
        if (at >= 2n ** 64n) at = 2n ** 64n - 1n;
        if (accept(window, at) !== reference.accept(at)) return false;
      }
      return true;
    }),
    { seed: 1, numRuns: 1000 },
  );
  t.pass();
});

test('counters from 2^64 - 2^13 - 1 on are refused, and move nothing', (t) => {
  const window = new ReplayWindow();
  for (const counter of [REJECT, REJECT + 1n, 2n ** 64n - 1n]) t.false(accept(window, counter));
  t.true(accept(window, 0n), 'the window has not moved');
  t.true(accept(window, REJECT - 1n), 'the last counter there is');
  t.false(accept(window, REJECT));
  t.false(accept(window, REJECT - 1n));
  t.true(accept(window, REJECT - 2n));
});

test('counter words may be given as unsigned numbers', (t) => {
  const window = new ReplayWindow();
  t.false(window.accept(0xffffffff, 0xffffffff));
  t.true(window.accept(0x80000000, 0xfffffffe));
  t.false(window.accept(-0x80000000, -2));
});

test('after a reset every counter is new', (t) => {
  const window = new ReplayWindow();
  for (const counter of [5n, 2n ** 40n]) accept(window, counter);
  window.reset();
  t.true(accept(window, 5n));
  t.true(accept(window, 0n));
});
