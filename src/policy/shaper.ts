/**
 * Shaping: how much of each class may go through one direction of a peering, and in which order what waits goes on.
 *
 * A shape has one token bucket per priority. A packet is charged to the bucket of its own priority and to those of all
 * lower ones, and may go while its own holds more than nothing. So the lowest bucket sees every byte, which keeps the sum
 * to the rate, while a packet of high priority never waits for what a lower one has sent. A bucket may go into debt by
 * one packet: a super-packet that is larger than the burst passes too, and is paid for afterwards.
 *
 * Among classes of one priority the one that was served least for its weight is next (start-time fair queueing). A class
 * with a rate of its own has one bucket more.
 *
 * Times are ms of any clock, rates bytes per ms. Nothing is allocated after set-up.
 */

export interface ClassSpec {
  readonly name: string;
  /** The DSCPs (RFC 2474) of its packets. */
  readonly dscp: readonly number[];
  /** Names of rules: what they let begin is in this class, whatever its DSCP. */
  readonly rules?: readonly string[];
  /** 1 is served first. */
  readonly priority: number;
  /** Its share among the classes of the same priority. */
  readonly weight: number;
  /** Bytes per second that it may have at most; 0: as much as the shape. */
  readonly rate: number;
}

/** Whether a class takes what no other does. Exactly one of a shape is so. */
export function takesTheRest({ dscp, rules = [] }: ClassSpec): boolean {
  return dscp.length === 0 && rules.length === 0;
}

export interface ShapeSpec {
  /** Bytes per second. */
  readonly rate: number;
  /** Bytes that may go at once after a pause. */
  readonly burst: number;
  readonly classes: readonly ClassSpec[];
}

/** Classes that a shape may have. */
const MAX_CLASSES = 16;

/** What is counted of a class, in shared memory: `CLASS_COUNTER.words` for each, one writer. */
export const CLASS_COUNTER = {
  /** Packets and bytes of the overlay that went on. */
  packets: 0,
  bytes: 1,
  /** Packets that had to wait first. */
  delayed: 2,
  drops: 3,
  /** Bytes that wait now. */
  queued: 4,
  words: 5,
} as const;

/** Room for the counters of one shape. */
export function createClassCounters(): Float64Array<SharedArrayBuffer> {
  const bytes = MAX_CLASSES * CLASS_COUNTER.words * Float64Array.BYTES_PER_ELEMENT;
  return new Float64Array(new SharedArrayBuffer(bytes));
}

/** How long a class may hold packets back, in ms of the shape's rate, and the least and the most bytes of it. */
const QUEUE_MS = 100;
const QUEUE_LEAST = 3 * 65_536;
const QUEUE_MOST = 4 << 20;

/** Bytes that may wait in each class of a shape of so many bytes per second. */
export function queueLimit(rate: number): number {
  return Math.min(QUEUE_MOST, Math.max(QUEUE_LEAST, (rate / 1000) * QUEUE_MS));
}

/** Places where packets can wait, as linked lists over numbers: what a place is, its owner knows. Shared by all shapes of a thread. */
export class Places {
  /** Bytes, and packets on the wire, of what waits in a place. */
  readonly bytes: Int32Array;
  readonly packets: Int32Array;
  readonly next: Int32Array;

  constructor(count: number) {
    this.bytes = new Int32Array(count);
    this.packets = new Int32Array(count);
    this.next = new Int32Array(count).fill(-1);
  }
}

export class Shape {
  spec: ShapeSpec;
  /** Packets that wait. */
  waiting = 0;
  readonly #places: Places;
  readonly #counters: Float64Array;
  /** The class of each DSCP. */
  readonly #classOf = new Uint8Array(64);
  /** One more than the class of each rule, by its id; 0: by its DSCP. */
  #classOfRule = new Uint8Array(0);
  #ruleNames: readonly string[];
  readonly #levelOf = new Int32Array(MAX_CLASSES);
  readonly #weight = new Float64Array(MAX_CLASSES);
  /** Bytes per ms; 0: no rate of its own. */
  readonly #classRate = new Float64Array(MAX_CLASSES);
  readonly #classTokens = new Float64Array(MAX_CLASSES);
  readonly #tokens = new Float64Array(MAX_CLASSES);
  /** What a class has been served for its weight, and by how much the level's latest had been when its turn came. */
  readonly #served = new Float64Array(MAX_CLASSES);
  readonly #turn = new Float64Array(MAX_CLASSES);
  readonly #head = new Int32Array(MAX_CLASSES).fill(-1);
  readonly #tail = new Int32Array(MAX_CLASSES).fill(-1);
  readonly #queued = new Float64Array(MAX_CLASSES);
  readonly #held = new Int32Array(MAX_CLASSES);
  /** [0] bytes per ms, [1] burst, [2] bytes a class may hold, [3] when the buckets were last filled. */
  readonly #state = new Float64Array(4);
  #classes = 0;
  #levels = 0;

