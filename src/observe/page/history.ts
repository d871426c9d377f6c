/** What a row of statuses tells that a single one does not: how fast each count goes up. */
import type { GatewayStatus } from '../../gateway/status.ts';

/** Bits per second on the underlay, oldest first. */
export interface Series {
  readonly rx: number[];
  readonly tx: number[];
}

export class History {
  readonly #length: number;
  readonly #peers = new Map<string, Series>();
  readonly #dropRates = new Map<string, number>();
  readonly #busy = new Map<string, number>();
  /** All peers together. */
  readonly total: Series = { rx: [], tx: [] };
  /** Drops a second, for all reasons. */
  readonly drops: number[] = [];
  #last: { readonly status: GatewayStatus; readonly at: number } | undefined;

  /** `length`: how many statuses back it goes. */
  constructor(length: number) {
    this.#length = length;
  }

  /** `at`: when the status was read, in ms of a clock that never goes back. */
  add(status: GatewayStatus, at: number): void {
    const last = this.#last;
    this.#last = { status, at };
    // A gateway that was started anew counts from 0.
    if (last === undefined || status.uptime_s + 1 < last.status.uptime_s) return;
    const seconds = (at - last.at) / 1000;
    if (seconds <= 0) return;
    const sum = { rx: 0, tx: 0 };
    for (const peer of status.peers) {
      const before = last.status.peers.find(({ name }) => name === peer.name);
      const rx = (rise(peer.rx_bytes, before?.rx_bytes) * 8) / seconds;
      const tx = (rise(peer.tx_bytes, before?.tx_bytes) * 8) / seconds;
      sum.rx += rx;
      sum.tx += tx;
      const series = this.#peers.get(peer.name) ?? { rx: [], tx: [] };
      this.#peers.set(peer.name, series);
      this.#push(series.rx, rx);
      this.#push(series.tx, tx);
    }
    const names = new Set(status.peers.map(({ name }) => name));
    for (const name of this.#peers.keys()) if (!names.has(name)) this.#peers.delete(name);
    this.#push(this.total.rx, sum.rx);
    this.#push(this.total.tx, sum.tx);
    let drops = 0;
    for (const [reason, count] of Object.entries(status.all_drops)) {
      const rate = rise(count, last.status.all_drops[reason]) / seconds;
      this.#dropRates.set(reason, rate);
      drops += rate;
    }
    this.#push(this.drops, drops);
    for (const { name, cpu_s } of status.threads) {
      const before = last.status.threads.find((thread) => thread.name === name);
      this.#busy.set(name, Math.min(1, rise(cpu_s, before?.cpu_s) / seconds));
    }
  }

  /** Of a peer; empty before the second status. */
  of(peer: string): Series {
    return this.#peers.get(peer) ?? { rx: [], tx: [] };
  }

  /** Drops a second for one reason. */
  dropRate(reason: string): number {
    return this.#dropRates.get(reason) ?? 0;
  }

  /** The share of a core that a thread uses, 0 to 1. */
  busy(thread: string): number {
    return this.#busy.get(thread) ?? 0;
  }

  #push(series: number[], value: number): void {
    series.push(value);
    if (series.length > this.#length) series.shift();
  }
}

/** The present end of a series; 0 of an empty one. */
export function latest(series: readonly number[]): number {
  return series.at(-1) ?? 0;
}

/** How much a count went up: one that is new, or was set back, did not. */
function rise(now: number, before: number | undefined): number {
  return before === undefined ? 0 : Math.max(0, now - before);
}
