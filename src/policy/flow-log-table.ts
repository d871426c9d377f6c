import { mix, scramble } from './hash.ts';
import { TCP_FLAG, type Packet } from '../wire/packet.ts';

/**
 * What one thread has seen, by flow, direction, peer and verdict, until its reader takes it: the stuff of flow logs.
 *
 * A table has one writer. Its entries stand one behind the other in the order in which they were begun, so that a reader
 * walks them in slices and clearing is cheap; an index of hashes finds an entry. A packet for which there is no room is
 * counted as skipped, so recorded and skipped packets together are all that were seen.
 */

/** Only typed arrays over `SharedArrayBuffer`s: posted to a worker without a copy. */
export interface FlowLogData {
  /** Two words for each slot: the hash, and the entry's number from 1, or 0. */
  readonly index: Int32Array;
  /** `FLOW_ENTRY.words` for each entry. */
  readonly entries: Int32Array;
  /** Packets and bytes of each entry. */
  readonly sums: Float64Array;
  /** Packets and bytes for which there was no room. */
  readonly skipped: Float64Array;
  /** `FLOW_LOG_STATE` words. */
  readonly state: Int32Array;
}

/** Words of an entry: one cache line. The first eleven are its key; of an IPv4 key only the first five count. */
export const FLOW_ENTRY = {
  /** IP version in 4 bits, protocol in 8, direction in 1, `DROP` number in 8: 0 for what may pass. */
  kind: 0,
  /** The peer's slot, or -1 where none is known. */
  peer: 1,
  /** Source port in the upper half, destination port in the lower. */
  ports: 2,
  /** Word 3 of both addresses; then, of IPv6, words 2, 1 and 0, source first. */
  source: 3,
  destination: 4,
  upper: 5,
  /** FIN 1, SYN 2, RST 4, SYN-ACK 18, of all its packets. */
  tcpFlags: 11,
  /** Number of the rule that decided last, or -1. */
  rule: 12,
  /** Seconds of the first and the last packet, of the writer's clock. */
  first: 13,
  last: 14,
  words: 16,
} as const;

export const FLOW_LOG_STATE = {
  /** Entries in use. Written last, so that every entry below is whole. */
  count: 0,
  /** 1 once its writer has let go of it. */
  released: 1,
  /** Mixed into each hash, so that nobody outside can choose what collides. */
  seed: 2,
  words: 3,
} as const;

const KEY_WORDS_IPV4 = 5;
const KEY_WORDS_IPV6 = 11;
const PROTOCOL_SHIFT = 4;
const DIRECTION_SHIFT = 12;
const REASON_SHIFT = 13;
/** Slots looked at before an entry counts as one for which there is no room. */
const PROBES = 32;
/** AWS records the ACK of a SYN-ACK only; URG and PSH are not recorded. */
const PLAIN_FLAGS = TCP_FLAG.fin | TCP_FLAG.syn | TCP_FLAG.rst;

/** Room for `capacity` entries, a power of two, at 96 bytes each: memory that is not used is not taken. */
export function createFlowLogTable(capacity: number, seed: number): FlowLogData {
  const words = (count: number) => new Int32Array(new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT));
  const numbers = (count: number) => new Float64Array(new SharedArrayBuffer(count * Float64Array.BYTES_PER_ELEMENT));
  const data = {
    index: words(capacity * 4),
    entries: words(capacity * FLOW_ENTRY.words),
    sums: numbers(capacity * 2),
    skipped: numbers(2),
    state: words(FLOW_LOG_STATE.words),
  };
  data.state[FLOW_LOG_STATE.seed] = seed;
  return data;
}

/** The direction, IN or OUT, in the first word of an entry. */
export function directionOf(kind: number): number {
  return (kind >>> DIRECTION_SHIFT) & 1;
}

/** The `DROP` number in the first word of an entry, 0 for what may pass. */
export function reasonOf(kind: number): number {
  return (kind >>> REASON_SHIFT) & 255;
}

/** The protocol in the first word of an entry. */
export function protocolOf(kind: number): number {
  return (kind >>> PROTOCOL_SHIFT) & 255;
}

/** The IP version in the first word of an entry. */
export function versionOf(kind: number): number {
  return kind & 15;
}

/** The writer of a table that was just made or cleared; or one that looks entries up. */
export class FlowLogTable {
  readonly #index: Int32Array;
  readonly #entries: Int32Array;
  readonly #sums: Float64Array;
  readonly #skipped: Float64Array;
  readonly #state: Int32Array;
  readonly #slotMask: number;
  readonly #capacity: number;
  readonly #seed: number;
  /** What is looked for. */
  readonly #key = new Int32Array(KEY_WORDS_IPV6);
  #length = 0;
  /** Where the entry stands that was found last, or -1: in bulk traffic it is the next one too. */
  #at = -1;

  constructor(data: FlowLogData) {
    this.#index = data.index;
    this.#entries = data.entries;
    this.#sums = data.sums;
    this.#skipped = data.skipped;
    this.#state = data.state;
    this.#slotMask = data.index.length / 2 - 1;
    this.#capacity = data.sums.length / 2;
    this.#seed = data.state[FLOW_LOG_STATE.seed];
  }

