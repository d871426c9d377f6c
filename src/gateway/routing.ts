/** The routes of a configuration: what the data plane looks up, and what the host's kernel sends into the tunnel. */
import { MAX_PEERS } from '../dataplane/counters.ts';
import { buildPrefixTable } from '../routing/prefix-table.ts';
import type { PrefixEntry } from '../routing/prefix-table.ts';
import { formatPrefix, prefixContains } from '../routing/prefix.ts';
import type { Prefix } from '../routing/prefix.ts';
import { associations } from '../routing/routing.ts';
import type { RoutingProgram } from '../routing/routing.ts';
import { LOCAL } from '../routing/target.ts';
import type { GatewayAddresses } from '../wire/icmp.ts';
import type { BundleConfig, GatewayConfig, PeeringConfig } from './config.ts';

/**
 * What the data plane routes by. `slots`: of each peering, by its name; `bundles`: where a bundle's routes lead. The local VPC is associated with a table of
 * everything, each peering with one of the local VPC alone, so that no peering reaches another.
 */
export function compileRouting(
  config: GatewayConfig,
  slots: ReadonlyMap<string, number>,
  bundles: ReadonlyMap<string, number>,
): RoutingProgram {
  const local: PrefixEntry[] = config.subnets.map((subnet) => ({ ...subnet, value: LOCAL }));
  for (const address of config.addresses) local.push({ ...wholeAddress(address), value: LOCAL });
  const remote: PrefixEntry[] = [];
  for (const peering of config.peerings) {
    const slot = slots.get(peering.name)!;
    const bundle = config.bundles[peering.bundle] as BundleConfig | undefined;
    const target = bundle === undefined ? slot : bundles.get(bundle.name)!;
    for (const subnet of peering.subnets) remote.push({ ...subnet, value: target });
    for (const address of peering.addresses) {
      remote.push({ ...address, value: isShared(config, peering, address) ? target : slot });
    }
  }
  const everything = buildPrefixTable([...local, ...remote]);
  const association = associations(MAX_PEERS, 1);
  association[0] = 0;
  return { owners: everything, tables: [everything, buildPrefixTable(local)], association };
}

/** What the gateway's ICMP errors come from: the first of its overlay addresses of each family. */
export function answeringAddresses(addresses: readonly Prefix[]): GatewayAddresses {
  const first = (family: 4 | 6): Int32Array =>
    Int32Array.from(addresses.find((prefix) => prefix.family === family)?.address ?? [0, 0, 0, 0]);
  return { ipv4: first(4), ipv6: first(6) };
}

/** The peers' subnets and addresses, but for those that the interface's own networks hold already. */
export function kernelRoutes({ addresses, peerings }: GatewayConfig): Prefix[] {
  const prefixes = peerings.flatMap((peering) => [...peering.subnets, ...peering.addresses]);
  // Peerings of a bundle have the same ones, and a route is added once.
  const once = new Map(prefixes.map((prefix) => [formatPrefix(prefix), prefix]));
  return [...once.values()].filter((prefix) => !addresses.some((network) => prefixContains(network, prefix)));
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
