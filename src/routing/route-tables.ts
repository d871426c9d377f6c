/**
 * The route tables of a gateway: each attachment (the local VPC, each peering) is associated with exactly one, where what
 * it sends is looked up, and propagates its networks to any number. Tables are built anew when anything changes.
 */
import { buildPrefixTable } from './prefix-table.ts';
import type { PrefixEntry, PrefixTableData } from './prefix-table.ts';
import type { Prefix } from './prefix.ts';
import { rankRoutes } from './route-table.ts';
import type { Origin, Route, TableRoute } from './route-table.ts';
import { BLACKHOLE } from './target.ts';

/** What is known of an attachment. Networks of another origin stand in an entry of their own, with the same target. */
export interface Attachment {
  /** What a route to it has as its target. */
  readonly target: number;
  /** Undefined for a bundle, whose peerings are associated each for itself, and for an attachment's further entries. */
  readonly table: string | undefined;
  readonly propagateTo: readonly string[];
  /** What it propagates, and what it may send from. */
  readonly networks: readonly Prefix[];
  readonly origin: Extract<Origin, 'vpc' | 'vpn'>;
}

/** A table by the routes that are written into it. */
export interface TableSpec {
  readonly name: string;
  readonly routes: readonly Route[];
}

export interface RouteTable {
  readonly name: string;
  /** Targets of the attachments whose packets are looked up here. */
  readonly associated: readonly number[];
  readonly propagating: readonly number[];
  readonly routes: readonly TableRoute[];
}

/** The tables, in the order given. A table that an attachment names and that is not among them is passed over. */
export function buildRouteTables(specs: readonly TableSpec[], attachments: readonly Attachment[]): RouteTable[] {
  return specs.map(({ name, routes }) => {
    const propagating = attachments.filter(({ propagateTo }) => propagateTo.includes(name));
    const propagated = propagating.flatMap(({ target, networks, origin }) =>
      networks.map((prefix): Route => ({ prefix, origin, target })),
    );
    return {
      name,
      associated: attachments.filter(({ table }) => table === name).map(({ target }) => target),
      propagating: [...new Set(propagating.map(({ target }) => target))],
      routes: rankRoutes([...routes, ...propagated]),
    };
  });
}

/** A table as the data plane looks it up. `valueOf`: of a target, what the data plane knows it by. */
export function compileTable({ routes }: RouteTable, valueOf: (target: number) => number): PrefixTableData {
  const entries = routes
    .filter(({ state }) => state !== 'hidden')
    .map(({ prefix, target }) => entryOf(prefix, valueOf(target)));
  return buildPrefixTable(entries);
}

/**
 * Whose an address is, for the source check: by the longest prefix, the attachment's that was configured with it. What only
 * a static route leads to is its target's, as that is where answers come from; where tables disagree about a prefix, the
 * first of `tables` has it. What was learnt comes last.
 */
export function compileOwners(
  tables: readonly RouteTable[],
  attachments: readonly Attachment[],
  valueOf: (target: number) => number,
): PrefixTableData {
  const entries: PrefixEntry[] = [];
  const addNetworks = (of: Attachment['origin']): void => {
    for (const { target, networks, origin } of attachments) {
      if (origin !== of) continue;
      for (const prefix of networks) entries.push(entryOf(prefix, valueOf(target)));
    }
  };
  // Of equal prefixes the last entry wins.
  addNetworks('vpn');
  for (const { routes } of [...tables].reverse()) {
    for (const { prefix, origin, target, state } of routes) {
      const isWritten = origin === 'static' || origin === 'prefix-list';
      if (isWritten && state !== 'hidden' && target !== BLACKHOLE) entries.push(entryOf(prefix, valueOf(target)));
    }
  }
  addNetworks('vpc');
  return buildPrefixTable(entries);
}

function entryOf({ family, address, bits }: Prefix, value: number): PrefixEntry {
  return { family, address, bits, value };
}
