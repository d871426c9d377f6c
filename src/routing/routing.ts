/**
 * What the data plane asks of the routes: whose an address is, and where a packet goes that came in by an attachment. An
 * attachment is the local VPC or a peering; each is associated with one table, in which what it sends is looked up.
 */
import { PrefixTable, buildPrefixTable } from './prefix-table.ts';
import type { PrefixTableData } from './prefix-table.ts';

/** Typed arrays in shared memory only: posted to a worker without a copy. Values are those of target.ts. */
export interface RoutingProgram {
  /** Whose an address is, for the source check: a slot, `LOCAL`, or `BUNDLE` and its number. */
  readonly owners: PrefixTableData;
  /** Where destinations are looked up: a slot, `LOCAL`, `BLACKHOLE`, or `BUNDLE` and its number. */
  readonly tables: readonly PrefixTableData[];
  /** At [slot + 1], the place among `tables` of the peering's; at [0], of the local VPC's. -1 and beyond the end: none. */
  readonly association: Int32Array;
}

/** One table for everything: whoever owns an address is where packets for it go, wherever they came from. */
export function singleTable(table: PrefixTableData, slots: number): RoutingProgram {
  return { owners: table, tables: [table], association: associations(slots, 0) };
}

/** An association of the local VPC and `slots` peerings with table `table`, to be changed one by one. */
export function associations(slots: number, table: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer((slots + 1) * Int32Array.BYTES_PER_ELEMENT)).fill(table);
}

/** Looks up; `version` and the words of an address are as `Packet` has them. Nothing here allocates. */
export class Routing {
  readonly #owners: PrefixTable;
  readonly #tables: PrefixTable[];
  readonly #association: Int32Array;

  /** Without a program, no address is anybody's. */
  constructor(program: RoutingProgram = singleTable(buildPrefixTable([]), 0)) {
    this.#owners = new PrefixTable(program.owners);
    this.#tables = program.tables.map((table) => new PrefixTable(table));
    this.#association = program.association;
  }

  /** Whose the address is, or -1. */
  owner(version: number, w0: number, w1: number, w2: number, w3: number): number {
    return this.#owners.lookup(version, w0, w1, w2, w3);
  }

  /** Where a packet for the address goes that came in by the local VPC (`slot` -1) or by a peering; -1 without a route. */
  route(slot: number, version: number, w0: number, w1: number, w2: number, w3: number): number {
    const table = slot + 1 < this.#association.length ? this.#association[slot + 1] : -1;
    return table < 0 ? -1 : this.#tables[table].lookup(version, w0, w1, w2, w3);
  }
}
