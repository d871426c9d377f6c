/** The ways of a context: to the peers' endpoints, and to the local subnets. */
import { contains } from '../gateway/config.ts';
import type { Prefix } from '../routing/prefix.ts';
import { firstHost } from './addresses.ts';
import type { Configured, EndpointState, Way } from './context.ts';

export interface UnderlayWay {
  readonly peering: string;
  readonly endpoint: EndpointState;
  readonly address: string;
  readonly family: 4 | 6;
  readonly way: Way;
}

/** To each peer whose address is known. */
export function underlayWays({ endpoints, network }: Configured): UnderlayWay[] {
  return [...endpoints].flatMap(([peering, endpoint]) => {
    const { address } = endpoint;
    const way = address === undefined ? undefined : network.ways.get(address);
    if (address === undefined || way === undefined) return [];
    return [{ peering, endpoint, address, family: address.includes(':') ? 6 : 4, way }];
  });
}

/** A host of a local subnet and the link that leads there; a host may be in a part of it only. Undefined: no way at all. */
export function localWay(
  subnet: Prefix,
  { network, config }: Configured,
): { host: string; device: string } | undefined {
  const host = firstHost(subnet);
  const device = network.ways.get(host)?.device;
  if (device !== undefined) return { host, device };
  const part = network.routes.find(
    (route) => route.device !== undefined && route.device !== config.interface && contains(subnet, route.prefix),
  );
  return part && { host: firstHost(part.prefix), device: part.device! };
}
