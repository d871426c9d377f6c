import { KEY_PEER, KEY_WORDS, type FlowKey } from './flow-key.ts';
import { IDLE_SECONDS, STATE_MASK, idleSeconds, isDisplaceable, isFragments } from './flow-state.ts';
import { mix, scramble } from './hash.ts';
import { WINDOW_WORDS } from './tcp-window.ts';

/**
 * The flows that both data-plane threads track, in shared memory, without locks.
 *
 * Slots stand in buckets of eight. A key has two buckets, and goes to the emptier. A slot's tag says whether it is empty,
 * being written, or holds a key with that hash; nothing else has to be read to pass it over.
 *
 * Who changes what: a writer takes a slot by exchanging its tag for BUSY, so there is one writer at a time. It sets a
 * new generation with WRITING, writes the key, clears WRITING and publishes the tag. A reader compares the key between
 * two reads of the state word, and has found the flow only if neither shows WRITING and both have the same generation:
 * a key that was torn by a new owner is not taken for the flow. (The key is read without Atomics: on a CPU that reorders
 * loads a mixture of two keys would also need the sought tag's 31 bits in common to be found.) Reaching a new state is a
 * compare-and-exchange on that word, so it never lands on a new owner. Only the time last seen is written plainly: both
 * threads write about the same second.
 *
 * Time is in whole seconds of any monotonic clock that the threads share. Their readings may differ a little: one of
 * them may then forget a flow that the other would have kept for another moment.
 */

/** Only typed arrays over `SharedArrayBuffer`s: posted to a worker without a copy. */
export interface FlowTableData {
  /** EMPTY, BUSY, or an odd hash, for each slot. */
  readonly tags: Int32Array;
  /** For each slot generation and WRITING, and the flow's state in the bits of STATE_MASK. */
  readonly states: Int32Array;
  /** Second of the last packet, for each slot. */
  readonly seen: Int32Array;
  /** KEY_WORDS for each slot. */
  readonly keys: Int32Array;
  /** Id of the rule that let the flow begin, -1 if none did, for each slot. */
  readonly rules: Int32Array;
  /** WINDOW_WORDS for each slot, laid out as tcp-window.ts has it. Plain, with one writer for each word. */
  readonly windows: Int32Array;
  /** One word mixed into each hash, so that nobody outside can fill chosen buckets. */
  readonly seed: Int32Array;
  /** One word: idle seconds of an established TCP connection. May be changed at any time, for flows that live too. */
  readonly tcpEstablished: Int32Array;
}

const BUCKET = 8;
const EMPTY = 0;
const BUSY = 2;
const WRITING = STATE_MASK + 1;
const GENERATION = WRITING << 1;
const GENERATION_MASK = -GENERATION;
/** Seconds in which a flow may still be answered and is not displaced. */
const GRACE = 2;
/** How often an insertion tries again when the other thread took the slot it had chosen. */
const CLAIMS = 4;

/**
 * Room for `capacity` flows, a power of two of at least 8, at 176 bytes each (two slots, so that both buckets of a key are
 * hardly ever full before that many flows live). `seed` is any 32 random bits.
 */
export function createFlowTable(capacity: number, seed: number): FlowTableData {
  const slots = capacity * 2;
  const words = (count: number) => new Int32Array(new SharedArrayBuffer(count * 4));
  const table = {
    tags: words(slots),
    states: words(slots),
    seen: words(slots),
    keys: words(slots * KEY_WORDS),
    rules: words(slots),
    windows: words(slots * WINDOW_WORDS),
    seed: words(1),
    tcpEstablished: words(1),
  };
  table.seed[0] = seed;
  table.tcpEstablished[0] = IDLE_SECONDS.tcpEstablished;
  return table;
}

export class FlowTable {
  /** State of the flow that `find` or `insert` returned last. */
  state = 0;
  /** Whether the last `insert` took the place of a flow that was still remembered. */
  displaced = false;
  /** As in `FlowTableData`. */
  readonly windows: Int32Array;
  readonly #rules: Int32Array;
  readonly #tags: Int32Array;
  readonly #states: Int32Array;
  readonly #seen: Int32Array;
  readonly #keys: Int32Array;
  readonly #seed: number;
  readonly #bucketMask: number;
  readonly #tcpEstablished: Int32Array;
  // What is looked for: the words of its key, its tag and the first slots of its buckets.
  #key: Int32Array = new Int32Array(KEY_WORDS);
  #length = 0;
  #tag = 0;
  #bucketA = 0;
  #bucketB = 0;
  // What #survey saw of a bucket.
  #live = 0;
  #free = -1;
  #oldestFragments = -1;
  /** Slots that count as taken, each by a track of fragments or not: see `hasRoom`. */
  readonly #taken = new Map<number, boolean>();
  #oldestWeak = -1;

  constructor(data: FlowTableData) {
    this.#tags = data.tags;
    this.#states = data.states;
    this.#seen = data.seen;
    this.#keys = data.keys;
    this.#rules = data.rules;
    this.windows = data.windows;
    this.#seed = data.seed[0];
    this.#tcpEstablished = data.tcpEstablished;
    this.#bucketMask = data.tags.length / BUCKET - 1;
  }

