/** Addresses that stand for the networks of a configuration, and what is said of sets of them. */
import { formatPrefix, type GatewayConfig, type PeeringConfig } from '../gateway/config.ts';
import type { Prefix } from '../routing/prefix.ts';

/** The first host of a network, without a length. */
export function firstHost({ family, address, bits }: Prefix): string {
  const full = family === 4 ? 32 : 128;
  const [w0, w1, w2, w3] = address;
  const host: Prefix = { family, address: [w0, w1, w2, bits >= full - 1 ? w3 : w3 | 1], bits: full };
  return bare(formatPrefix(host));
}

/** An address without its length. */
export function bare(prefix: string): string {
  return prefix.split('/')[0];
}

/** Everything that is reached through the tunnel at a peering. */
export function networksOf({ subnets, addresses }: PeeringConfig): Prefix[] {
  return [...subnets, ...addresses];
}

/** The addresses that the kernel is to be asked the way to. */
export function addressesToAsk(config: GatewayConfig): string[] {
  const ofPeers = config.peerings.flatMap(networksOf).slice(0, MOST);
  return [...ofPeers, ...config.subnets.slice(0, MOST)].map(firstHost);
}

/** The kernel is asked about so many networks; the others are looked for in its table of routes. */
const MOST = 32;

/** `a, b, c and 7 more`. */
export function several(items: readonly string[]): string {
  const [shown, rest] = [items.slice(0, 4), items.length - 4];
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}
