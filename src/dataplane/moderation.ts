/**
 * How a thread paces itself.
 *
 * Small packets are read one by one at a cost that does not shrink with their size, so it pays to let some gather: after a
 * batch of few and small packets a thread sleeps for a moment rather than look again at once. One packet alone, an echo
 * or a request, is not kept waiting, and neither is bulk traffic.
 */

/** Microseconds: time for a sender at full speed to queue a few dozen packets. */
export const LULL = 60;

/** The shortest sleep before a packet that was held back may go, in µs: what may go at once by then goes together. */
export const SHORTEST_HOLD = 250;

/** A batch of this many is large enough as it is. */
const LARGE_BATCH = 64;
/** Bytes, on average, from which packets are not small. */
const LARGE_PACKET = 512;

/** Whether a batch of `packets`, `bytes` in all, calls for a moment's sleep. */
export function callsForLull(packets: number, bytes: number): boolean {
  return packets > 1 && packets < LARGE_BATCH && bytes < packets * LARGE_PACKET;
}

/** Over how long a thread's load is judged, in ms: short enough that a ping after bulk traffic is soon alone again. */
const WINDOW = 10;

/**
 * Whether a thread carries bulk traffic: a batch each millisecond or more. It is then scheduled such that packets gather
 * rather than wake it one by one.
 */
export class Busyness {
  isBusy = false;
  #since = 0;
  #batches = 0;

  /** Notes what was carried, `batches` of 0 or 1, at `now` (ms). True if `isBusy` has changed by it. */
  note(batches: number, now: number): boolean {
    this.#batches += batches;
    const elapsed = now - this.#since;
    if (elapsed < WINDOW) return false;
    const isBusy = this.#batches >= elapsed;
    this.#since = now;
    this.#batches = 0;
    if (isBusy === this.isBusy) return false;
    this.isBusy = isBusy;
    return true;
  }
}
