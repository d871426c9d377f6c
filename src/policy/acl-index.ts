import { FRAGMENT, PROTOCOL, type Packet } from '../wire/packet.ts';
import { IN, OUT } from './direction.ts';
import type { AclPrefix, AclRule } from './acl.ts';

/**
 * Finds the first rule of a list that a packet matches without walking the list: a bit vector for each dimension
 * (Lakshman and Stiliadis, High-speed policy-based packet forwarding), with one bit for 32 words so that empty ones are
 * neither kept nor looked at (Baboescu and Varghese, Scalable packet classification).
 *
 * A dimension (source, destination, destination port, protocol with direction) is cut where a rule begins or ends to
 * match; each piece has a vector with a bit for each rule that matches there. The rules that match in all dimensions are
 * the intersection of four vectors. What is left to compare is ICMP's type and code.
 */

/** Where a list's parts stand in the words of the index. */
const HEAD = {
  /** How many blocks of 32 words of 32 rules a vector has. */
  blocks: 0,
  /** Vector of the rules without ports. */
  portless: 1,
  /** Two words for each dimension with an order: how many pieces, and where their starts are. Vectors follow the starts. */
  ports: 2,
  sources4: 4,
  sources6: 6,
  destinations4: 8,
  destinations6: 10,
  /** A vector for each direction, IP version and protocol. */
  protocols: 12,
  words: 12 + 1024,
} as const;
const SIGN = 1 << 31;

/** Words that grow. */
class Words {
  array = new Int32Array(1 << 12);
  length = 0;

  push(word: number): void {
    if (this.length === this.array.length) {
      const wider = new Int32Array(this.array.length * 2);
      wider.set(this.array);
      this.array = wider;
    }
    this.array[this.length++] = word;
  }
}

/** A set of rules, as bits. */
class RuleSet {
  readonly words: Int32Array;

  constructor(rules: number) {
    this.words = new Int32Array(Math.max(1, Math.ceil(rules / 1024)) * 32);
  }

  add(rule: number): void {
    this.words[rule >>> 5] |= 1 << (rule & 31);
  }

  delete(rule: number): void {
    this.words[rule >>> 5] &= ~(1 << (rule & 31));
  }
}

/** From `first` to before `behind` a rule matches. */
interface Span {
  readonly first: bigint;
  readonly behind: bigint;
}

export class AclIndexBuilder {
  readonly #words = new Words();

  /** Adds a list of rules. Returns where its head is. */
  add(rules: readonly AclRule[]): number {
    const words = this.#words;
    const head = words.length;
    for (let word = 0; word < HEAD.words; word++) words.push(0);
    const set = (at: number, value: number): void => void (words.array[head + at] = value);
    set(HEAD.blocks, new RuleSet(rules.length).words.length / 32);
    set(
      HEAD.portless,
      this.#vectorOf(rules, ({ ports }) => ports.length === 0),
    );
    const dimension = (at: number, width: 1 | 4, spansOf: (rule: AclRule) => Span[] | undefined): void => {
      const { starts, vectors } = this.#cut(rules.map(spansOf), 1n << BigInt(32 * width));
      set(at, starts.length);
      set(at + 1, words.length);
      for (const start of starts) pushAddress(words, start, width);
      for (const vector of vectors) words.push(vector);
    };
    dimension(HEAD.ports, 1, portSpans);
    dimension(HEAD.sources4, 1, ({ sources }) => prefixSpans(sources, 4));
    dimension(HEAD.sources6, 4, ({ sources }) => prefixSpans(sources, 6));
    dimension(HEAD.destinations4, 1, ({ destinations }) => prefixSpans(destinations, 4));
    dimension(HEAD.destinations6, 4, ({ destinations }) => prefixSpans(destinations, 6));
    this.#addProtocols(rules, head + HEAD.protocols);
    return head;
  }

