/** The two data-plane threads: starting them, giving orders, hearing reports, ending them. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { closeFd, createWake, wake } from '../nic/native.ts';
import type { TransitRing } from '../nic/index.ts';
import type { Tun } from '../nic/native.ts';
import { COUNTER, createCounters, rowOf } from '../dataplane/counters.ts';
import type { Counters } from '../dataplane/counters.ts';
import { SHARED } from '../dataplane/messages.ts';
import type { InboundOrder, OutboundOrder, Report } from '../dataplane/messages.ts';
import type { WorkerData } from '../dataplane/worker.ts';
import type { ThreadStatus } from './status.ts';
import { threadSeconds } from './vitals.ts';

type Direction = WorkerData['direction'];

/** One thread, its counters, and the memory it shares. */
export class DataThread<Order extends OutboundOrder | InboundOrder> {
  readonly counters: Counters = createCounters();
  readonly shared = new Int32Array(new SharedArrayBuffer(SHARED.words * Int32Array.BYTES_PER_ELEMENT));
  readonly #direction: Direction;
  readonly #worker: Worker;
  readonly wakeFd = createWake();
  #ended = false;
  #tid = 0;
  #asked = 0;
  #held: Order[] | undefined;

  /**
   * `ring` is what the two threads of a tunnel share, `outboundWakeFd` the outbound one's, which is made first. `failed`
   * hears of the thread's end, unless it was ordered.
   */
  constructor(
    direction: Direction,
    tun: Tun,
    capture: string,
    ring: TransitRing,
    outboundWakeFd: number | undefined,
    report: (report: Report) => void,
    failed: (error: Error) => void,
  ) {
    this.#direction = direction;
    const { counters, shared, wakeFd } = this;
    const wake = { wakeFd, outboundWakeFd: outboundWakeFd ?? wakeFd };
    const workerData: WorkerData = { direction, tun, ...wake, counters, shared, ring, capture };
    this.#worker = new Worker(new URL('../dataplane/worker.js', import.meta.url), { workerData, name: direction });
    this.#worker.on('message', report);
    this.#worker.on('error', (error: Error) => failed(error));
    this.#worker.on('exit', (code) => {
      if (!this.#ended) failed(new Error(`the ${direction} thread ended with code ${code}`));
      this.#ended = true;
    });
  }

  /** Resolves when the thread takes orders. */
  async ready(): Promise<void> {
    const [report] = (await once(this.#worker, 'message')) as [Report];
    if (report.type === 'ready') this.#tid = report.tid;
  }

  /** What the thread has done since its start. */
  status(): ThreadStatus {
    const row = rowOf(-1);
    return {
      name: this.#direction,
      cpu_s: threadSeconds(this.#tid),
      batches: this.counters[row + COUNTER.batches],
      batch_entries: this.counters[row + COUNTER.packets],
    };
  }

  /** Gives an order, or several that take effect between the same two batches. */
  order(order: Order | Order[]): void {
    if (this.#ended) return;
    if (this.#held !== undefined) {
      this.#held.push(...(Array.isArray(order) ? order : [order]));
      return;
    }
    this.#worker.postMessage(order);
    this.#call();
  }

  /**
   * Whether the thread has looked for orders since the last call of this. Asks it to look again, with no order, so that
   * it can say so to the next.
   */
  hasLooked(): boolean {
    const looked = (Atomics.load(this.shared, SHARED.obeyed) - this.#asked) | 0;
    if (!this.#ended) this.#asked = this.#call();
    return !this.#ended && looked >= 0;
  }

  /** Has the thread look for orders. Returns the count that it will have seen then. */
  #call(): number {
    const count = (Atomics.add(this.shared, SHARED.orders, 1) + 1) | 0;
    Atomics.notify(this.shared, SHARED.orders);
    wake(this.wakeFd);
    return count;
  }

  /** Keeps what is ordered from now on until `release`, with which all of it takes effect at once. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    if (held.length > 0) this.order(held);
  }

  /** Ends the thread after its present batch. */
  async end(): Promise<void> {
    if (!this.#ended) {
      const exit = once(this.#worker, 'exit');
      this.order({ type: 'stop' } as Order);
      this.#ended = true;
      await exit;
    }
    closeFd(this.wakeFd);
  }
}