  /**
   * Adds `count` packets of `bytes` in all, which `packet` stands for. `peer` is a slot or -1, `reason` a `DROP` number or
   * 0, `rule` the number of the rule that decided or -1. Hot path: allocates nothing, throws nothing.
   */
  add(
    packet: Packet,
    peer: number,
    direction: number,
    reason: number,
    rule: number,
    count: number,
    bytes: number,
    seconds: number,
  ): void {
    const key = this.#key;
    key[FLOW_ENTRY.kind] =
      packet.version | (packet.protocol << PROTOCOL_SHIFT) | (direction << DIRECTION_SHIFT) | (reason << REASON_SHIFT);
    key[FLOW_ENTRY.peer] = peer;
    key[FLOW_ENTRY.ports] = (packet.srcPort << 16) | packet.dstPort;
    key[FLOW_ENTRY.source] = packet.src3;
    key[FLOW_ENTRY.destination] = packet.dst3;
    this.#length = KEY_WORDS_IPV4;
    if (packet.version === 6) {
      key[FLOW_ENTRY.upper] = packet.src2;
      key[FLOW_ENTRY.upper + 1] = packet.dst2;
      key[FLOW_ENTRY.upper + 2] = packet.src1;
      key[FLOW_ENTRY.upper + 3] = packet.dst1;
      key[FLOW_ENTRY.upper + 4] = packet.src0;
      key[FLOW_ENTRY.upper + 5] = packet.dst0;
      this.#length = KEY_WORDS_IPV6;
    }
    const flags = packet.tcpFlags;
    const plain = flags & PLAIN_FLAGS;
    const recorded = (plain & TCP_FLAG.syn) !== 0 ? plain | (flags & TCP_FLAG.ack) : plain;
    this.#count(recorded, rule, seconds, seconds, count, bytes);
  }

  /** Adds the entry `number` of another table. */
  absorb(other: FlowLogData, number: number): void {
    const at = number * FLOW_ENTRY.words;
    const { entries, sums } = other;
    this.#take(other, number);
    this.#count(
      entries[at + FLOW_ENTRY.tcpFlags],
      entries[at + FLOW_ENTRY.rule],
      entries[at + FLOW_ENTRY.first],
      entries[at + FLOW_ENTRY.last],
      sums[number * 2],
      sums[number * 2 + 1],
    );
  }

  /** The number of the entry with the key of entry `number` of another table, or -1. */
  find(other: FlowLogData, number: number): number {
    this.#take(other, number);
    const at = this.#locate(false);
    return at < 0 ? -1 : at / FLOW_ENTRY.words;
  }

  #take({ entries }: FlowLogData, number: number): void {
    const at = number * FLOW_ENTRY.words;
    for (let word = 0; word < KEY_WORDS_IPV6; word++) this.#key[word] = entries[at + word];
    this.#length = versionOf(this.#key[FLOW_ENTRY.kind]) === 6 ? KEY_WORDS_IPV6 : KEY_WORDS_IPV4;
  }

  #count(flags: number, rule: number, first: number, last: number, count: number, bytes: number): void {
    const at = this.#at >= 0 && this.#holdsKey(this.#at) ? this.#at : this.#locate(true);
    if (at < 0) {
      this.#skipped[0] += count;
      this.#skipped[1] += bytes;
      return;
    }
    this.#at = at;
    const entries = this.#entries;
    const sum = (at / FLOW_ENTRY.words) * 2;
    if (this.#sums[sum] === 0) {
      entries[at + FLOW_ENTRY.tcpFlags] = flags;
      entries[at + FLOW_ENTRY.rule] = rule;
      entries[at + FLOW_ENTRY.first] = first;
      entries[at + FLOW_ENTRY.last] = last;
    } else {
      entries[at + FLOW_ENTRY.tcpFlags] |= flags;
      if (rule >= 0) entries[at + FLOW_ENTRY.rule] = rule;
      if (first < entries[at + FLOW_ENTRY.first]) entries[at + FLOW_ENTRY.first] = first;
      if (last > entries[at + FLOW_ENTRY.last]) entries[at + FLOW_ENTRY.last] = last;
    }
    this.#sums[sum] += count;
    this.#sums[sum + 1] += bytes;
  }

  /** Where the entry of the key stands, begun if it isn't there and `create` says so; -1 if there is none. */
  #locate(create: boolean): number {
    const index = this.#index;
    const hash = this.#hash();
    for (let probe = 0; probe < PROBES; probe++) {
      const slot = ((hash + probe) & this.#slotMask) * 2;
      const number = index[slot + 1];
      if (number === 0) return create ? this.#begin(slot, hash) : -1;
      const at = (number - 1) * FLOW_ENTRY.words;
      if (index[slot] === hash && this.#holdsKey(at)) return at;
    }
    return -1;
  }

  #begin(slot: number, hash: number): number {
    const number = this.#state[FLOW_LOG_STATE.count];
    if (number === this.#capacity) return -1;
    const at = number * FLOW_ENTRY.words;
    for (let word = 0; word < KEY_WORDS_IPV6; word++) {
      this.#entries[at + word] = word < this.#length ? this.#key[word] : 0;
    }
    this.#sums[number * 2] = 0;
    this.#sums[number * 2 + 1] = 0;
    this.#index[slot] = hash;
    this.#index[slot + 1] = number + 1;
    Atomics.store(this.#state, FLOW_LOG_STATE.count, number + 1);
    return at;
  }

  #holdsKey(at: number): boolean {
    const entries = this.#entries;
    const key = this.#key;
    for (let word = 0; word < this.#length; word++) if (entries[at + word] !== key[word]) return false;
    return true;
  }

  #hash(): number {
    const key = this.#key;
    let hash = this.#seed;
    for (let word = 0; word < this.#length; word++) hash = mix(hash, key[word]);
    return scramble(hash);
  }
}

/** Forgets all entries. The table must have no writer. */
export function clearFlowLogTable(data: FlowLogData): void {
  if (data.state[FLOW_LOG_STATE.count] > 0) data.index.fill(0);
  data.skipped.fill(0);
  data.state[FLOW_LOG_STATE.count] = 0;
  data.state[FLOW_LOG_STATE.released] = 0;
}
