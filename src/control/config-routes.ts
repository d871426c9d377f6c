/** Route tables in a configuration: the faults that go across the file, and what the tables become. */
import { BLACKHOLE, BUNDLE, LOCAL, READY_MADE } from '../gateway/config.ts';
import type { Mode, TableUse } from '../gateway/config.ts';
import { formatPrefix } from '../gateway/text.ts';
import type { Route } from '../routing/route-table.ts';
import type { TableSpec } from '../routing/route-tables.ts';
import { didYouMean } from './config-nearest.ts';
import { checkPrefixListNames, network } from './config-prefix-lists.ts';
import type { PrefixLists } from './config-prefix-lists.ts';
import type { Entry, Report } from './config-raw.ts';
import { entriesOf, formatPath, get, members, oneOrMore, valid } from './config-raw.ts';
import type { RawConfig } from './config-schema.ts';
import * as text from './config-text.ts';
import type { Path, Position } from './config-yaml.ts';

/** What a route may lead to besides a peering or a bundle. */
const TARGETS: ReadonlyMap<string, number> = new Map([
  ['local', LOCAL],
  ['blackhole', BLACKHOLE],
]);

/** Reports names of tables and targets that stand for nothing, and destinations that stand twice in a table. */
export function checkRoutes(root: unknown, peerings: Entry[], locate: Locate, report: Report): void {
  const written = entriesOf(root, 'route_tables');
  const gateway = get(root, 'gateway');
  const mode: Mode = get(gateway, 'mode') === 'hub' ? 'hub' : 'peering';
  const tables = [...new Set([...written.keys(), ...readyMade(mode)])];
  for (const { path, value } of [{ path: ['gateway'], value: gateway }, ...peerings]) {
    checkNames(oneOrMore(get(value, 'route_table'), [...path, 'route_table']), tables, 'route_tables', report);
    checkNames(oneOrMore(get(value, 'propagate_to'), [...path, 'propagate_to']), tables, 'route_tables', report);
  }
  const targets = [...new Set([...TARGETS.keys(), ...namesOf(peerings, 'name'), ...namesOf(peerings, 'bundle')])];
  for (const [name, { path, value }] of written) {
    if (valid(text.name, name) === undefined) {
      const message = 'a route table is named with up to 63 letters, digits, ".", "_" and "-"';
      report(path, 'ISTHMUS_CONFIG_VALUE', message, 'key');
    }
    const routes = members(get(value, 'routes'), [...path, 'routes']);
    const vias = routes.map((route) => ({ path: [...route.path, 'via'], value: get(route.value, 'via') }));
    checkNames(vias, targets, 'local, blackhole, the peerings and the bundles', report);
    const destinations = routes.map((route) => ({
      path: [...route.path, 'destination'],
      value: get(route.value, 'destination'),
    }));
    checkPrefixListNames(root, destinations, report);
    checkDestinations(destinations, locate, report);
  }
}

type Locate = (path: Path) => Position;

function checkNames(entries: readonly Entry[], known: readonly string[], of: string, report: Report): void {
  for (const { path, value } of entries) {
    const name = valid(text.name, value);
    if (name === undefined || known.includes(name)) continue;
    const message = `${text.shown(name)} is not among ${of}${didYouMean(name, known)}; wanted one of ${known.join(', ')}`;
    report(path, 'ISTHMUS_CONFIG_UNKNOWN_NAME', message);
  }
}

/** A destination has one static route in a table, and a prefix list one reference. */
function checkDestinations(destinations: readonly Entry[], locate: Locate, report: Report): void {
  const first = new Map<string, Path>();
  for (const { path, value } of destinations) {
    const destination = valid(network, value);
    if (destination === undefined) continue;
    const key = 'prefixList' in destination ? `prefix list ${destination.prefixList}` : formatPrefix(destination);
    const earlier = first.get(key);
    if (earlier === undefined) {
      first.set(key, path);
      continue;
    }
    const { line } = locate(earlier);
    const message = `${key} has a route at ${formatPath(earlier)} (line ${line}); wanted one for each destination`;
    report(path, 'ISTHMUS_CONFIG_DUPLICATE', message);
  }
}

function namesOf(peerings: readonly Entry[], key: 'name' | 'bundle'): string[] {
  return peerings.flatMap(({ value }) => valid(text.name, get(value, key)) ?? []);
}

function readyMade(mode: Mode): string[] {
  const { gateway, peering } = READY_MADE[mode];
  return [gateway.routeTable, peering.routeTable];
}

/** How an attachment stands to the tables: as it says, else as the mode has it. */
export function tableUse(
  given: { route_table?: string | undefined; propagate_to?: readonly string[] | undefined },
  ready: TableUse,
): TableUse {
  return { routeTable: given.route_table ?? ready.routeTable, propagateTo: given.propagate_to ?? ready.propagateTo };
}

/** Every table that is written down, and those of the mode's that an attachment is associated with. */
export function buildTables(
  raw: RawConfig,
  bundles: readonly string[],
  uses: readonly TableUse[],
  lists: PrefixLists,
  locate: Locate,
): TableSpec[] {
  const names = raw.peerings.map(({ name }) => name);
  const targetOf = (via: string): number =>
    TARGETS.get(via) ?? (names.includes(via) ? names.indexOf(via) : BUNDLE | bundles.indexOf(via));
  const written = Object.entries(raw.route_tables).map(([name, { routes }]): TableSpec => ({
    name,
    routes: routes.flatMap(({ destination, via }, index): Route[] => {
      const { line } = locate(['route_tables', name, 'routes', index]);
      const target = targetOf(via);
      if (!('prefixList' in destination)) return [{ prefix: destination, origin: 'static', target, line }];
      const { prefixList } = destination;
      const prefixes = lists.get(prefixList)!;
      return prefixes.map((prefix) => ({ prefix, origin: 'prefix-list', target, prefixList, line }));
    }),
  }));
  const used = new Set(uses.map(({ routeTable }) => routeTable));
  const missing = [...used].filter((name) => !Object.hasOwn(raw.route_tables, name));
  return [...missing.map((name) => ({ name, routes: [] })), ...written];
}
