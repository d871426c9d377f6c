/**
 * Small packets are read one by one at a cost that does not shrink with their size, so it pays to let some gather: after a
 * batch of few and small packets a thread sleeps for a moment rather than look again at once. One packet alone, an echo
 * or a request, is not kept waiting, and neither is bulk traffic.
 */

/** Microseconds: time for a sender at full speed to queue a few dozen packets. */
export const LULL = 60;

/** A batch of this many is large enough as it is. */
const LARGE_BATCH = 64;
/** Bytes, on average, from which packets are not small. */
const LARGE_PACKET = 512;

/** Whether a batch of `packets`, `bytes` in all, calls for a moment's sleep. */
export function callsForLull(packets: number, bytes: number): boolean {
  return packets > 1 && packets < LARGE_BATCH && bytes < packets * LARGE_PACKET;
}
