/**
 * What the data plane counts, in shared memory: one array per direction, so that each number has one writer. Row 0 is for
 * what belongs to no peer, and for the thread's batches; row `slot + 1` is a peer's. Float64 holds whole numbers up to 2^53 and needs no carry.
 */
import type { Activity } from '../session/peer.ts';
import { DROP_REASONS } from '../wire/drop.ts';

/** Peers a device may have, as in wireguard-go. Rows that were never touched take no memory. */
export const MAX_PEERS = 1 << 16;

export const COUNTER = {
  /** When the last transport message with a payload, and with or without one, went by: boot-clock ms, 0 never. */
  dataAt: 0,
  anyAt: 1,
  /** Bytes on the underlay, handshakes not included. */
  bytes: 2,
  /** Packets of the overlay. In row 0: what the thread's batches held, be it packets, super-packets or receive buffers. */
  packets: 3,
  /** In row 0 only: batches with anything in them. */
  batches: 4,
  drops: 5,
  words: 5 + DROP_REASONS.length,
} as const;

export type Counters = Float64Array<SharedArrayBuffer>;

export function createCounters(): Counters {
  return new Float64Array(new SharedArrayBuffer((MAX_PEERS + 1) * COUNTER.words * Float64Array.BYTES_PER_ELEMENT));
}

/** Where a peer's row begins; slot -1 is nobody's. */
export function rowOf(slot: number): number {
  return (slot + 1) * COUNTER.words;
}

/** Counts `count` packets dropped for `reason` (a `DROP` number). */
export function countDrop(counters: Counters, slot: number, reason: number, count: number): void {
  counters[rowOf(slot) + COUNTER.drops + reason] += count;
}

/** A peer's activity as the data plane writes it. */
export function sharedActivity(outbound: Counters, inbound: Counters, slot: number): Activity {
  const row = rowOf(slot);
  return {
    get dataSentAt() {
      return outbound[row + COUNTER.dataAt];
    },
    get sentAt() {
      return outbound[row + COUNTER.anyAt];
    },
    get dataReceivedAt() {
      return inbound[row + COUNTER.dataAt];
    },
    get receivedAt() {
      return inbound[row + COUNTER.anyAt];
    },
  };
}
