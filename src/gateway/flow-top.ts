/** The flows that carry most, out of what the data plane noted lately: what `isthmus flows` and `GET /v1/flows` show. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FLOW_ENTRY, FLOW_LOG_STATE, FlowLogTable, protocolOf, versionOf } from '../policy/flow-log-table.ts';
import type { FlowLogData } from '../policy/flow-log-table.ts';
import type { Prefix } from '../routing/prefix.ts';
import type { DropReason } from '../wire/drop.ts';
import { isProtocol } from '../wire/packet.ts';
import { FlowView } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

export { isProtocol };

/** What both threads noted from `start` on, in Unix seconds. */
export interface FlowTables {
  readonly outbound: FlowLogData;
  readonly inbound: FlowLogData;
  start: number;
}

export const FLOW_ORDERS = ['bytes', 'packets', 'rate'] as const;

export interface FlowQuery {
  readonly sort: (typeof FLOW_ORDERS)[number];
  /** How many flows to show, and how many that come before them to leave out. */
  readonly limit: number;
  readonly cursor: number;
  readonly peering?: string | undefined;
  /** Holds the source or the destination. */
  readonly address?: Prefix | undefined;
  /** The source's or the destination's. */
  readonly port?: number | undefined;
  readonly protocol?: number | undefined;
}

/** The JSON of a flow in one direction. */
export interface FlowRow {
  readonly peering: string | null;
  readonly direction: 'in' | 'out';
  /** IP protocol number. */
  readonly protocol: number;
  readonly source: string;
  readonly source_port: number;
  readonly destination: string;
  readonly destination_port: number;
  readonly action: 'accept' | 'reject';
  /** Null for what passed. */
  readonly drop_reason: DropReason | null;
  readonly rule: string | null;
  readonly packets: number;
  readonly bytes: number;
  /** Bits per second, since its first packet. */
  readonly rate_bps: number;
  /** Unix seconds. */
  readonly first: number;
  readonly last: number;
}

/** The JSON of `isthmus flows --json`. */
export interface FlowsAnswer {
  /** Seconds for which flows have been noted: what was before is not counted. At most two minutes. */
  readonly watched_s: number;
  /** Flows that the question fits, and the sums of them. */
  readonly matched: number;
  readonly packets: number;
  readonly bytes: number;
  /** Packets of flows for which there was no room. */
  readonly skipped_packets: number;
  readonly flows: readonly FlowRow[];
  /** The cursor of what comes next, null at the end. */
  readonly next: number | null;
}

/** As far as a cursor goes: an answer takes memory for all flows before its end. */
export const MAX_RANK = 10_000;
/** Entries that are looked at in one go: about a millisecond. */
const SLICE = 5000;

interface Candidate {
  readonly rank: number;
  readonly row: FlowRow;
}

/**
 * Answers from the present tables and those before them, which are added up. `tables`: newest first. `now`: Unix seconds.
 * Other work gets its turn in between; `isStale` tells whether a table was cleared meanwhile, which makes it begin again.
 */
export async function topFlows(
  tables: readonly FlowTables[],
  names: FlowNames,
  query: FlowQuery,
  now: number,
  isStale: () => boolean,
): Promise<FlowsAnswer | undefined> {
  const search = new Search(names, query, now, tables.at(-1)?.start ?? now);
  for (const direction of ['outbound', 'inbound'] as const) {
    const newest = tables[0][direction];
    const before = tables.at(1)?.[direction];
    const earlier = before === undefined ? undefined : { data: before, table: new FlowLogTable(before) };
    const later = { data: newest, table: new FlowLogTable(newest) };
    for (let from = 0; from < countOf(newest); from += SLICE) {
      search.scan(newest, from, Math.min(countOf(newest), from + SLICE), earlier, true);
      await nextTurn();
      if (isStale()) return undefined;
    }
    if (before === undefined) continue;
    for (let from = 0; from < countOf(before); from += SLICE) {
      search.scan(before, from, Math.min(countOf(before), from + SLICE), later, false);
      await nextTurn();
      if (isStale()) return undefined;
    }
  }
  const skipped = tables.reduce((sum, { outbound, inbound }) => sum + outbound.skipped[0] + inbound.skipped[0], 0);
  return search.answer(skipped);
}

interface Other {
  readonly data: FlowLogData;
  readonly table: FlowLogTable;
}

class Search {
  readonly #query: FlowQuery;
  readonly #names: FlowNames;
  readonly #now: number;
  readonly #since: number;
  readonly #view: FlowView;
  readonly #wanted: number;
  #best: Candidate[] = [];
  #least = -1;
  #matched = 0;
  #packets = 0;
  #bytes = 0;

  constructor(names: FlowNames, query: FlowQuery, now: number, since: number) {
    this.#names = names;
    this.#query = query;
    this.#now = now;
    this.#since = since;
    this.#view = new FlowView(names, since, now);
    this.#wanted = query.cursor + query.limit + 1;
  }

