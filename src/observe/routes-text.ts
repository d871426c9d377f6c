/** Route tables as text for people. */
import type { RouteStatus, RoutesStatus } from '../gateway/status.ts';
import { columns } from './columns.ts';
import { originText } from '../gateway/text.ts';

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

function cells(route: RouteStatus): string[] {
  const { destination, target, line, state } = route;
  return [destination, target, `${originText(route)}${line === null ? '' : ` (line ${line})`}`, state];
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'nobody' : names.join(', ');
}
