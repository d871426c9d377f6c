/** What one direction holds back for the rates of its peerings, in classes. */
import { Shape } from '../policy/shaper.ts';
import type { ShapeSpec } from '../policy/shaper.ts';
import { DROP } from '../wire/drop.ts';
import { ROW } from '../nic/layout.ts';
import type { Queue } from '../nic/index.ts';
import { countDrop } from './counters.ts';
import type { Counters } from './counters.ts';
import type { HeldRows } from './held-rows.ts';

/** When three places of four are taken, a class that holds this many packets gets no more: the rest is for others. */
const FAIR_SHARE = 16;

/** For a peering whose shape is taken away: what still waits goes on in order, at once. */
const UNLIMITED: ShapeSpec = {
  rate: 1e15,
  burst: 1e12,
  classes: [{ name: '', dscp: [], priority: 1, weight: 1, rate: 0 }],
};

export class Shaping {
  /** Whether any peering has a shape. */
  isUsed = false;
  /** Packets that wait. */
  waiting = 0;
  readonly #queue: Queue;
  readonly #counters: Counters;
  /** By peer slot. */
  readonly #shapes: (Shape | undefined)[] = [];
  /** Slots that have a shape. */
  #slots: readonly number[] = [];
  /** Where in `#slots` the next release begins. */
  #first = 0;
  readonly #leaving = new Set<number>();
  readonly #held: HeldRows;
  #ruleNames: readonly string[] = [];
  /** The places of what was last released. */
  readonly #released: Int32Array;
  #releasedCount = 0;

  /** Drops are counted in `counters`. */
  constructor(queue: Queue, counters: Counters, held: HeldRows) {
    this.#queue = queue;
    this.#counters = counters;
    this.#held = held;
    this.#released = new Int32Array(queue.rows.length / ROW.words);
  }

  /** Says what rules are called, by their ids: classes name some. */
  useRules(names: readonly string[]): void {
    this.#ruleNames = names;
    for (const slot of this.#slots) this.#shapes[slot]!.useRules(names);
  }

  /** Sets, changes or, by `undefined`, takes away the shape of a peer. Its counters are those of the first order. */
  set(slot: number, spec: ShapeSpec | undefined, counters: Float64Array): void {
    const now = this.#queue.clock[0];
    const shape = this.#shapes[slot];
    this.#leaving.delete(slot);
    if (spec !== undefined && shape === undefined) {
      while (this.#shapes.length <= slot) this.#shapes.push(undefined);
      this.#shapes[slot] = new Shape(spec, this.#held.places, counters, now, this.#ruleNames);
    } else if (spec !== undefined) {
      shape?.change(spec, now);
    } else if (shape !== undefined && shape.waiting > 0) {
      shape.change(UNLIMITED, now);
      this.#leaving.add(slot);
    } else {
      this.#shapes[slot] = undefined;
    }
    this.#list();
  }

  /** The peer is gone, and what waits for it too. */
  forget(slot: number): void {
    const shape = this.#shapes[slot];
    if (shape === undefined) return;
    for (let place = shape.evict(); place >= 0; place = shape.evict()) {
      this.#held.free(place);
      this.waiting--;
    }
    this.#shapes[slot] = undefined;
    this.#leaving.delete(slot);
    this.#list();
  }

  /**
   * Whether a packet may go at once. `offset`: of its IP header; `rule` let its flow begin; `bytes` on the overlay, `packets` on the wire. If not,
   * it is the caller's to `hold`, with all of its rows.
   */
  admit(slot: number, offset: number, bytes: number, packets: number, rule: number): boolean {
    const shape = this.#shapes[slot];
    if (shape === undefined) return true;
    const { slab, clock } = this.#queue;
    return shape.admit(shape.classOf(dscpOf(slab, offset), rule), bytes, packets, clock[0]);
  }

  /** Lets the packet of the row at word `row` wait, or drops it if there is no room. */
  hold(slot: number, row: number, bytes: number, packets: number, rule: number): void {
    const shape = this.#shapes[slot]!;
    const { slab, rows } = this.#queue;
    const number = shape.classOf(dscpOf(slab, rows[row + ROW.offset]), rule);
    if (!shape.hasRoom(number, bytes, packets))
      return countDrop(this.#counters, slot, DROP['shaper-queue-full'], packets);
    const place = this.#held.store(row, slot, shape.held(number) < FAIR_SHARE);
    if (place < 0) {
      shape.countDrop(number, packets);
      return countDrop(this.#counters, slot, DROP['shaper-queue-full'], packets);
    }
    this.waiting++;
    shape.enqueue(number, place, bytes, packets);
  }

  /**
   * Puts packets that may go now into the rows from the first on, their slot in `ROW.peer`. Returns how many, at most as
   * many as there are rows; `done` once they have gone.
   */
  release(): number {
    const { clock } = this.#queue;
    let count = 0;
    for (let turn = 0; turn < this.#slots.length && count < this.#released.length; turn++) {
      const slot = this.#slots[(this.#first + turn) % this.#slots.length];
      const shape = this.#shapes[slot]!;
      while (count < this.#released.length) {
        const place = shape.dequeue(clock[0]);
        if (place < 0) break;
        this.#held.load(place, count * ROW.words);
        this.#released[count++] = place;
      }
    }
    this.#first = (this.#first + 1) % this.#slots.length;
    this.waiting -= count;
    this.#releasedCount = count;
    return count;
  }

  /** What was released has been sealed or written. */
  done(): void {
    for (let number = 0; number < this.#releasedCount; number++) this.#held.free(this.#released[number]);
    this.#releasedCount = 0;
    if (this.#leaving.size > 0) this.#leave();
  }

  /** ms until something that waits may go; Infinity if nothing waits. */
  delay(): number {
    if (this.waiting === 0) return Infinity;
    let least = Infinity;
    for (let number = 0; number < this.#slots.length; number++) {
      const delay = this.#shapes[this.#slots[number]]!.delay(this.#queue.clock[0]);
      if (delay < least) least = delay;
    }
    return least;
  }

  #leave(): void {
    for (const slot of this.#leaving) {
      if (this.#shapes[slot]!.waiting > 0) continue;
      this.#leaving.delete(slot);
      this.#shapes[slot] = undefined;
    }
    this.#list();
  }

  #list(): void {
    this.#slots = [...this.#shapes.keys()].filter((slot) => this.#shapes[slot] !== undefined);
    this.#first = 0;
    this.isUsed = this.#slots.length > 0;
  }
}

/** The Differentiated Services code point of the IP packet at `offset` (RFC 2474 §3). */
function dscpOf(slab: Uint8Array, offset: number): number {
  const first = slab[offset];
  const second = slab[offset + 1];
  return first >>> 4 === 4 ? second >>> 2 : ((first & 15) << 2) | (second >>> 6);
}
