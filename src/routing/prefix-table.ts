import { maskWord, type Prefix } from './prefix.ts';
import { orderByKeys, sortable } from './prefix-order.ts';

/**
 * Longest-prefix match. The prefixes are flattened into disjoint ranges, sorted by where they start, each with the value
 * of the longest prefix that covers it: a lookup is then "the last range that starts at or before the address". A trie
 * compressed by level and by path (Nilsson and Karlsson, IP-address lookup using LC-tries) leads close to that range, and
 * a walk over a few neighbours ends at it. A table is built whole and never changed; its arrays are shared memory, so
 * that a table costs a worker nothing but the message that names it.
 */

export interface PrefixEntry extends Prefix {
  /** 0 to 2^31 - 1. */
  readonly value: number;
}

/** One family's ranges and the trie over them. The first range starts at address zero. */
interface Ranges {
  /**
   * Where each range starts: one word for IPv4, four big-endian words for IPv6. The sign bits are turned over, so that
   * int32s compare as the addresses do: V8 would allocate an unsigned word above 2^31 each time it is handed on.
   */
  readonly starts: Int32Array;
  /** Each range's value, -1 where no prefix covers it. */
  readonly values: Int32Array;
  /**
   * Trie nodes, the root first. A node: `NODE` header words, then a branch for each value of the address bits it looks
   * at. A branch is another node's place as its one's complement, or, not negative, the range to walk from.
   */
  readonly trie: Int32Array;
}

/** Only typed arrays over `SharedArrayBuffer`s: posted to a worker without a copy. */
export interface PrefixTableData {
  readonly ipv4: Ranges;
  readonly ipv6: Ranges;
}

/**
 * Header of a node: the first address bit it looks at; how many; whether bits before them were passed over; and of the
 * ranges that start among its addresses, the one before the first, and the last.
 */
const NODE = { from: 0, bits: 1, skipped: 2, before: 3, last: 4, branches: 5 } as const;
const SIGN = 1 << 31;
const BRANCH_BITS_MAX = 16;
/** With no more range starts than this, a walk is quicker than one more node. */
const WALK_MAX = 4;

/** A table of the entries. Of equal prefixes the last wins; host bits don't count. */
export function buildPrefixTable(entries: Iterable<PrefixEntry>): PrefixTableData {
  const ipv4: PrefixEntry[] = [];
  const ipv6: PrefixEntry[] = [];
  for (const entry of entries) (entry.family === 4 ? ipv4 : ipv6).push(entry);
  return { ipv4: buildRanges(ipv4, 1), ipv6: buildRanges(ipv6, 4) };
}

export class PrefixTable {
  readonly #ipv4: Ranges;
  readonly #ipv6: Ranges;

  constructor(data: PrefixTableData) {
    this.#ipv4 = data.ipv4;
    this.#ipv6 = data.ipv6;
  }

