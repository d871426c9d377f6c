import test from 'ava';
import { Busyness, callsForLull } from '../../src/dataplane/moderation.ts';

/** Notes `perMs` batches a millisecond from `from` to `to`; whether anything changed, and when. */
function carry(busyness: Busyness, from: number, to: number, perMs: number): number[] {
  const changes: number[] = [];
  for (let now = from; now < to; now++) {
    for (let batch = 0; batch < perMs; batch++) if (busyness.note(1, now)) changes.push(now);
    if (busyness.note(0, now)) changes.push(now);
  }
  return changes;
}

test('a thread is busy from a batch a millisecond on, and soon after no longer', (t) => {
  const busyness = new Busyness();
  t.deepEqual(carry(busyness, 0, 1000, 0), []);
  t.false(busyness.isBusy);
  const [begun, ...more] = carry(busyness, 1000, 2000, 2);
  t.true(busyness.isBusy);
  t.deepEqual(more, []);
  t.true(begun <= 1020);
  const [ended] = carry(busyness, 2000, 3000, 0);
  t.false(busyness.isBusy);
  t.true(ended <= 2020);
});

test('a ping every 5 ms is no bulk traffic, nor is a burst after a long sleep', (t) => {
  const busyness = new Busyness();
  for (let now = 0; now < 1000; now += 5) t.false(busyness.note(1, now));
  t.false(busyness.note(1, 60_000));
  t.false(busyness.note(1, 60_000));
  t.false(busyness.isBusy);
});

test('few and small packets call for a lull; one alone, many, or large ones do not', (t) => {
  t.true(callsForLull(2, 128));
  t.false(callsForLull(1, 64));
  t.false(callsForLull(64, 64 * 64));
  t.false(callsForLull(3, 3 * 1420));
});
