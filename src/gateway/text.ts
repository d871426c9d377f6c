import type { Origin } from '../routing/route-table.ts';
import type { RouteStatus } from './status.ts';

/** The textual forms of addresses, for what stands above the gateway. */
export { formatPrefix, parsePrefix } from '../routing/prefix.ts';
export { endpointFrom, formatEndpoint } from '../wire/endpoint.ts';

/** Where a route comes from, in words. */
export function originText({ origin, prefix_list: list }: Pick<RouteStatus, 'origin' | 'prefix_list'>): string {
  return origin === 'prefix-list' ? `prefix list ${list}` : ORIGIN_TEXT[origin];
}

const ORIGIN_TEXT: Readonly<Record<Exclude<Origin, 'prefix-list'>, string>> = {
  static: 'static',
  vpc: 'propagated',
  vpn: 'propagated, learnt by the kernel',
};