  /** The slot of the live flow with this key, or -1. Sets `state`. */
  find(key: FlowKey, seconds: number): number {
    this.#aim(key);
    const slot = this.#findIn(this.#bucketA, seconds);
    return slot >= 0 ? slot : this.#findIn(this.#bucketB, seconds);
  }

  /**
   * The slot of a new flow, which the caller has just not found; -1 if neither bucket has room. If the other thread
   * inserts the same flow at the same time both get the same slot. Sets `state` and `displaced`. `rule` is the id of the
   * one that lets it begin.
   *
   * In full buckets the oldest fragments give way, then, to a flow, the oldest that was never answered or has ended: see
   * `isDisplaceable`. What is established stays, whoever asks for room.
   */
  insert(key: Pick<FlowKey, 'words' | 'length'>, state: number, seconds: number, rule = -1): number {
    this.#aim(key);
    this.displaced = false;
    const mayDisplace = !isFragments(state);
    for (let claim = 0; claim < CLAIMS; claim++) {
      const slot = this.#choose(seconds, mayDisplace);
      if (slot < 0) return -1;
      if (!this.#claim(slot, seconds)) continue;
      this.#write(slot, state, seconds, rule);
      return this.#settle(slot, seconds);
    }
    return -1;
  }

  /**
   * Whether `insert` would find a place for a flow with this key, or, `isFragments`, for a track of fragments, beside those
   * that were asked for since `releaseRoom`. Nothing is changed but what this table itself remembers of that.
   */
  hasRoom(key: FlowKey, seconds: number, isFragments: boolean): boolean {
    this.#aim(key);
    const slot = this.#choose(seconds, !isFragments);
    if (slot >= 0) this.#taken.set(slot, isFragments);
    return slot >= 0;
  }

  /** Forgets what was asked for. */
  releaseRoom(): void {
    this.#taken.clear();
  }

  /** The id of the rule that let the flow at `slot` begin, or -1. */
  ruleOf(slot: number): number {
    return this.#rules[slot];
  }

  /**
   * Notes a packet of the flow at `slot`, in the state `from` that `find` showed, which brings it to `to`.
   */
  refresh(slot: number, from: number, to: number, seconds: number): void {
    if (this.#seen[slot] !== seconds) this.#seen[slot] = seconds;
    const learnt = to & ~from;
    let expected = from;
    while ((expected | learnt) !== expected) {
      const current = Atomics.compareExchange(this.#states, slot, expected, expected | learnt);
      if (current === expected || differentOwner(current, from)) return;
      expected = current;
    }
  }

  /** Forgets the flow at `slot` if it is still the one whose state `find` showed. */
  remove(slot: number, state: number): void {
    const tag = Atomics.load(this.#tags, slot);
    if (tag === EMPTY || tag === BUSY || Atomics.compareExchange(this.#tags, slot, tag, BUSY) !== tag) return;
    const other = differentOwner(Atomics.load(this.#states, slot), state);
    Atomics.store(this.#tags, slot, other ? tag : EMPTY);
  }

  /** Forgets all flows of some peers, whose numbers may then be given to others. Cold: reads the whole table. */
  forgetPeers(peers: ReadonlySet<number>): void {
    for (let slot = 0; slot < this.#tags.length; slot++) {
      const state = Atomics.load(this.#states, slot);
      if (peers.has(this.#keys[slot * KEY_WORDS + KEY_PEER])) this.remove(slot, state);
    }
  }

  /**
   * How many flows are live, and in how many slots they stand. Cold: reads the whole table, or at most `sample` slots of
   * it, from which the rest is estimated: flows are spread evenly.
   */
  stats(seconds: number, sample = this.#tags.length): { live: number; slots: number } {
    const tags = this.#tags;
    const looked = Math.min(sample, tags.length);
    let live = 0;
    for (let slot = 0; slot < looked; slot++) {
      const tag = tags[slot];
      if (tag !== EMPTY && tag !== BUSY && !this.#expired(slot, seconds)) live++;
    }
    return { live: Math.round((live * tags.length) / looked), slots: tags.length };
  }

  #aim(key: Pick<FlowKey, 'words' | 'length'>): void {
    const { words, length } = key;
    let hash = this.#seed;
    for (let word = 0; word < length; word++) hash = mix(hash, words[word]);
    const tag = scramble(hash);
    this.#key = words;
    this.#length = length;
    this.#tag = tag | 1;
    this.#bucketA = (hash & this.#bucketMask) * BUCKET;
    this.#bucketB = (scramble(tag) & this.#bucketMask) * BUCKET;
  }

  #findIn(bucket: number, seconds: number): number {
    for (let slot = bucket; slot < bucket + BUCKET; slot++) {
      if (this.#isSought(slot, seconds)) return slot;
    }
    return -1;
  }

  #isSought(slot: number, seconds: number): boolean {
    return this.#tags[slot] === this.#tag && this.#holdsKey(slot) && !this.#expired(slot, seconds);
  }

  #holdsKey(slot: number): boolean {
    const before = Atomics.load(this.#states, slot);
    if ((before & WRITING) !== 0) return false;
    const keys = this.#keys;
    const key = this.#key;
    const at = slot * KEY_WORDS;
    for (let word = 0; word < this.#length; word++) {
      if (keys[at + word] !== key[word]) return false;
    }
    const after = Atomics.load(this.#states, slot);
    this.state = after;
    return !differentOwner(before, after);
  }

  #expired(slot: number, seconds: number): boolean {
    return ((seconds - this.#seen[slot]) | 0) >= idleSeconds(this.#states[slot], this.#tcpEstablished[0]);
  }

  /** The slot to write a new flow to: a free one in the emptier bucket, else one whose owner gives way. */
  #choose(seconds: number, mayDisplace: boolean): number {
    this.#survey(this.#bucketA, seconds);
    const liveA = this.#live;
    const freeA = this.#free;
    const fragmentsA = this.#oldestFragments;
    const weakA = this.#oldestWeak;
    this.#survey(this.#bucketB, seconds);
    const free = liveA <= this.#live ? freeA : this.#free;
    if (free >= 0) return free;
    const fragments = fragmentsA >= 0 ? fragmentsA : this.#oldestFragments;
    if (fragments >= 0 || !mayDisplace) return fragments;
    const weakB = this.#oldestWeak;
    if (weakA < 0 || weakB < 0) return weakA < 0 ? weakB : weakA;
    return this.#seen[weakA] <= this.#seen[weakB] ? weakA : weakB;
  }

  #survey(bucket: number, seconds: number): void {
    this.#live = 0;
    this.#free = -1;
    this.#oldestFragments = -1;
    this.#oldestWeak = -1;
    for (let slot = bucket; slot < bucket + BUCKET; slot++) {
      const tag = this.#tags[slot];
      if (this.#taken.size > 0 && this.#taken.has(slot)) {
        this.#live++;
        if (this.#taken.get(slot) === true && this.#oldestFragments < 0) this.#oldestFragments = slot;
        continue;
      }
      if (tag === EMPTY || (tag !== BUSY && this.#expired(slot, seconds))) {
        this.#free = slot;
        continue;
      }
      this.#live++;
      const state = this.#states[slot];
      if (tag === BUSY || !isDisplaceable(state)) continue;
      if (isFragments(state)) {
        const oldest = this.#oldestFragments;
        if (oldest < 0 || this.#seen[slot] < this.#seen[oldest]) this.#oldestFragments = slot;
      } else if (this.#givesWay(slot, seconds)) {
        const oldest = this.#oldestWeak;
        if (oldest < 0 || this.#seen[slot] < this.#seen[oldest]) this.#oldestWeak = slot;
      }
    }
  }

  #givesWay(slot: number, seconds: number): boolean {
    return isDisplaceable(this.#states[slot]) && ((seconds - this.#seen[slot]) | 0) >= GRACE;
  }

  /** Takes a slot for writing, unless it turns out not to be free any more. */
  #claim(slot: number, seconds: number): boolean {
    const tag = Atomics.load(this.#tags, slot);
    if (tag === BUSY || Atomics.compareExchange(this.#tags, slot, tag, BUSY) !== tag) return false;
    if (tag === EMPTY || this.#expired(slot, seconds)) return true;
    this.displaced = !isFragments(this.#states[slot]);
    if (!this.displaced || this.#givesWay(slot, seconds)) return true;
    this.displaced = false;
    Atomics.store(this.#tags, slot, tag);
    return false;
  }

  #write(slot: number, state: number, seconds: number, rule: number): void {
    const generation = ((this.#states[slot] & GENERATION_MASK) + GENERATION) | 0;
    Atomics.store(this.#states, slot, generation | WRITING);
    const at = slot * KEY_WORDS;
    for (let word = 0; word < this.#length; word++) this.#keys[at + word] = this.#key[word];
    this.#rules[slot] = rule;
    const window = slot * WINDOW_WORDS;
    for (let word = 0; word < WINDOW_WORDS; word++) this.windows[window + word] = 0;
    this.#seen[slot] = seconds;
    Atomics.store(this.#states, slot, generation | state);
    Atomics.store(this.#tags, slot, this.#tag);
    this.state = generation | state;
  }

  /**
   * Both threads may have written the same flow. Each looks once it has published its own, so at least one of them sees
   * both, and whoever does keeps the one that `find` meets first.
   */
  #settle(own: number, seconds: number): number {
    let kept = -1;
    let keptState = this.state;
    for (let place = 0; place < 2 * BUCKET; place++) {
      const slot = place < BUCKET ? this.#bucketA + place : this.#bucketB + place - BUCKET;
      if (slot === kept || !this.#isSought(slot, seconds)) continue;
      if (kept >= 0) {
        this.remove(slot, this.state);
      } else {
        kept = slot;
        keptState = this.state;
      }
    }
    this.state = keptState;
    return kept < 0 ? own : kept;
  }
}

/** Whether a slot's state word shows a generation, or a writer, other than the one seen before. */
function differentOwner(current: number, before: number): boolean {
  return ((current ^ before) & ~STATE_MASK) !== 0;
}
