/** Route tables as text for people. */
import type { RouteStatus, RoutesStatus } from '../gateway/status.ts';
import { columns } from './columns.ts';

const HEAD = ['destination', 'target', 'from', 'state'];

/** A paragraph for each table: who is looked up in it, who propagates to it, and its routes in columns. */
export function formatRoutes({ tables }: RoutesStatus): string {
  const texts = tables.map(({ name, associated, propagating, routes }) => {
    return [
      `table ${name}`,
      `  for what comes from  ${listed(associated)}`,
      `  propagated to by     ${listed(propagating)}`,
      ...(routes.length > 0 ? columns([HEAD, ...routes.map(cells)]) : ['no routes']).map((line) => `  ${line}`),
      '',
    ].join('\n');
  });
  return texts.join('\n');
}

function cells({ destination, target, origin, prefix_list: list, line, state }: RouteStatus): string[] {
  const written = line === null ? '' : ` (line ${line})`;
  const from = origin === 'prefix-list' ? `prefix list ${list}${written}` : `${ORIGIN_TEXT[origin]}${written}`;
  return [destination, target, from, state];
}

const ORIGIN_TEXT: Readonly<Record<Exclude<RouteStatus['origin'], 'prefix-list'>, string>> = {
  static: 'static',
  vpc: 'propagated',
  vpn: 'propagated, learnt by the kernel',
};

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'nobody' : names.join(', ');
}
