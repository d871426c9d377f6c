import test from 'ava';
import { isAfter, tai64n } from '../../src/noise/tai64n.ts';
import { hex } from './bytes.ts';

const NOON = 1_700_000_000_000;

test('a stamp counts seconds from 2^62 + 10, big-endian', (t) => {
  t.is(hex(tai64n(0, null)), '400000000000000a00000000');
  t.is(hex(tai64n(NOON, null)), '400000006553f10a00000000');
  t.is(hex(tai64n(NOON + 999.9, null)), '400000006553f10a3b000000');
});

test('stamps tell the time to 16.8 ms and no finer', (t) => {
  t.is(hex(tai64n(NOON + 16, null)), hex(tai64n(NOON, null)));
  t.true(isAfter(tai64n(NOON + 17, null), tai64n(NOON, null)));
});

test('with the clock stopped or set back, stamps still go forward', (t) => {
  let last = tai64n(NOON + 900, null);
  for (const clock of [NOON + 900, NOON, NOON - 86_400_000, NOON - 86_400_000, ...Array<number>(100).fill(0)]) {
    const stamp = tai64n(clock, last);
    t.true(isAfter(stamp, last));
    t.true(new DataView(stamp.buffer).getUint32(8) < 1_000_000_000);
    last = stamp;
  }
  t.true(isAfter(tai64n(NOON + 10_000, last), last), 'and the clock is followed again once it has caught up');
  t.is(hex(tai64n(NOON + 10_000, last)), hex(tai64n(NOON + 10_000, null)));
});
