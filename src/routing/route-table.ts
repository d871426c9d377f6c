/**
 * One route table: static routes, those by prefix list and those that attachments propagate into it, and which of them
 * counts where several have the same prefix. Targets are those of target.ts, with peerings counted as the caller does.
 */
import { canonical, prefixContains } from './prefix.ts';
import type { Prefix } from './prefix.ts';
import { orderPrefixes } from './prefix-order.ts';
import { BLACKHOLE } from './target.ts';

/**
 * Where a route comes from, the one that wins first: the order of a transit gateway's table. `vpc` is propagated from the
 * networks that an attachment was configured with, `vpn` from what a routing daemon has learnt through it.
 */
export const ORIGINS = ['static', 'prefix-list', 'vpc', 'vpn'] as const;
export type Origin = (typeof ORIGINS)[number];

export interface Route {
  readonly prefix: Prefix;
  readonly origin: Origin;
  readonly target: number;
  /** Which list a `prefix-list` route was made from. */
  readonly prefixList?: string;
  /** Where the configuration has a route that was written there, counted from 1. */
  readonly line?: number;
}

/**
 * `hidden`: another route of the same prefix comes first; the route counts again when that one goes. `blackhole`: counts,
 * and drops what it matches.
 */
export type RouteState = 'active' | 'blackhole' | 'hidden';

export interface TableRoute extends Route {
  readonly state: RouteState;
}

/**
 * The routes of a table in the order of their addresses, enclosing ones before those within, winners before those they
 * hide. Of equal routes the one given first wins; as routes of two origins are never equal, a choice between several
 * attachments is only ever among those of one kind.
 */
export function rankRoutes(routes: readonly Route[]): TableRoute[] {
  const prefixes = routes.map(({ prefix }) => canonical(prefix));
  const ranked: TableRoute[] = [];
  for (const number of orderPrefixes(prefixes, (route) => rankOf(routes[route]))) {
    const route = routes[number];
    const prefix = prefixes[number];
    const before = ranked.at(-1);
    const hidden = before !== undefined && comparePrefixes(before.prefix, prefix) === 0;
    ranked.push({ ...route, prefix, state: hidden ? 'hidden' : route.target === BLACKHOLE ? 'blackhole' : 'active' });
  }
  return ranked;
}

function rankOf({ origin }: Route): number {
  return ORIGINS.indexOf(origin);
}

/**
 * Every route that holds the address (a prefix of full length), the one that a packet takes first: the longest prefix,
 * then the order of `rankRoutes`, in which the routes must be. All behind the first were beaten by it.
 */
export function matchingRoutes<R extends { readonly prefix: Prefix }>(routes: readonly R[], address: Prefix): R[] {
  return routes.filter(({ prefix }) => prefixContains(prefix, address)).sort((a, b) => b.prefix.bits - a.prefix.bits);
}

/** IPv4 first, then by address, then enclosing ones before those within. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family;
  for (let word = 0; word < 4; word++) {
    if (a.address[word] !== b.address[word]) return (a.address[word] >>> 0) - (b.address[word] >>> 0);
  }
  return a.bits - b.bits;
}
