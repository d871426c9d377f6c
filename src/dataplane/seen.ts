/**
 * What a data-plane thread has seen, noted for flow logs and `isthmus flows` while anybody wants it. The main thread
 * gives a table, and takes it by giving another.
 */
import { FLOW_LOG_STATE, FlowLogTable } from '../policy/flow-log-table.ts';
import type { FlowLogData } from '../policy/flow-log-table.ts';
import type { Packet } from '../wire/packet.ts';

export class Seen {
  readonly #direction: number;
  #data: FlowLogData | undefined;
  #table: FlowLogTable | undefined;
  #ruleBase = -1;

  /** `direction`: IN or OUT, that of all packets of the thread. */
  constructor(direction: number) {
    this.#direction = direction;
  }

  /** Lets go of the present table, and writes into this one, or, without one, nowhere. */
  use(data: FlowLogData | undefined): void {
    if (this.#data !== undefined) Atomics.store(this.#data.state, FLOW_LOG_STATE.released, 1);
    this.#data = data;
    this.#table = data === undefined ? undefined : new FlowLogTable(data);
  }

  /** What is added to the numbers of rules; -1: rules are not known. */
  countRulesFrom(base: number): void {
    this.#ruleBase = base;
  }

  /**
   * Notes `count` packets, `bytes` in all, which `packet` stands for. `peer` is a slot or -1, `reason` a `DROP` number or
   * 0, `rule` the number of the rule that decided or -1, `seconds` whole ones of the thread's clock. Hot path.
   */
  note(
    packet: Packet,
    peer: number,
    reason: number,
    rule: number,
    count: number,
    bytes: number,
    seconds: number,
  ): void {
    if (this.#table === undefined) return;
    const known = rule < 0 || this.#ruleBase < 0 ? -1 : rule + this.#ruleBase;
    this.#table.add(packet, peer, this.#direction, reason, known, count, bytes, seconds);
  }
}