  /** `other`: the table that may have the same flows; those are left to it unless `both` says to add them up. */
  scan(data: FlowLogData, from: number, to: number, other: Other | undefined, both: boolean): void {
    for (let number = from; number < to; number++) {
      if (!this.#fits(data.entries, number * FLOW_ENTRY.words)) continue;
      const twin = other === undefined ? -1 : other.table.find(data, number);
      if (twin >= 0 && !both) continue;
      this.#consider(data, number, twin >= 0 ? other!.data : undefined, twin);
    }
  }

  answer(skipped: number): FlowsAnswer {
    this.#cut();
    const { cursor, limit } = this.#query;
    const end = cursor + limit;
    return {
      watched_s: Math.max(0, Math.round(this.#now - this.#since)),
      matched: this.#matched,
      packets: this.#packets,
      bytes: this.#bytes,
      skipped_packets: skipped,
      flows: this.#best.slice(cursor, end).map(({ row }) => row),
      next: this.#best.length > end && end < MAX_RANK ? end : null,
    };
  }

  #consider(data: FlowLogData, number: number, twin: FlowLogData | undefined, twinNumber: number): void {
    const packets = data.sums[number * 2] + (twin?.sums[twinNumber * 2] ?? 0);
    const bytes = data.sums[number * 2 + 1] + (twin?.sums[twinNumber * 2 + 1] ?? 0);
    this.#matched++;
    this.#packets += packets;
    this.#bytes += bytes;
    const earliest = (twin ?? data).entries[
      (twin === undefined ? number : twinNumber) * FLOW_ENTRY.words + FLOW_ENTRY.first
    ];
    const seconds = Math.max(1, this.#now - (earliest + this.#names.clockOffset));
    const rate = (bytes * 8) / seconds;
    const { sort } = this.#query;
    const rank = sort === 'bytes' ? bytes : sort === 'packets' ? packets : rate;
    if (rank <= this.#least) return;
    const rule = twin === undefined ? undefined : this.#view.of(twin, twinNumber).rule;
    const first = twin === undefined ? undefined : this.#view.of(twin, twinNumber).first;
    const flow = this.#view.of(data, number);
    this.#best.push({
      rank,
      row: {
        peering: flow.peering ?? null,
        direction: flow.direction,
        protocol: flow.protocol,
        source: flow.source,
        source_port: flow.sourcePort,
        destination: flow.destination,
        destination_port: flow.destinationPort,
        action: flow.reason === 'none' ? 'accept' : 'reject',
        drop_reason: flow.reason === 'none' ? null : flow.reason,
        rule: flow.rule ?? rule ?? null,
        packets,
        bytes,
        rate_bps: Math.round(rate),
        first: first ?? flow.first,
        last: flow.last,
      },
    });
    if (this.#best.length > 2 * this.#wanted + SLICE) this.#cut();
  }

  /** Keeps the best. */
  #cut(): void {
    this.#best.sort((a, b) => b.rank - a.rank);
    if (this.#best.length < this.#wanted) return;
    this.#best.length = this.#wanted;
    this.#least = this.#best[this.#wanted - 1].rank;
  }

  #fits(entries: Int32Array, at: number): boolean {
    const { peering, address, port, protocol } = this.#query;
    const kind = entries[at + FLOW_ENTRY.kind];
    if (protocol !== undefined && !isProtocol(protocol, protocolOf(kind))) return false;
    const ports = entries[at + FLOW_ENTRY.ports];
    if (port !== undefined && ports >>> 16 !== port && (ports & 0xffff) !== port) return false;
    if (peering !== undefined && this.#names.peering(entries[at + FLOW_ENTRY.peer]) !== peering) return false;
    return (
      address === undefined ||
      (versionOf(kind) === address.family && (holds(address, entries, at, 0) || holds(address, entries, at, 1)))
    );
  }
}

/** Whether the prefix holds the source (`end` 0) or the destination (1) of the entry at word `at`. */
function holds({ family, address, bits }: Prefix, entries: Int32Array, at: number, end: 0 | 1): boolean {
  const words = [
    entries[at + FLOW_ENTRY.upper + 4 + end],
    entries[at + FLOW_ENTRY.upper + 2 + end],
    entries[at + FLOW_ENTRY.upper + end],
    entries[at + FLOW_ENTRY.source + end],
  ];
  let left = family === 4 ? bits + 96 : bits;
  for (let word = 0; word < 4 && left > 0; word++, left -= 32) {
    const mask = left >= 32 ? -1 : -1 << (32 - left);
    if (((words[word] ^ address[word]) & mask) !== 0) return false;
  }
  return true;
}

function countOf({ state }: FlowLogData): number {
  return Atomics.load(state, FLOW_LOG_STATE.count);
}