  /** `counters` as `createClassCounters` makes them; `now`: the buckets are full then; `ruleNames` as `useRules` has them. */
  constructor(spec: ShapeSpec, places: Places, counters: Float64Array, now: number, ruleNames: readonly string[] = []) {
    this.spec = spec;
    this.#ruleNames = ruleNames;
    this.#places = places;
    this.#counters = counters;
    this.#state[3] = now;
    this.#use(spec);
    this.#tokens.fill(spec.burst);
    for (let number = 0; number < this.#classes; number++) this.#classTokens[number] = this.#classBurst(number);
  }

  /**
   * Goes on by another specification. What waits in a class waits on in the class of that name, or else in the one for
   * all other packets; debts stay.
   */
  change(spec: ShapeSpec, now: number): void {
    this.#fill(now);
    const before = this.spec.classes.map(({ name }, number) => ({
      name,
      head: this.#head[number],
      tokens: this.#classTokens[number],
      counts: this.#counters.slice(number * CLASS_COUNTER.words, (number + 1) * CLASS_COUNTER.words),
    }));
    const debt = Math.min(...this.#tokens.subarray(0, this.#levels));
    this.spec = spec;
    this.#counters.fill(0);
    this.#queued.fill(0);
    this.#held.fill(0);
    this.#head.fill(-1);
    this.#tail.fill(-1);
    this.#served.fill(0);
    this.#turn.fill(0);
    this.waiting = 0;
    this.#use(spec);
    this.#tokens.fill(Math.min(debt, spec.burst));
    for (let number = 0; number < this.#classes; number++) this.#classTokens[number] = this.#classBurst(number);
    const rest = spec.classes.findIndex(takesTheRest);
    for (const { name, head, tokens, counts } of before) {
      const number = spec.classes.findIndex((each) => each.name === name);
      if (number >= 0) {
        counts[CLASS_COUNTER.queued] = 0;
        this.#counters.set(counts, number * CLASS_COUNTER.words);
        this.#classTokens[number] = Math.min(tokens, this.#classBurst(number));
      }
      for (let place = head; place >= 0;) {
        const following = this.#places.next[place];
        this.#append(number < 0 ? rest : number, place);
        place = following;
      }
    }
  }

  /** Says what rules are called, by their ids. */
  useRules(names: readonly string[]): void {
    const { classes } = this.spec;
    this.#ruleNames = names;
    this.#classOfRule = Uint8Array.from(
      names,
      (name) => 1 + classes.findIndex(({ rules = [] }) => rules.includes(name)),
    );
  }

  /** The number of the class that packets of this DSCP belong to, of a flow that this rule let begin; -1: none did. */
  classOf(dscp: number, rule = -1): number {
    const byRule = rule >= 0 && rule < this.#classOfRule.length ? this.#classOfRule[rule] : 0;
    return byRule > 0 ? byRule - 1 : this.#classOf[dscp];
  }

  /**
   * Whether a packet of `bytes` on the overlay, `packets` on the wire, may go at once; then it is counted. If not, it is
   * the caller's to `enqueue`.
   */
  admit(number: number, bytes: number, packets: number, now: number): boolean {
    if (this.waiting > 0) return false;
    this.#fill(now);
    if (!this.#mayGo(number)) return false;
    this.#charge(number, bytes, packets);
    return true;
  }

  /** Whether the class has room for `bytes` more; if not, the drop is counted. */
  hasRoom(number: number, bytes: number, packets: number): boolean {
    if (this.#queued[number] === 0 || this.#queued[number] + bytes <= this.#state[2]) return true;
    this.countDrop(number, packets);
    return false;
  }

  /** Packets of the class that wait. */
  held(number: number): number {
    return this.#held[number];
  }

  countDrop(number: number, packets: number): void {
    this.#counters[number * CLASS_COUNTER.words + CLASS_COUNTER.drops] += packets;
  }

  /** Lets a packet wait in `place`. */
  enqueue(number: number, place: number, bytes: number, packets: number): void {
    this.#places.bytes[place] = bytes;
    this.#places.packets[place] = packets;
    if (this.#head[number] < 0)
      this.#served[number] = Math.max(this.#served[number], this.#turn[this.#levelOf[number]]);
    this.#append(number, place);
    this.#counters[number * CLASS_COUNTER.words + CLASS_COUNTER.delayed] += packets;
  }

  /** The place of the next packet that may go now, no longer waiting and counted; -1 if none may. */
  dequeue(now: number): number {
    if (this.waiting === 0) return -1;
    this.#fill(now);
    let best = -1;
    for (let number = 0; number < this.#classes; number++) {
      if (this.#head[number] < 0 || !this.#mayGo(number)) continue;
      if (best >= 0 && !this.#precedes(number, best)) continue;
      best = number;
    }
    if (best < 0) return -1;
    const place = this.#head[best];
    const bytes = this.#places.bytes[place];
    this.#turn[this.#levelOf[best]] = this.#served[best];
    this.#served[best] += bytes / this.#weight[best];
    this.#unlink(best, place);
    this.#charge(best, bytes, this.#places.packets[place]);
    return place;
  }

  /** Takes out what waits longest, whatever the rate, uncounted; -1 if nothing waits. */
  evict(): number {
    for (let number = 0; number < this.#classes; number++) {
      const place = this.#head[number];
      if (place < 0) continue;
      this.#unlink(number, place);
      return place;
    }
    return -1;
  }

  /** ms from `now` until a packet that waits may go; Infinity if nothing waits. */
  delay(now: number): number {
    if (this.waiting === 0) return Infinity;
    this.#fill(now);
    let least = Infinity;
    for (let number = 0; number < this.#classes; number++) {
      if (this.#head[number] < 0) continue;
      const wanted = 1 - this.#tokens[this.#levelOf[number]];
      let delay = wanted > 0 ? wanted / this.#state[0] : 0;
      if (this.#classRate[number] > 0) {
        delay = Math.max(delay, (1 - this.#classTokens[number]) / this.#classRate[number]);
      }
      if (delay < least) least = delay;
    }
    return least;
  }

  #use({ rate, burst, classes }: ShapeSpec): void {
    this.#state[0] = rate / 1000;
    this.#state[1] = burst;
    this.#state[2] = queueLimit(rate);
    this.#classes = classes.length;
    this.useRules(this.#ruleNames);
    const priorities = [...new Set(classes.map(({ priority }) => priority))].sort((a, b) => a - b);
    this.#levels = priorities.length;
    this.#classOf.fill(classes.findIndex(takesTheRest));
    for (const [number, { dscp, priority, weight, rate: own }] of classes.entries()) {
      for (const each of dscp) this.#classOf[each] = number;
      this.#levelOf[number] = priorities.indexOf(priority);
      this.#weight[number] = weight;
      this.#classRate[number] = own / 1000;
    }
  }

  /** A class's own bucket is as deep, in time, as the shape's. */
  #classBurst(number: number): number {
    return (this.#state[1] / this.#state[0]) * this.#classRate[number];
  }

  #fill(now: number): void {
    const elapsed = now - this.#state[3];
    if (elapsed <= 0) return;
    this.#state[3] = now;
    const more = elapsed * this.#state[0];
    const burst = this.#state[1];
    for (let level = 0; level < this.#levels; level++) {
      const tokens = this.#tokens[level] + more;
      this.#tokens[level] = tokens < burst ? tokens : burst;
    }
    for (let number = 0; number < this.#classes; number++) {
      if (this.#classRate[number] === 0) continue;
      const tokens = this.#classTokens[number] + elapsed * this.#classRate[number];
      this.#classTokens[number] = Math.min(tokens, this.#classBurst(number));
    }
  }

  #mayGo(number: number): boolean {
    return this.#tokens[this.#levelOf[number]] > 0 && (this.#classRate[number] === 0 || this.#classTokens[number] > 0);
  }

  #precedes(one: number, other: number): boolean {
    const levels = this.#levelOf[one] - this.#levelOf[other];
    return levels !== 0 ? levels < 0 : this.#served[one] < this.#served[other];
  }

  #charge(number: number, bytes: number, packets: number): void {
    for (let level = this.#levelOf[number]; level < this.#levels; level++) this.#tokens[level] -= bytes;
    this.#classTokens[number] -= bytes;
    const at = number * CLASS_COUNTER.words;
    this.#counters[at + CLASS_COUNTER.packets] += packets;
    this.#counters[at + CLASS_COUNTER.bytes] += bytes;
  }

  #append(number: number, place: number): void {
    const { next, bytes } = this.#places;
    next[place] = -1;
    if (this.#head[number] < 0) this.#head[number] = place;
    else next[this.#tail[number]] = place;
    this.#tail[number] = place;
    this.waiting++;
    this.#held[number]++;
    this.#queued[number] += bytes[place];
    this.#counters[number * CLASS_COUNTER.words + CLASS_COUNTER.queued] = this.#queued[number];
  }

  #unlink(number: number, place: number): void {
    this.#head[number] = this.#places.next[place];
    this.waiting--;
    this.#held[number]--;
    this.#queued[number] -= this.#places.bytes[place];
    this.#counters[number * CLASS_COUNTER.words + CLASS_COUNTER.queued] = this.#queued[number];
  }
}
