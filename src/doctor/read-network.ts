/** Reads links, addresses, routes and firewall rules, by `ip`, `nft` and `iptables-save`. Changes nothing. */
import { readFileSync } from 'node:fs';
import { parsePrefix } from '../gateway/config.ts';
import { look, lookJson } from './command.ts';
import type { HostRoute, Link, NetworkState, Way } from './context.ts';
import type { Ruleset } from './firewall.ts';
import { readIptables } from './firewall-iptables.ts';
import { readNft } from './firewall-nft.ts';

interface IpLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

interface IpRoute {
  readonly dst: string;
  readonly dev?: string;
  readonly type?: string;
  readonly protocol?: string;
  readonly metric?: number;
  readonly metrics?: readonly { readonly mtu?: number }[];
}

/** `addresses`: those that the kernel is asked the way to. */
export async function readNetwork(addresses: readonly string[]): Promise<NetworkState> {
  const links = ((await lookJson('ip', '-json', '-details', 'address', 'show')) ?? []) as IpLink[];
  const families = [4, 6] as const;
  const routes = await Promise.all(
    families.map(async (family) => {
      const found = (await lookJson('ip', '-json', `-${family}`, 'route', 'show', 'table', 'main')) ?? [];
      return (found as IpRoute[]).map((route) => hostRoute(route, family));
    }),
  );
  const ways = new Map<string, Way>();
  for (const address of new Set(addresses)) ways.set(address, await wayTo(address, links));
  return { links: links.map(linkOf), routes: routes.flat(), ways };
}

function linkOf({ ifname: name, flags, mtu, linkinfo, addr_info = [] }: IpLink): Link {
  const addresses = addr_info.flatMap(({ local, prefixlen }) =>
    local === undefined ? [] : [parsePrefix(`${local}/${prefixlen}`)],
  );
  const kind = linkinfo?.info_kind ?? '';
  return { name, up: flags.includes('UP'), carrier: flags.includes('LOWER_UP'), mtu, kind, addresses };
}

function hostRoute({ dst, dev: device, type = 'unicast', protocol, metric = 0 }: IpRoute, family: 4 | 6): HostRoute {
  const prefix = parsePrefix(dst === 'default' ? { 4: '0.0.0.0/0', 6: '::/0' }[family] : dst);
  return { prefix, device, type, connected: protocol === 'kernel', metric };
}

async function wayTo(address: string, links: readonly IpLink[]): Promise<Way> {
  const [way] = ((await lookJson('ip', '-json', 'route', 'get', address)) ?? []) as (IpRoute | undefined)[];
  if (way?.dev === undefined || !['unicast', 'local'].includes(way.type ?? 'unicast')) {
    return { device: undefined, local: false, mtu: 0 };
  }
  const link = links.find(({ ifname }) => ifname === way.dev);
  return { device: way.dev, local: way.type === 'local', mtu: way.metrics?.[0]?.mtu ?? link?.mtu ?? 0 };
}

/** Undefined if it can't be seen: no `nft`, or no right to. */
export async function readFirewall(): Promise<Ruleset | undefined> {
  const nft = await look('nft', '-j', 'list', 'ruleset');
  const legacy = await Promise.all(
    ([4, 6] as const).filter(hasLegacyTables).map(async (family) => {
      const prefix = family === 4 ? 'iptables' : 'ip6tables';
      const saved = await look(`${prefix}-legacy-save`, '-t', 'filter');
      return readIptables((saved.found ? saved : await look(`${prefix}-save`, '-t', 'filter')).stdout, family);
    }),
  );
  if (nft.code !== 0 && legacy.length === 0) return undefined;
  return new Map([...(nft.code === 0 ? readNft(JSON.parse(nft.stdout)) : []), ...legacy.flatMap((each) => [...each])]);
}

/** Whether iptables' old kernel part is in use, which nft doesn't see. */
function hasLegacyTables(family: 4 | 6): boolean {
  try {
    return readFileSync(`/proc/net/${family === 4 ? 'ip' : 'ip6'}_tables_names`, 'utf8').includes('filter');
  } catch {
    return false;
  }
}
