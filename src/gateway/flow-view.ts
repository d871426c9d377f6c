/** An entry of a flow log table in the words of people. */
import { FLOW_ENTRY, directionOf, protocolOf, reasonOf, versionOf } from '../policy/flow-log-table.ts';
import type { FlowLogData } from '../policy/flow-log-table.ts';
import { IN } from '../policy/direction.ts';
import { DROP_REASONS } from '../wire/drop.ts';
import type { DropReason } from '../wire/drop.ts';
import { formatAddress } from '../wire/endpoint.ts';

/** What one direction of a flow did at one peering, with one verdict. */
export interface SeenFlow {
  readonly version: 4 | 6;
  readonly protocol: number;
  /** `in` from the peer, `out` to it. */
  readonly direction: 'in' | 'out';
  readonly source: string;
  readonly destination: string;
  /** 0 where the protocol has none, and in later fragments. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Undefined for what was routed to none. */
  readonly peering: string | undefined;
  /** `none` for what passed. */
  readonly reason: DropReason;
  /** The rule that decided, if one did: what belongs to a flow needs none. */
  readonly rule: string | undefined;
  /** FIN 1, SYN 2, RST 4, SYN-ACK 18, of all packets. */
  readonly tcpFlags: number;
  readonly packets: number;
  /** Bytes of the IP packets. */
  readonly bytes: number;
  /** Unix seconds of the first and the last packet. */
  readonly first: number;
  readonly last: number;
}

/** What the numbers of a table mean. */
export interface FlowNames {
  /** Seconds from the data plane's clock to the wall clock. */
  readonly clockOffset: number;
  peering(slot: number): string | undefined;
  rule(number: number): string | undefined;
}

/** One entry after the other, seen in an interval from `start` to `end` in Unix seconds. */
export class FlowView implements SeenFlow {
  readonly #names: FlowNames;
  readonly #start: number;
  readonly #end: number;
  #data!: FlowLogData;
  #number = 0;

  constructor(names: FlowNames, start: number, end: number) {
    this.#names = names;
    this.#start = start;
    this.#end = end;
  }

  /** Turns to an entry; what was read before is not valid any more. */
  of(data: FlowLogData, number: number): this {
    this.#data = data;
    this.#number = number;
    return this;
  }

  get version(): 4 | 6 {
    return versionOf(this.#word(FLOW_ENTRY.kind)) === 6 ? 6 : 4;
  }

  get protocol(): number {
    return protocolOf(this.#word(FLOW_ENTRY.kind));
  }

  get direction(): 'in' | 'out' {
    return directionOf(this.#word(FLOW_ENTRY.kind)) === IN ? 'in' : 'out';
  }

  get source(): string {
    return this.#address(0);
  }

  get destination(): string {
    return this.#address(1);
  }

  get sourcePort(): number {
    return this.#word(FLOW_ENTRY.ports) >>> 16;
  }

  get destinationPort(): number {
    return this.#word(FLOW_ENTRY.ports) & 0xffff;
  }

  get peering(): string | undefined {
    return this.#names.peering(this.#word(FLOW_ENTRY.peer));
  }

  get reason(): DropReason {
    return DROP_REASONS[reasonOf(this.#word(FLOW_ENTRY.kind))];
  }

  get rule(): string | undefined {
    const rule = this.#word(FLOW_ENTRY.rule);
    return rule < 0 ? undefined : this.#names.rule(rule);
  }

  get tcpFlags(): number {
    return this.#word(FLOW_ENTRY.tcpFlags);
  }

  get packets(): number {
    return this.#data.sums[this.#number * 2];
  }

  get bytes(): number {
    return this.#data.sums[this.#number * 2 + 1];
  }

  get first(): number {
    return this.#time(this.#word(FLOW_ENTRY.first));
  }

  get last(): number {
    return this.#time(this.#word(FLOW_ENTRY.last));
  }

  #word(word: number): number {
    return this.#data.entries[this.#number * FLOW_ENTRY.words + word];
  }

  /** Whole seconds of two clocks: what they are apart by rounding must not lead out of the interval. */
  #time(seconds: number): number {
    const time = Math.round(seconds + this.#names.clockOffset);
    return Math.min(this.#end, Math.max(this.#start, time));
  }

  /** `end`: 0 for the source, 1 for the destination. */
  #address(end: 0 | 1): string {
    const last = this.#word(FLOW_ENTRY.source + end);
    if (this.version === 4) return formatAddress([0, 0, 0xffff, last]);
    const [w2, w1, w0] = [0, 2, 4].map((pair) => this.#word(FLOW_ENTRY.upper + pair + end));
    return formatAddress([w0, w1, w2, last]);
  }
}