  /**
   * The value of the longest prefix that holds the address, or -1. `version` is 4 or 6, the words are int32 as `Packet`
   * has them (`w3` alone counts for IPv4).
   */
  lookup(version: number, w0: number, w1: number, w2: number, w3: number): number {
    return version === 4 ? lookupIpv4(this.#ipv4, w3) : lookupIpv6(this.#ipv6, w0, w1, w2, w3);
  }
}

function lookupIpv4(ranges: Ranges, address: number): number {
  const { starts, values, trie } = ranges;
  const sought = address ^ SIGN;
  let branch = -1;
  while (branch < 0) {
    const node = ~branch;
    if (trie[node + NODE.skipped] !== 0) {
      // What lies between the first and the last start shares the bits passed over; nothing else reaches the branches.
      if (sought < starts[trie[node + NODE.before] + 1]) return values[trie[node + NODE.before]];
      if (sought >= starts[trie[node + NODE.last]]) return values[trie[node + NODE.last]];
    }
    branch = trie[node + NODE.branches + ((address << trie[node + NODE.from]) >>> (32 - trie[node + NODE.bits]))];
  }
  while (branch + 1 < values.length && starts[branch + 1] <= sought) branch++;
  return values[branch];
}

function lookupIpv6(ranges: Ranges, w0: number, w1: number, w2: number, w3: number): number {
  const { starts, values, trie } = ranges;
  const s0 = w0 ^ SIGN;
  const s1 = w1 ^ SIGN;
  const s2 = w2 ^ SIGN;
  const s3 = w3 ^ SIGN;
  let branch = -1;
  while (branch < 0) {
    const node = ~branch;
    if (trie[node + NODE.skipped] !== 0) {
      const before = trie[node + NODE.before];
      if (!startsBy(starts, before + 1, s0, s1, s2, s3)) return values[before];
      if (startsBy(starts, trie[node + NODE.last], s0, s1, s2, s3)) return values[trie[node + NODE.last]];
    }
    const bits = window(trie[node + NODE.from], w0, w1, w2, w3) >>> (32 - trie[node + NODE.bits]);
    branch = trie[node + NODE.branches + bits];
  }
  while (branch + 1 < values.length && startsBy(starts, branch + 1, s0, s1, s2, s3)) branch++;
  return values[branch];
}

/** Whether an IPv6 range starts at or before the address, whose words have their sign bits turned over. */
function startsBy(starts: Int32Array, range: number, s0: number, s1: number, s2: number, s3: number): boolean {
  const at = range << 2;
  if (starts[at] !== s0) return starts[at] < s0;
  if (starts[at + 1] !== s1) return starts[at + 1] < s1;
  if (starts[at + 2] !== s2) return starts[at + 2] < s2;
  return starts[at + 3] <= s3;
}

/** The 32 bits of an IPv6 address from bit `from` on, zeros behind its end. */
function window(from: number, w0: number, w1: number, w2: number, w3: number): number {
  const word = from >>> 5;
  const head = word === 0 ? w0 : word === 1 ? w1 : word === 2 ? w2 : w3;
  const tail = word === 0 ? w1 : word === 1 ? w2 : word === 2 ? w3 : 0;
  const skip = from & 31;
  return skip === 0 ? head : (head << skip) | (tail >>> (32 - skip));
}

/** Flattens the prefixes of one family into ranges of `width` words: 1 for IPv4, 4 for IPv6. */
function buildRanges(entries: readonly PrefixEntry[], width: 1 | 4): Ranges {
  const firsts = new Int32Array(entries.length * width);
  const lasts = new Int32Array(entries.length * width);
  const lengths = new Int32Array(entries.length);
  for (const [number, entry] of entries.entries()) {
    for (let word = 0; word < width; word++) {
      const mask = maskWord(entry, 4 - width + word);
      const address = entry.address[4 - width + word] & mask;
      firsts[number * width + word] = sortable(address);
      lasts[number * width + word] = sortable(address | ~mask);
    }
    lengths[number] = entry.bits;
  }
  const sweep = new Sweep(entries, firsts, lasts, width);
  // Enclosing prefixes come before the ones they enclose; equal ones stay as they were given.
  for (const number of orderByKeys(firsts, width, lengths)) sweep.enter(number);
  sweep.finish();
  const { starts, values } = sweep;
  const branches: number[] = [];
  addNode(branches, starts, width, 0, values.length - 1, 0);
  return { starts, values, trie: shared(Int32Array.from(branches)) };
}

/** Walks the sorted prefixes once, holding a stack of those that enclose the present address. */
class Sweep {
  readonly #entries: readonly PrefixEntry[];
  readonly #firsts: Int32Array;
  readonly #lasts: Int32Array;
  readonly #width: 1 | 4;
  /** Each prefix begins one range and is followed by one at most. */
  readonly #starts: Int32Array;
  readonly #values: Int32Array;
  #count = 0;
  readonly #open: number[] = [];
  readonly #behind: Int32Array;

  /** `firsts` and `lasts`: the first and the last address of each entry, with their sign bits turned over. */
  constructor(entries: readonly PrefixEntry[], firsts: Int32Array, lasts: Int32Array, width: 1 | 4) {
    this.#entries = entries;
    this.#firsts = firsts;
    this.#lasts = lasts;
    this.#width = width;
    this.#starts = new Int32Array((2 * entries.length + 1) * width);
    this.#values = new Int32Array(2 * entries.length + 1);
    this.#behind = new Int32Array(width).fill(SIGN);
    this.#emit(this.#behind, 0, -1);
  }

