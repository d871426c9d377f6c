/**
 * Where packets wait that are held back for a rate: in the part of the slab that no read or receive writes, so that they
 * are sealed or written right from there. Places are of two sizes, for packets and for super-packets, and all of them are
 * there from the start: what finds none is dropped.
 */
import { Places } from '../policy/shaper.ts';
import { ROW } from '../nic/layout.ts';
import type { Queue } from '../nic/index.ts';

/** What is kept free before and behind a packet: vector instructions read beyond its end. */
const MARGIN = 64;
const SMALL = 2048;
const LARGE = 65_536 + 4 * MARGIN;
/** How many packets of at most `SMALL - 2 * MARGIN` bytes; super-packets have the rest. */
const SMALL_PLACES = 4096;

export class HeldRows {
  readonly places: Places;
  readonly count: number;
  readonly #queue: Queue;
  /** The row of what waits in a place; its `ROW.peer` is the slot. */
  readonly #descriptors: Int32Array;
  /** Free places, linked by `Places.next`. */
  #freeSmall = -1;
  #freeLarge = -1;
  #freeSmallCount = 0;
  #freeLargeCount = 0;
  readonly #largePlaces: number;

  constructor(queue: Queue) {
    this.#queue = queue;
    const large = Math.floor((queue.slab.length - queue.reserve - SMALL_PLACES * SMALL) / LARGE);
    this.#largePlaces = large;
    this.count = SMALL_PLACES + large;
    this.places = new Places(this.count);
    this.#descriptors = new Int32Array(this.count * ROW.words);
    for (let place = this.count - 1; place >= 0; place--) this.free(place);
  }

  /**
   * Copies the packet of the row at word `row`, and the row, to a free place, which it returns; -1 if there is none. `slot`:
   * the peer; `needy`: it may have one of the last quarter of the places.
   */
  store(row: number, slot: number, needy: boolean): number {
    const { slab, rows } = this.#queue;
    const offset = rows[row + ROW.offset];
    const length = rows[row + ROW.length];
    const place = this.#take(length, needy);
    if (place < 0) return -1;
    const to = this.#offsetOf(place);
    slab.copyWithin(to, offset, offset + length);
    const descriptor = place * ROW.words;
    for (let word = 0; word < ROW.words; word++) this.#descriptors[descriptor + word] = rows[row + word];
    this.#descriptors[descriptor + ROW.offset] = to;
    this.#descriptors[descriptor + ROW.key] = 0;
    this.#descriptors[descriptor + ROW.peer] = slot;
    return place;
  }

  /** Puts the row of a place at word `row`. The place is to be freed when the row's packet has gone. */
  load(place: number, row: number): void {
    const { rows } = this.#queue;
    const descriptor = place * ROW.words;
    for (let word = 0; word < ROW.words; word++) rows[row + word] = this.#descriptors[descriptor + word];
  }

  /** The peer that the packet in a place goes to or comes from. */
  slotOf(place: number): number {
    return this.#descriptors[place * ROW.words + ROW.peer];
  }

  /** Leaves what waits in a place without a peer: it belongs nowhere. */
  orphan(place: number): void {
    this.#descriptors[place * ROW.words + ROW.peer] = -1;
  }

  free(place: number): void {
    if (place < SMALL_PLACES) {
      this.places.next[place] = this.#freeSmall;
      this.#freeSmall = place;
      this.#freeSmallCount++;
    } else {
      this.places.next[place] = this.#freeLarge;
      this.#freeLarge = place;
      this.#freeLargeCount++;
    }
  }

  /** A free place for `length` bytes, -1 if there is none; `needy`: the last of them too. */
  #take(length: number, needy: boolean): number {
    const { next } = this.places;
    if (length <= SMALL - 2 * MARGIN && this.#freeSmallCount > (needy ? 0 : SMALL_PLACES / 4)) {
      const place = this.#freeSmall;
      this.#freeSmall = next[place];
      this.#freeSmallCount--;
      return place;
    }
    if (this.#freeLargeCount <= (needy ? 0 : this.#largePlaces / 4)) return -1;
    const place = this.#freeLarge;
    this.#freeLarge = next[place];
    this.#freeLargeCount--;
    return place;
  }

  #offsetOf(place: number): number {
    const { reserve } = this.#queue;
    if (place < SMALL_PLACES) return reserve + place * SMALL + MARGIN;
    return reserve + SMALL_PLACES * SMALL + (place - SMALL_PLACES) * LARGE + MARGIN;
  }
}
