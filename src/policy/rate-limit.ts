/**
 * The rates of rules, and of the flows that rules let begin: a packet is told when it may leave, and what has waited leaves
 * in the order of those times. Per rate one time is kept, the generic cell rate algorithm's theoretical arrival time (ITU-T
 * I.371): by then all that was let go is paid for.
 *
 * Times are ms of any clock, rates bytes per ms. Nothing is allocated after set-up.
 */

/** Words of a rule in `AclProgram.limits`: bytes per ms for all that it lets begin, and for each flow; 0: no limit. */
export const LIMIT = { rate: 0, perFlow: 1, words: 2 } as const;

/** What may go at once after a pause: so many ms of the rate, and at least so many bytes. */
const BURST_MS = 20;
const BURST_LEAST = 16_384;
/** What may wait: more is dropped. A super-packet always may. */
const WAIT_MS = 100;
const WAIT_LEAST = 65_536;

export const LIMITED = { go: 0, wait: 1, drop: 2 } as const;

export class RateLimits {
  /** Whether any rule has a rate. */
  readonly isUsed: boolean;
  /** [0]: after `admit`, when the packet may leave. */
  readonly departure = new Float64Array(1);
  readonly #limits: Float64Array;
  readonly #rules: Float64Array;
  /** By the flow's slot; behind them, by rule, for what is in no flow. Empty if no rule limits flows. */
  readonly #flows: Float64Array;
  readonly #flowSlots: number;

  /** `limits` as `LIMIT` lays them out, for a flow table of `flowSlots`. */
  constructor(limits: Float64Array, flowSlots: number) {
    const rules = limits.length / LIMIT.words;
    this.#limits = limits;
    this.isUsed = limits.some((rate) => rate > 0);
    this.#rules = new Float64Array(this.isUsed ? rules : 0);
    const limitsFlows = limits.some((rate, place) => rate > 0 && place % LIMIT.words === LIMIT.perFlow);
    this.#flows = new Float64Array(limitsFlows ? flowSlots + rules : 0);
    this.#flowSlots = flowSlots;
  }

  /**
   * Whether a packet of `bytes` may go now, must wait until `departure[0]`, or finds too much waiting: a `LIMITED`. `rule`
   * let its flow begin, -1 for none; `flow` is the flow's slot, or -1: what is in no flow, such as later fragments, shares
   * what one flow may have; `begins`: it is the flow's first packet. It is `clock[0]`, and what was promised to leave until
   * `left[0]` has left: arrays, as a number handed over would be allocated.
   */
  admit(rule: number, flow: number, begins: boolean, bytes: number, clock: Float64Array, left: Float64Array): number {
    if (rule < 0) return LIMITED.go;
    const now = clock[0];
    const rate = this.#limits[rule * LIMIT.words + LIMIT.rate];
    const perFlow = this.#limits[rule * LIMIT.words + LIMIT.perFlow];
    let departure = -Infinity;
    if (rate > 0) {
      departure = departureOf(this.#rules[rule], rate);
      if (departure > now + Math.max(WAIT_MS, WAIT_LEAST / rate)) return LIMITED.drop;
    }
    const place = flow < 0 ? this.#flowSlots + rule : flow;
    if (perFlow > 0) {
      if (begins && flow >= 0) this.#flows[place] = 0;
      const own = departureOf(this.#flows[place], perFlow);
      if (own > now + Math.max(WAIT_MS, WAIT_LEAST / perFlow)) return LIMITED.drop;
      if (own > departure) departure = own;
      this.#flows[place] = Math.max(this.#flows[place], now) + bytes / perFlow;
    }
    if (rate > 0) this.#rules[rule] = Math.max(this.#rules[rule], now) + bytes / rate;
    this.departure[0] = departure;
    return departure <= left[0] ? LIMITED.go : LIMITED.wait;
  }
}

function departureOf(paidAt: number, rate: number): number {
  return paidAt - Math.max(BURST_MS, BURST_LEAST / rate);
}

/** What waits, the earliest departure first and, of equal ones, what came first: a binary heap of places. */
export class Departures {
  size = 0;
  readonly #heap: Int32Array;
  /** By place. */
  readonly #time: Float64Array;
  readonly #number: Float64Array;
  readonly #next = new Float64Array(1);

  constructor(places: number) {
    this.#heap = new Int32Array(places);
    this.#time = new Float64Array(places);
    this.#number = new Float64Array(places);
  }

  push(place: number, time: Float64Array): void {
    this.#time[place] = time[0];
    this.#number[place] = this.#next[0]++;
    const heap = this.#heap;
    let at = this.size++;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.#precedes(place, heap[above])) break;
      heap[at] = heap[above];
      at = above;
    }
    heap[at] = place;
  }

  /** Takes out the first place if its time has come, else -1. */
  pop(now: number): number {
    const heap = this.#heap;
    if (this.size === 0 || this.#time[heap[0]] > now) return -1;
    const first = heap[0];
    const last = heap[--this.size];
    let at = 0;
    for (let below = 1; below < this.size; below = 2 * at + 1) {
      if (below + 1 < this.size && this.#precedes(heap[below + 1], heap[below])) below++;
      if (!this.#precedes(heap[below], last)) break;
      heap[at] = heap[below];
      at = below;
    }
    heap[at] = last;
    return first;
  }

  /** The place at `number` of all that wait, in no order. */
  at(number: number): number {
    return this.#heap[number];
  }

  /** ms from `now` until the first may leave; Infinity if nothing waits. */
  delay(now: number): number {
    return this.size === 0 ? Infinity : Math.max(0, this.#time[this.#heap[0]] - now);
  }

  #precedes(one: number, other: number): boolean {
    const time = this.#time;
    return time[one] !== time[other] ? time[one] < time[other] : this.#number[one] < this.#number[other];
  }
}
