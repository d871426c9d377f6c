/** The routes of a configuration: what the data plane looks up, and what the host's kernel sends into the tunnel. */
import { MAX_PEERS } from '../dataplane/counters.ts';
import { formatPrefix, prefixContains } from '../routing/prefix.ts';
import type { Prefix } from '../routing/prefix.ts';
import type { RouteState, TableRoute } from '../routing/route-table.ts';
import { buildRouteTables, compileOwners, compileTable } from '../routing/route-tables.ts';
import type { Attachment, RouteTable } from '../routing/route-tables.ts';
import { associations } from '../routing/routing.ts';
import type { RoutingProgram } from '../routing/routing.ts';
import { BLACKHOLE, BUNDLE, LOCAL } from '../routing/target.ts';
import type { GatewayAddresses } from '../wire/icmp.ts';
import type { GatewayConfig, PeeringConfig } from './config.ts';
import type { RoutesStatus } from './status.ts';

/**
 * The local VPC, each peering by its place in the configuration, and each bundle, which propagates what its peerings have
 * in common: a packet may take any of them. Of an address that one alone has, that one is the way. What a peering or a
 * bundle has learnt stands apart, as it ranks behind what the file says.
 */
function attachmentsOf(config: GatewayConfig): Attachment[] {
  const { subnets, addresses, routeTable, propagateTo, peerings, bundles } = config;
  const networks = [...subnets, ...addresses.map(wholeAddress)];
  const local = { target: LOCAL, table: routeTable, propagateTo, networks, origin: 'vpc' } as const;
  const single = peerings.map((peering, index): Attachment => {
    const own = peering.addresses.filter((address) => !isShared(config, peering, address));
    const mine = peering.bundle < 0 ? [...writtenSubnets(peering), ...peering.addresses] : own;
    const to = mine.length > 0 ? peering.propagateTo : [];
    return { target: index, table: peering.routeTable, propagateTo: to, networks: mine, origin: 'vpc' };
  });
  const bundled = bundles.map((_, index): Attachment => {
    const members = peerings.filter(({ bundle }) => bundle === index);
    const common = members.flatMap((peering) => [
      ...writtenSubnets(peering),
      ...peering.addresses.filter((address) => isShared(config, peering, address)),
    ]);
    const to = [...new Set(members.flatMap((peering) => peering.propagateTo))];
    return { target: BUNDLE | index, table: undefined, propagateTo: to, networks: once(common), origin: 'vpc' };
  });
  const learnt = peerings.flatMap(({ bundle, propagateTo: to, learnt: networks = [] }, index): Attachment[] => {
    if (bundle >= 0 || networks.length === 0) return [];
    return [{ target: index, table: undefined, propagateTo: to, networks, origin: 'vpn' }];
  });
  const learntByBundles = bundled.flatMap((bundle, index): Attachment[] => {
    const networks = once(peerings.filter((each) => each.bundle === index).flatMap((each) => each.learnt ?? []));
    return networks.length === 0 ? [] : [{ ...bundle, networks, origin: 'vpn' }];
  });
  return [local, ...single, ...bundled, ...learnt, ...learntByBundles];
}

function writtenSubnets({ subnets, learnt = [] }: PeeringConfig): readonly Prefix[] {
  if (learnt.length === 0) return subnets;
  const apart = new Set(learnt);
  return subnets.filter((subnet) => !apart.has(subnet));
}

/** Each network once. */
function once(networks: readonly Prefix[]): Prefix[] {
  return [...new Map(networks.map((prefix) => [formatPrefix(prefix), prefix])).values()];
}

/** What the gateway's ICMP errors come from: the first of its overlay addresses of each family. */
export function answeringAddresses(addresses: readonly Prefix[]): GatewayAddresses {
  const first = (family: 4 | 6): Int32Array =>
    Int32Array.from(addresses.find((prefix) => prefix.family === family)?.address ?? [0, 0, 0, 0]);
  return { ipv4: first(4), ipv6: first(6) };
}

/** The route tables of a configuration. A peering as a target is its place in the configuration. */
function routeTablesOf(config: GatewayConfig): RouteTable[] {
  return buildRouteTables(config.routeTables, attachmentsOf(config));
}

/** What the data plane routes by. `slots`: of each peering, by its name; `bundles`: where a bundle's routes lead. */
export function compileRouting(
  config: GatewayConfig,
  slots: ReadonlyMap<string, number>,
  bundles: ReadonlyMap<string, number>,
): RoutingProgram {
  const valueOf = (target: number): number => {
    if (target === LOCAL || target === BLACKHOLE) return target;
    return (target < BLACKHOLE ? slots : bundles).get(targetName(config, target))!;
  };
  const tables = routeTablesOf(config).filter(({ associated }) => associated.length > 0);
  const association = associations(MAX_PEERS, -1);
  for (const [index, { associated }] of tables.entries()) {
    for (const target of associated) association[target === LOCAL ? 0 : valueOf(target) + 1] = index;
  }
  const localFirst = [...tables.filter(isLocal), ...tables.filter((table) => !isLocal(table))];
  return {
    owners: compileOwners(localFirst, attachmentsOf(config), valueOf),
    tables: tables.map((table) => compileTable(table, valueOf)),
    association,
  };
}

/**
 * What the host must send into the tunnel: whatever the local VPC's table leads to a peering, or into a blackhole, where
 * it is dropped and counted. Not what the interface's own networks hold already; and not a default route, which would
 * take the encrypted datagrams too.
 */
export function tunnelRoutes(config: GatewayConfig): Prefix[] {
  const routes = routeTablesOf(config).find(isLocal)!.routes;
  return routes
    .filter(({ target, state, prefix }) => target !== LOCAL && state !== 'hidden' && prefix.bits > 0)
    .map(({ prefix }) => prefix)
    .filter((prefix) => !config.addresses.some((network) => prefixContains(network, prefix)));
}

/** What the file calls a target: `local`, `blackhole`, a peering's name or a bundle's. */
export function targetName({ peerings, bundles }: GatewayConfig, target: number): string {
  if (target === LOCAL) return 'local';
  if (target === BLACKHOLE) return 'blackhole';
  return target < BLACKHOLE ? peerings[target].name : bundles[target & ~BUNDLE].name;
}

/** The tables as `isthmus routes` shows them. */
export function routesStatus(config: GatewayConfig): RoutesStatus {
  const nameOf = (target: number): string => targetName(config, target);
  const routeStatus = ({ prefix, origin, target, prefixList, line, state }: TableRoute) => ({
    destination: formatPrefix(prefix),
    target: nameOf(target),
    origin,
    prefix_list: prefixList ?? null,
    state: state satisfies RouteState,
    line: line ?? null,
  });
  return {
    mode: config.mode,
    tables: routeTablesOf(config).map(({ name, associated, propagating, routes }) => ({
      name,
      associated: associated.map(nameOf),
      propagating: propagating.map(nameOf),
      routes: routes.map(routeStatus),
    })),
  };
}

function isLocal({ associated }: RouteTable): boolean {
  return associated.includes(LOCAL);
}

/** Whether another peering of the bundle leads to the same overlay address. */
function isShared({ peerings }: GatewayConfig, peering: PeeringConfig, address: Prefix): boolean {
  if (peering.bundle < 0) return false;
  const text = formatPrefix(address);
  return peerings.some(
    (other) =>
      other !== peering &&
      other.bundle === peering.bundle &&
      other.addresses.some((each) => formatPrefix(each) === text),
  );
}

function wholeAddress(address: Prefix): Prefix {
  return { ...address, bits: address.family === 4 ? 32 : 128 };
}
