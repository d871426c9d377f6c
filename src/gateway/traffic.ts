/** What a tunnel carried and what it dropped: the threads' counters, and what the main thread counts of handshakes. */
import { COUNTER, rowOf } from '../dataplane/counters.ts';
import type { Counters } from '../dataplane/counters.ts';
import { DROP_REASONS } from '../wire/drop.ts';

/** What went by of a peer, or dropped, since it was added. */
export interface Traffic {
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly drops: Readonly<Record<string, number>>;
}

export class TrafficCounts {
  readonly #outbound: Counters;
  readonly #inbound: Counters;
  /** Of the peers there are, by slot. */
  readonly #handshakeBytes = new Map<number, { rx: number; tx: number }>();
  /** The main thread's own drops: what is wrong with handshake messages. */
  readonly #handshakeDrops = new Float64Array(DROP_REASONS.length);
  /** What was dropped of peers that are gone. */
  readonly #formerDrops = new Float64Array(DROP_REASONS.length);

  constructor(outbound: Counters, inbound: Counters) {
    this.#outbound = outbound;
    this.#inbound = inbound;
  }

  add(slot: number): void {
    this.#handshakeBytes.set(slot, { rx: 0, tx: 0 });
  }

  /** To be called while the slot's counters still are the peer's. */
  remove(slot: number): void {
    this.#handshakeBytes.delete(slot);
    for (const counts of this.#dropsIn(slot)) counts.forEach((count, reason) => (this.#formerDrops[reason] += count));
  }

  handshakeReceived(slot: number, bytes: number): void {
    this.#handshakeBytes.get(slot)!.rx += bytes;
  }

  handshakeSent(slot: number, bytes: number): void {
    this.#handshakeBytes.get(slot)!.tx += bytes;
  }

  /** Counts a handshake message that was dropped for `reason` (a `DROP` number). */
  handshakeDropped(reason: number): void {
    this.#handshakeDrops[reason]++;
  }

  of(slot: number): Traffic {
    const handshakes = this.#handshakeBytes.get(slot) ?? { rx: 0, tx: 0 };
    const row = rowOf(slot);
    const [outbound, inbound] = [this.#outbound, this.#inbound];
    return {
      rxBytes: inbound[row + COUNTER.bytes] + handshakes.rx,
      txBytes: outbound[row + COUNTER.bytes] + handshakes.tx,
      rxPackets: inbound[row + COUNTER.packets],
      txPackets: outbound[row + COUNTER.packets],
      drops: dropsOf(...this.#dropsIn(slot)),
    };
  }

  /** What was dropped and is no peer's, by reason. */
  drops(): Record<string, number> {
    return dropsOf(...this.#dropsIn(-1), this.#handshakeDrops);
  }

  /** Everything that was dropped since the start, by each reason there is, also of peers that are gone. */
  allDrops(): Record<string, number> {
    const ofPeers = Array.from(this.#handshakeBytes.keys(), (slot) => this.#dropsIn(slot)).flat();
    const some = dropsOf(...this.#dropsIn(-1), ...ofPeers, this.#handshakeDrops, this.#formerDrops);
    return Object.fromEntries(DROP_REASONS.slice(1).map((reason) => [reason, some[reason] ?? 0]));
  }

  /** A slot's counters of drops, of either thread. */
  #dropsIn(slot: number): Float64Array[] {
    const row = rowOf(slot);
    return [this.#outbound, this.#inbound].map((each) => each.subarray(row + COUNTER.drops, row + COUNTER.words));
  }
}

function dropsOf(...counts: Float64Array[]): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const [number, reason] of DROP_REASONS.entries()) {
    const sum = counts.reduce((total, count) => total + count[number], 0);
    if (sum > 0) drops[reason] = sum;
  }
  return drops;
}
