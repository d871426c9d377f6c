/**
 * A live trace: what a data-plane thread decided, packet by packet, for those that match a filter, while somebody looks. A
 * ring in shared memory for each thread, which alone writes it; the main thread reads. What finds no room is counted.
 */
import { isProtocol, type Packet } from '../wire/packet.ts';

/** What to look for. -1 for any number; an absent address is any. Both directions of a flow match. */
export interface LiveFilter {
  readonly protocol: number;
  /** The source's or the destination's. */
  readonly port: number;
  /** Four words, as `Packet` has them. */
  readonly source: readonly number[] | undefined;
  readonly destination: readonly number[] | undefined;
}

export interface LiveTraceData {
  readonly filter: LiveFilter;
  /** `HEAD`, then records. */
  readonly words: Int32Array<SharedArrayBuffer>;
}

/** One decision, for `count` packets of a flow that were carried as one. */
export interface LiveEvent {
  /** Slot of the peer that the packet came from, -1 for the local VPC. */
  readonly from: number;
  /** Where its route leads, as `Verdict.target` has it. */
  readonly target: number;
  /** A `DROP` number, 0 if it passed. */
  readonly reason: number;
  /** The rule that decided, or -1. */
  readonly rule: number;
  readonly count: number;
  readonly version: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly tcpFlags: number;
  readonly icmpType: number;
  readonly source: readonly number[];
  readonly destination: readonly number[];
}

const HEAD = { written: 0, taken: 1, lost: 2, words: 16 } as const;
const RECORD_WORDS = 20;
const RECORDS = 1024;
const ADDRESS = 11;

/** A ring for one thread. */
export function createLiveTrace(filter: LiveFilter): LiveTraceData {
  const words = HEAD.words + RECORDS * RECORD_WORDS;
  return { filter, words: new Int32Array(new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT)) };
}

/** The writing end. Hot path: allocates nothing. */
export class LiveTrace {
  #words: Int32Array | undefined;
  #protocol = -1;
  #port = -1;
  readonly #source = new Int32Array(4);
  readonly #destination = new Int32Array(4);
  #anySource = true;
  #anyDestination = true;

  /** Writes from now on into this ring; undefined: nowhere. */
  use(data: LiveTraceData | undefined): void {
    this.#words = data?.words;
    if (data === undefined) return;
    const { protocol, port, source, destination } = data.filter;
    this.#protocol = protocol;
    this.#port = port;
    this.#anySource = source === undefined;
    this.#anyDestination = destination === undefined;
    if (source !== undefined) this.#source.set(source);
    if (destination !== undefined) this.#destination.set(destination);
  }

  note(packet: Packet, from: number, target: number, reason: number, rule: number, count: number): void {
    const words = this.#words;
    if (words === undefined || !this.#matches(packet)) return;
    const written = words[HEAD.written];
    if (written - Atomics.load(words, HEAD.taken) >= RECORDS) {
      words[HEAD.lost]++;
      return;
    }
    const at = HEAD.words + (written % RECORDS) * RECORD_WORDS;
    words[at] = from;
    words[at + 1] = target;
    words[at + 2] = reason;
    words[at + 3] = rule;
    words[at + 4] = count;
    words[at + 5] = packet.version;
    words[at + 6] = packet.protocol;
    words[at + 7] = packet.srcPort;
    words[at + 8] = packet.dstPort;
    words[at + 9] = packet.tcpFlags;
    words[at + 10] = packet.icmpType;
    words[at + ADDRESS] = packet.src0;
    words[at + ADDRESS + 1] = packet.src1;
    words[at + ADDRESS + 2] = packet.src2;
    words[at + ADDRESS + 3] = packet.src3;
    words[at + ADDRESS + 4] = packet.dst0;
    words[at + ADDRESS + 5] = packet.dst1;
    words[at + ADDRESS + 6] = packet.dst2;
    words[at + ADDRESS + 7] = packet.dst3;
    Atomics.store(words, HEAD.written, written + 1);
  }

  #matches(packet: Packet): boolean {
    if (this.#protocol >= 0 && !isProtocol(this.#protocol, packet.protocol)) return false;
    if (this.#port >= 0 && this.#port !== packet.dstPort && this.#port !== packet.srcPort) return false;
    return (
      (this.#isSource(packet.src0, packet.src1, packet.src2, packet.src3) &&
        this.#isDestination(packet.dst0, packet.dst1, packet.dst2, packet.dst3)) ||
      (this.#isSource(packet.dst0, packet.dst1, packet.dst2, packet.dst3) &&
        this.#isDestination(packet.src0, packet.src1, packet.src2, packet.src3))
    );
  }

  #isSource(w0: number, w1: number, w2: number, w3: number): boolean {
    const words = this.#source;
    return this.#anySource || (words[3] === w3 && words[2] === w2 && words[1] === w1 && words[0] === w0);
  }

  #isDestination(w0: number, w1: number, w2: number, w3: number): boolean {
    const words = this.#destination;
    return this.#anyDestination || (words[3] === w3 && words[2] === w2 && words[1] === w1 && words[0] === w0);
  }
}

/** The reading end: what was written since it was last asked, oldest first, and how much was lost in all. */
export function takeLiveEvents({ words }: LiveTraceData): { events: LiveEvent[]; lost: number } {
  const events: LiveEvent[] = [];
  const written = Atomics.load(words, HEAD.written);
  for (let number = words[HEAD.taken]; number < written; number++) {
    const at = HEAD.words + (number % RECORDS) * RECORD_WORDS;
    events.push({
      from: words[at],
      target: words[at + 1],
      reason: words[at + 2],
      rule: words[at + 3],
      count: words[at + 4],
      version: words[at + 5],
      protocol: words[at + 6],
      sourcePort: words[at + 7],
      destinationPort: words[at + 8],
      tcpFlags: words[at + 9],
      icmpType: words[at + 10],
      source: [...words.subarray(at + ADDRESS, at + ADDRESS + 4)],
      destination: [...words.subarray(at + ADDRESS + 4, at + ADDRESS + 8)],
    });
  }
  Atomics.store(words, HEAD.taken, written);
  return { events, lost: words[HEAD.lost] };
}