  /** What was added, in shared memory. */
  finish(): Int32Array {
    const array = new Int32Array(new SharedArrayBuffer(this.#words.length * 4));
    array.set(this.#words.array.subarray(0, this.#words.length));
    return array;
  }

  #addProtocols(rules: readonly AclRule[], at: number): void {
    const named = new Set(rules.map(({ protocol }) => protocol));
    for (const direction of [IN, OUT]) {
      for (const version of [4, 6]) {
        const known = new Map<number, number>();
        for (let protocol = 0; protocol < 256; protocol++) {
          // All protocols that no rule names share a vector.
          const isNamed = named.has(protocol) || (protocol === PROTOCOL.icmpv6 && named.has(PROTOCOL.icmp));
          const key = isNamed ? protocol : -1;
          let vector = known.get(key);
          if (vector === undefined) {
            vector = this.#vectorOf(
              rules,
              (rule) =>
                matchesDirection(rule.direction, direction) && matchesProtocol(rule.protocol, version, protocol),
            );
            known.set(key, vector);
          }
          this.#words.array[at + protocolPlace(direction, version, protocol)] = vector;
        }
      }
    }
  }

  #vectorOf(rules: readonly AclRule[], holds: (rule: AclRule) => boolean): number {
    const set = new RuleSet(rules.length);
    for (const [number, rule] of rules.entries()) if (holds(rule)) set.add(number);
    return this.#addVector(set);
  }

  /** The pieces of a dimension, by the spans of each rule; undefined for everywhere. Nothing starts at `limit`. */
  #cut(spans: readonly (Span[] | undefined)[], limit: bigint): { starts: bigint[]; vectors: number[] } {
    const matching = new RuleSet(spans.length);
    const ends: { at: bigint; rule: number; step: 1 | -1 }[] = [];
    for (const [rule, list] of spans.entries()) {
      if (list === undefined) matching.add(rule);
      for (const { first, behind } of list ?? []) {
        ends.push({ at: first, rule, step: 1 }, { at: behind, rule, step: -1 });
      }
    }
    ends.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
    const starts: bigint[] = [];
    const vectors: number[] = [];
    // Spans of one rule may overlap.
    const open = new Int32Array(spans.length);
    let end = 0;
    let at = 0n;
    for (;;) {
      for (; end < ends.length && ends[end].at === at; end++) {
        const { rule, step } = ends[end];
        open[rule] += step;
        if (open[rule] > 0) matching.add(rule);
        else matching.delete(rule);
      }
      starts.push(at);
      vectors.push(this.#addVector(matching));
      if (end === ends.length || ends[end].at === limit) return { starts, vectors };
      at = ends[end].at;
    }
  }

  /** For each block its non-zero words, as bits, and where those are; then the words. */
  #addVector({ words: bits }: RuleSet): number {
    const words = this.#words;
    const vector = words.length;
    const blocks = bits.length / 32;
    for (let word = 0; word < 2 * blocks; word++) words.push(0);
    for (let block = 0; block < blocks; block++) {
      let present = 0;
      const at = words.length;
      for (let word = 0; word < 32; word++) {
        if (bits[block * 32 + word] === 0) continue;
        present |= 1 << word;
        words.push(bits[block * 32 + word]);
      }
      words.array[vector + 2 * block] = present;
      words.array[vector + 2 * block + 1] = at;
    }
    return vector;
  }
}

export class AclIndex {
  /** Rules that the last search compared with its packet, beyond the intersection of the vectors. */
  compared = 0;
  readonly #words: Int32Array;
  /** Words for each rule of all lists, of which this looks at ICMP's type and code. */
  readonly #rules: Int32Array;
  readonly #stride: number;

  constructor(words: Int32Array, rules: Int32Array, stride: number) {
    this.#words = words;
    this.#rules = rules;
    this.#stride = stride;
  }

  /**
   * The first rule that matches of the list whose head is at `head` and whose rules begin with number `first`; or -1. Hot
   * path.
   */
  find(head: number, first: number, direction: number, packet: Packet): number {
    const words = this.#words;
    const blocks = words[head + HEAD.blocks];
    const { version } = packet;
    const protocols = words[head + HEAD.protocols + protocolPlace(direction, version, packet.protocol)];
    const ports =
      packet.fragment !== FRAGMENT.later && hasPorts(packet.protocol)
        ? this.#piece(head + HEAD.ports, packet.dstPort)
        : words[head + HEAD.portless];
    const sources =
      version === 4
        ? this.#piece(head + HEAD.sources4, packet.src3)
        : this.#piece6(head + HEAD.sources6, packet.src0, packet.src1, packet.src2, packet.src3);
    const destinations =
      version === 4
        ? this.#piece(head + HEAD.destinations4, packet.dst3)
        : this.#piece6(head + HEAD.destinations6, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
    this.compared = 0;
    for (let block = 0; block < 2 * blocks; block += 2) {
      let present =
        words[protocols + block] & words[ports + block] & words[sources + block] & words[destinations + block];
      while (present !== 0) {
        const bit = present & -present;
        present ^= bit;
        let matching =
          this.#word(protocols + block, bit) &
          this.#word(ports + block, bit) &
          this.#word(sources + block, bit) &
          this.#word(destinations + block, bit);
        while (matching !== 0) {
          const lowest = matching & -matching;
          matching ^= lowest;
          const rule = first + (block << 9) + ((31 - Math.clz32(bit)) << 5) + (31 - Math.clz32(lowest));
          this.compared++;
          if (this.#matchesIcmp(rule, packet)) return rule;
        }
      }
    }
    return -1;
  }

  #matchesIcmp(rule: number, packet: Packet): boolean {
    const at = rule * this.#stride;
    const type = this.#rules[at];
    const code = this.#rules[at + 1];
    return (type === -1 || type === packet.icmpType) && (code === -1 || code === packet.icmpCode);
  }

