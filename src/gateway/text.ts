/** The textual forms of addresses and endpoints. */
import type { RemoteHost } from './config.ts';

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
