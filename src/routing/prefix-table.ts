import { canonical, prefixContains, type Prefix } from './prefix.ts';

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
  for (const entry of entries) {
    const { address, family, bits } = canonical(entry);
    (family === 4 ? ipv4 : ipv6).push({ address, family, bits, value: entry.value });
  }
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
function buildRanges(entries: PrefixEntry[], width: 1 | 4): Ranges {
  const sweep = new Sweep(width);
  for (const entry of entries.sort(byStartThenLength)) sweep.enter(entry);
  sweep.finish();
  const starts = new Int32Array(new SharedArrayBuffer(sweep.starts.length * 4));
  starts.set(sweep.starts);
  const values = new Int32Array(new SharedArrayBuffer(sweep.values.length * 4));
  values.set(sweep.values);
  const branches: number[] = [];
  addNode(branches, starts, width, 0, values.length - 1, 0);
  const trie = new Int32Array(new SharedArrayBuffer(branches.length * 4));
  trie.set(branches);
  return { starts, values, trie };
}

/** Enclosing prefixes come before the ones they enclose; of equal ones the order given stays. */
function byStartThenLength(a: PrefixEntry, b: PrefixEntry): number {
  for (let word = 0; word < 4; word++) {
    const difference = (a.address[word] >>> 0) - (b.address[word] >>> 0);
    if (difference !== 0) return difference;
  }
  return a.bits - b.bits;
}

/** Walks the sorted prefixes once, holding a stack of those that enclose the present address. */
class Sweep {
  readonly starts: number[] = [];
  readonly values: number[] = [];
  readonly #width: 1 | 4;
  readonly #open: PrefixEntry[] = [];

  constructor(width: 1 | 4) {
    this.#width = width;
    this.#emit([0, 0, 0, 0], -1);
  }

  enter(entry: PrefixEntry): void {
    while (this.#open.length > 0 && !prefixContains(this.#open.at(-1)!, entry)) this.#close();
    this.#open.push(entry);
    this.#emit(entry.address, entry.value);
  }

  finish(): void {
    while (this.#open.length > 0) this.#close();
  }

  /** Ends the innermost prefix: from the address behind it the one around it goes on. */
  #close(): void {
    const next = addressBehind(this.#open.pop()!);
    if (next !== undefined) this.#emit(next, this.#open.at(-1)?.value ?? -1);
  }

  #emit(address: readonly number[], value: number): void {
    const { starts, values } = this;
    const last = starts.length - this.#width;
    let word = 0;
    while (word < this.#width && starts[last + word] === (address[4 - this.#width + word] ^ SIGN)) word++;
    if (word === this.#width) {
      values[values.length - 1] = value;
    } else if (value !== values.at(-1)) {
      for (word = 4 - this.#width; word < 4; word++) starts.push(address[word] ^ SIGN);
      values.push(value);
    }
  }
}

/** The first address behind a prefix, undefined if the prefix reaches the end of its family. */
function addressBehind(prefix: Prefix): number[] | undefined {
  const words = [...prefix.address];
  const first = prefix.family === 4 ? 96 : 0;
  // One is added to the last bit that counts: the ones before it turn to zeros until a zero takes the carry.
  for (let bit = first + prefix.bits - 1; bit >= first; bit--) {
    const mask = 1 << (31 - (bit & 31));
    words[bit >>> 5] ^= mask;
    if ((words[bit >>> 5] & mask) !== 0) return words;
  }
  return undefined;
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