  /** The word that `bit` stands for in one block of a vector. */
  #word(block: number, bit: number): number {
    const words = this.#words;
    return words[words[block + 1] + onesIn(words[block] & ((bit - 1) | 0))];
  }

  /** The vector at a value of one word: of the last piece that starts there or before. */
  #piece(dimension: number, value: number): number {
    const words = this.#words;
    const starts = words[dimension + 1];
    const sought = value ^ SIGN;
    let low = 0;
    let high = words[dimension] - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (words[starts + middle] <= sought) low = middle;
      else high = middle - 1;
    }
    return words[starts + words[dimension] + low];
  }

  #piece6(dimension: number, w0: number, w1: number, w2: number, w3: number): number {
    const words = this.#words;
    const starts = words[dimension + 1];
    const s0 = w0 ^ SIGN;
    const s1 = w1 ^ SIGN;
    const s2 = w2 ^ SIGN;
    const s3 = w3 ^ SIGN;
    let low = 0;
    let high = words[dimension] - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const at = starts + (middle << 2);
      const isBefore =
        words[at] !== s0
          ? words[at] < s0
          : words[at + 1] !== s1
            ? words[at + 1] < s1
            : words[at + 2] !== s2
              ? words[at + 2] < s2
              : words[at + 3] <= s3;
      if (isBefore) low = middle;
      else high = middle - 1;
    }
    return words[starts + (words[dimension] << 2) + low];
  }
}

function protocolPlace(direction: number, version: number, protocol: number): number {
  return (direction << 9) | (version === 6 ? 256 : 0) | protocol;
}

function matchesDirection(wanted: AclRule['direction'], direction: number): boolean {
  return wanted === 'both' || wanted === (direction === IN ? 'in' : 'out');
}

function matchesProtocol(wanted: number, version: number, protocol: number): boolean {
  if (wanted === -1 || wanted === protocol) return true;
  return wanted === PROTOCOL.icmp && version === 6 && protocol === PROTOCOL.icmpv6;
}

function hasPorts(protocol: number): boolean {
  return (
    protocol === PROTOCOL.tcp ||
    protocol === PROTOCOL.udp ||
    protocol === PROTOCOL.udplite ||
    protocol === PROTOCOL.sctp ||
    protocol === PROTOCOL.dccp
  );
}

function portSpans({ ports }: AclRule): Span[] | undefined {
  if (ports.length === 0) return undefined;
  return ports.map(([from, to]) => ({ first: BigInt(from), behind: BigInt(to) + 1n }));
}

function prefixSpans(prefixes: readonly AclPrefix[], family: 4 | 6): Span[] | undefined {
  if (prefixes.length === 0) return undefined;
  const width = family === 4 ? 32 : 128;
  return prefixes
    .filter((prefix) => prefix.family === family)
    .map(({ address, bits }) => {
      const whole = address.reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n);
      const host = BigInt(width - bits);
      const first = (whole >> host) << host;
      return { first, behind: first + (1n << host) };
    });
}

/** Signs are turned over, so that int32s compare as the addresses do. What lies behind the last address starts nothing. */
function pushAddress(words: Words, address: bigint, width: 1 | 4): void {
  for (let word = width - 1; word >= 0; word--) words.push(Number((address >> BigInt(32 * word)) & 0xffffffffn) ^ SIGN);
}

/** How many bits are set. */
function onesIn(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