  /** Where the ranges start, and their values, in shared memory. */
  get starts(): Int32Array {
    return shared(this.#starts.subarray(0, this.#count * this.#width));
  }

  get values(): Int32Array {
    return shared(this.#values.subarray(0, this.#count));
  }

  enter(number: number): void {
    while (this.#open.length > 0 && !this.#reaches(this.#open[this.#open.length - 1], number)) this.#close();
    this.#open.push(number);
    this.#emit(this.#firsts, number * this.#width, this.#entries[number].value);
  }

  finish(): void {
    while (this.#open.length > 0) this.#close();
  }

  /** Whether the prefix `outer` goes as far as where `inner` begins. */
  #reaches(outer: number, inner: number): boolean {
    for (let word = 0; word < this.#width; word++) {
      const last = this.#lasts[outer * this.#width + word];
      const first = this.#firsts[inner * this.#width + word];
      if (last !== first) return last > first;
    }
    return true;
  }

  /** Ends the innermost prefix: from the address behind it the one around it goes on. */
  #close(): void {
    const ended = this.#open.pop()!;
    const around = this.#open.length === 0 ? -1 : this.#entries[this.#open[this.#open.length - 1]].value;
    const behind = this.#behind;
    for (let word = this.#width - 1, carry = 1; word >= 0; word--) {
      behind[word] = this.#lasts[ended * this.#width + word] + carry;
      // What was all ones is zero now, and hands the one on.
      carry = carry === 1 && behind[word] === SIGN ? 1 : 0;
      // The prefix reached the end of its family.
      if (word === 0 && carry === 1) return;
    }
    this.#emit(behind, 0, around);
  }

  /** From the address at `at` of `address` on, it is `value`. */
  #emit(address: Int32Array, at: number, value: number): void {
    const width = this.#width;
    const last = (this.#count - 1) * width;
    let word = this.#count === 0 ? width + 1 : 0;
    while (word < width && this.#starts[last + word] === address[at + word]) word++;
    if (word === width) {
      this.#values[this.#count - 1] = value;
    } else if (this.#count === 0 || value !== this.#values[this.#count - 1]) {
      for (word = 0; word < width; word++) this.#starts[last + width + word] = address[at + word];
      this.#values[this.#count++] = value;
    }
  }
}

function shared(words: Int32Array): Int32Array {
  const array = new Int32Array(new SharedArrayBuffer(words.length * 4));
  array.set(words);
  return array;
}

/**
 * Appends the node for addresses that have `depth` bits in common, among which the ranges behind `before`, up to `last`,
 * start. Returns its place.
 */
function addNode(
  trie: number[],
  starts: Int32Array,
  width: 1 | 4,
  before: number,
  last: number,
  depth: number,
): number {
  const from = last - before > 1 ? sharedBits(starts, width, before + 1, last) : depth;
  const bits = Math.min(BRANCH_BITS_MAX, Math.max(1, 31 - Math.clz32(last - before)));
  const node = trie.length;
  trie.push(from, bits, from > depth ? 1 : 0, before, last);
  for (let branch = 0; branch < 1 << bits; branch++) trie.push(before);
  let range = before + 1;
  for (let branch = 0; branch < 1 << bits; branch++) {
    const first = range;
    while (range <= last && addressBits(starts, width, range, from, bits) === branch) range++;
    const deeper = range - first > WALK_MAX;
    trie[node + NODE.branches + branch] = deeper
      ? ~addNode(trie, starts, width, first - 1, range - 1, from + bits)
      : first - 1;
  }
  return node;
}

/** How many leading bits the starts of two ranges share. */
function sharedBits(starts: Int32Array, width: 1 | 4, a: number, b: number): number {
  let word = 0;
  while (word < width && starts[a * width + word] === starts[b * width + word]) word++;
  return word * 32 + Math.clz32(starts[a * width + word] ^ starts[b * width + word]);
}

function addressBits(starts: Int32Array, width: 1 | 4, range: number, from: number, bits: number): number {
  const at = range * width;
  const word = (index: number) => starts[at + index] ^ SIGN;
  const head = width === 1 ? word(0) << from : window(from, word(0), word(1), word(2), word(3));
  return head >>> (32 - bits);
}
