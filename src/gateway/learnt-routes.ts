/** Which of the kernel's routes into the tunnel a peering learns: those that a routing daemon made, within bounds. */
import { canonical, formatPrefix, parsePrefix, prefixContains } from '../routing/prefix.ts';
import type { Prefix } from '../routing/prefix.ts';
import type { GatewayConfig, PeeringConfig } from './config.ts';

/** A route as `ip -json route show` has it, as far as it matters. */
export interface KernelRoute {
  readonly dst: string;
  /** The next hop. */
  readonly gateway?: string;
  /** The next hop of another family (RFC 8950). */
  readonly via?: { readonly host: string };
  readonly protocol?: string;
}

export interface Learnt {
  /** By the peering's name, in the order of their addresses. */
  readonly routes: ReadonlyMap<string, readonly Prefix[]>;
  /** Why others were not learnt, one line each. */
  readonly refused: readonly string[];
}

/** Made by the kernel, by an interface's configuration, or by hand: not learnt. */
const NOT_LEARNT = ['kernel', 'boot', 'static', 'ra', 'redirect', 'dhcp'];

/** What the peerings of `config` learn from the routes of the tunnel's interface. */
export function learn(config: GatewayConfig, kernel: readonly KernelRoute[]): Learnt {
  const routes = new Map<string, Prefix[]>();
  const refused: string[] = [];
  for (const route of kernel) {
    const hop = route.gateway ?? route.via?.host;
    if (hop === undefined || NOT_LEARNT.includes(route.protocol ?? 'boot')) continue;
    const nextHop = parsePrefix(hop);
    // `via` stands for a next hop of the other family.
    const family = route.via === undefined ? nextHop.family : nextHop.family === 4 ? 6 : 4;
    const prefix = prefixOf(route.dst, family);
    for (const peering of config.peerings) {
      if (peering.learn === undefined || !peering.addresses.some((address) => prefixContains(address, nextHop)))
        continue;
      const reason = refusal(config, peering, prefix);
      if (reason === undefined) routes.set(peering.name, [...(routes.get(peering.name) ?? []), prefix]);
      else refused.push(`${formatPrefix(prefix)} from ${peering.name}: ${reason}`);
    }
  }
  for (const { name, learn: bounds } of config.peerings) {
    const learnt = routes.get(name);
    if (learnt === undefined || bounds === undefined) continue;
    learnt.sort(compare);
    for (const prefix of learnt.splice(bounds.max)) {
      refused.push(`${formatPrefix(prefix)} from ${name}: it has ${bounds.max} routes already`);
    }
  }
  return { routes, refused };
}

/** The configuration as if the peerings' subnets were given with what they have learnt, which `learnt` marks. */
export function withLearnt(config: GatewayConfig, { routes }: Learnt): GatewayConfig {
  const peerings = config.peerings.map((peering) => {
    const learnt = routes.get(peering.name) ?? [];
    return { ...peering, subnets: [...peering.subnets, ...learnt], learnt };
  });
  return { ...config, peerings };
}

/** Why the peering may not learn the prefix. Nobody learns what the file says is another's, or a part of it. */
function refusal({ subnets, addresses, peerings }: GatewayConfig, peering: PeeringConfig, prefix: Prefix) {
  if (peering.learn?.accept.some((accepted) => prefixContains(accepted, prefix)) !== true) return 'it is not accepted';
  const own = [...subnets, ...addresses.map((address) => ({ ...address, bits: address.family === 4 ? 32 : 128 }))];
  if (own.some((subnet) => prefixContains(subnet, prefix))) return 'it is ours';
  const owner = peerings.find(
    (other) =>
      other !== peering &&
      (other.bundle < 0 || other.bundle !== peering.bundle) &&
      [...other.subnets, ...other.addresses].some((subnet) => prefixContains(subnet, prefix)),
  );
  return owner === undefined ? undefined : `it is of ${owner.name}`;
}

function prefixOf(destination: string, family: 4 | 6): Prefix {
  if (destination === 'default') return parsePrefix(family === 4 ? '0.0.0.0/0' : '::/0');
  return canonical(parsePrefix(destination));
}

function compare(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family;
  for (const [word, value] of a.address.entries()) {
    if (value !== b.address[word]) return (value >>> 0) - (b.address[word] >>> 0);
  }
  return a.bits - b.bits;
}
