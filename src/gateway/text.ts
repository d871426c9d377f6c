/** The textual forms of addresses and endpoints, and of where routes come from. */
import type { Origin } from '../routing/route-table.ts';
import type { RemoteHost } from './config.ts';
import type { RouteStatus } from './status.ts';

export { formatPrefix, parsePrefix } from '../routing/prefix.ts';
export { endpointFrom, formatEndpoint } from '../wire/endpoint.ts';

/** `host:port`, an IPv6 address in brackets. */
export function formatRemote({ host, port }: RemoteHost): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Reads what `formatRemote` and `formatEndpoint` write; undefined for what is of neither form. */
export function readRemote(text: string): RemoteHost | undefined {
  const match = /^\[?([^\]]+)\]?:(\d+)$/.exec(text);
  return match === null ? undefined : { host: match[1], port: Number(match[2]) };
}

/** Where a route comes from, in words. */
export function originText({ origin, prefix_list: list }: Pick<RouteStatus, 'origin' | 'prefix_list'>): string {
  return origin === 'prefix-list' ? `prefix list ${list}` : ORIGIN_TEXT[origin];
}

const ORIGIN_TEXT: Readonly<Record<Exclude<Origin, 'prefix-list'>, string>> = {
  static: 'static',
  vpc: 'propagated',
  vpn: 'propagated, learnt by the kernel',
};
