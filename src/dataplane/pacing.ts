/** What one direction holds back for the rates of rules and flows. It goes on to what shapes the peering. */
import type { AclProgram } from '../policy/acl.ts';
import type { Policy } from '../policy/policy.ts';
import { Departures, LIMITED, RateLimits } from '../policy/rate-limit.ts';
import { DROP } from '../wire/drop.ts';
import { ROW } from '../nic/layout.ts';
import type { Queue } from '../nic/index.ts';
import { countDrop } from './counters.ts';
import type { Counters } from './counters.ts';
import type { HeldRows } from './held-rows.ts';

export class Pacing {
  /** After `limit` has let pass: the packet is early, and the caller's to `hold`. */
  isEarly = false;
  readonly #queue: Queue;
  readonly #counters: Counters;
  readonly #held: HeldRows;
  readonly #departures: Departures;
  #limits: RateLimits | undefined;
  /** [0]: all that may leave until then has left. */
  readonly #left = new Float64Array(1);
  readonly #released: Int32Array;
  #releasedCount = 0;
  /** By place: the rule that let the flow of what waits begin. */
  readonly #rules: Int32Array;

  /** Drops are counted in `counters`. */
  constructor(queue: Queue, counters: Counters, held: HeldRows) {
    this.#queue = queue;
    this.#counters = counters;
    this.#held = held;
    this.#departures = new Departures(held.count);
    this.#rules = new Int32Array(held.count);
    this.#released = new Int32Array(queue.rows.length / ROW.words);
  }

  /** Packets that wait. */
  get waiting(): number {
    return this.#departures.size;
  }

  /** From now on the rates of this program hold; what waits leaves when it was to. `flowSlots`: of the flow table. */
  use({ limits }: AclProgram, flowSlots: number): void {
    const next = new RateLimits(limits, flowSlots);
    this.#limits = next.isUsed ? next : undefined;
    this.isEarly = false;
  }

  /** Whether a packet of `bytes` that `policy` has let pass may go on, now or later (`isEarly`): a `DROP` number. */
  limit(policy: Policy | undefined, bytes: number): number {
    const limits = this.#limits;
    if (limits === undefined || policy === undefined) return DROP.none;
    const { clock } = this.#queue;
    const left = this.#departures.size === 0 ? clock : this.#left;
    // A rule is asked about a flow's first packet only.
    const said = limits.admit(policy.begunBy, policy.flow, policy.rule >= 0, bytes, clock, left);
    this.isEarly = said === LIMITED.wait;
    return said === LIMITED.drop ? DROP['rate-exceeded'] : DROP.none;
  }

  /** Lets the packet of the row at word `row` wait, or drops it if there is no place. */
  hold(slot: number, row: number, packets: number, rule: number): void {
    const place = this.#held.store(row, slot, false);
    if (place < 0) return countDrop(this.#counters, slot, DROP['rate-exceeded'], packets);
    this.#rules[place] = rule;
    this.#departures.push(place, this.#limits!.departure);
  }

  /** The peer is gone, and so is what waits for it: its place is freed when its time comes. */
  forget(slot: number): void {
    for (let number = 0; number < this.#departures.size; number++) {
      const place = this.#departures.at(number);
      if (this.#held.slotOf(place) === slot) this.#held.orphan(place);
    }
  }

  /** Puts what may leave now into the rows, as `Shaping.release` does; `done` once it has gone or waits elsewhere. */
  release(): number {
    const now = this.#queue.clock[0];
    let count = 0;
    while (count < this.#released.length) {
      const place = this.#departures.pop(now);
      if (place < 0) {
        this.#left[0] = now;
        break;
      }
      if (this.#held.slotOf(place) < 0) {
        this.#held.free(place);
        continue;
      }
      this.#held.load(place, count * ROW.words);
      this.#released[count++] = place;
    }
    this.#releasedCount = count;
    return count;
  }

  /** The rule of what was released to row `number`. */
  ruleOf(number: number): number {
    return this.#rules[this.#released[number]];
  }

  done(): void {
    for (let number = 0; number < this.#releasedCount; number++) this.#held.free(this.#released[number]);
    this.#releasedCount = 0;
  }

  /** ms until something that waits may leave; Infinity if nothing waits. */
  delay(): number {
    return this.#departures.delay(this.#queue.clock[0]);
  }
}
