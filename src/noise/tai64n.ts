export const TIMESTAMP_SIZE = 12;

/** TAI64N's label of 1970-01-01, ten seconds of TAI included, as WireGuard has it: 2^62 + 10. */
const EPOCH = 0x400000000000000an;
/** Stamps are rounded down to 2^24 ns, about 16.8 ms, so that they tell little of the clock. */
const STEP = 0x1000000;
const SECOND = 1_000_000_000;

/**
 * A TAI64N timestamp: 8 bytes of seconds, 4 of nanoseconds, big-endian, so that later ones compare greater.
 * `wallClock`: ms since 1970. One that would not come after `last`, because the clock was set back or has not moved on by a
 * step, becomes the next step after it: a peer refuses any stamp not greater than the greatest that it has seen.
 */
export function tai64n(wallClock: number, last: Uint8Array | null): Uint8Array {
  const seconds = Math.floor(wallClock / 1000);
  const nanoseconds = Math.floor((wallClock - seconds * 1000) * 1e6);
  const stamp = encode(EPOCH + BigInt(seconds), nanoseconds - (nanoseconds % STEP));
  return last === null || isAfter(stamp, last) ? stamp : next(last);
}

/** What `tai64n` was given, to its precision: ms since 1970. */
export function wallClockOf(stamp: Uint8Array): number {
  const view = new DataView(stamp.buffer, stamp.byteOffset, TIMESTAMP_SIZE);
  return Number(view.getBigUint64(0) - EPOCH) * 1000 + view.getUint32(8) / 1e6;
}

/** Whether timestamp `a` is later than `b`. */
export function isAfter(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) > 0;
}

function next(stamp: Uint8Array): Uint8Array {
  const view = new DataView(stamp.buffer, stamp.byteOffset, TIMESTAMP_SIZE);
  const seconds = view.getBigUint64(0);
  const nanoseconds = view.getUint32(8) + STEP;
  return nanoseconds < SECOND ? encode(seconds, nanoseconds) : encode(seconds + 1n, 0);
}

function encode(seconds: bigint, nanoseconds: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(TIMESTAMP_SIZE));
  view.setBigUint64(0, seconds);
  view.setUint32(8, nanoseconds);
  return new Uint8Array(view.buffer);
}
