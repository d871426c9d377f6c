/** What the kernel has to do for the gateway: link, addresses, MTU, forwarding, routes, reverse-path filter. */
import { contains, formatPrefix, overlaps } from '../gateway/config.ts';
import { UNDERLAY_OVERHEAD } from '../gateway/network.ts';
import { tunnelRoutes } from '../gateway/routing.ts';
import type { Prefix } from '../routing/prefix.ts';
import { firstHost, networksOf, several } from './addresses.ts';
import type { Configured, HostRoute } from './context.ts';
import { fault, hint, ok, warning, type Said } from './findings.ts';
import { localWay, underlayWays } from './ways.ts';

const STRICT = 1;

/** The link and what hangs on it. Only while the gateway runs, as it makes them. */
export function checkLink(context: Configured): Said[] {
  const { config, running, network } = context;
  if (running.kind !== 'yes') return [];
  const { status } = running;
  const { interface: name } = status;
  const link = network.links.find((each) => each.name === name);
  if (link === undefined) {
    const why = 'It is in another network namespace than this command, or was just deleted.';
    return [fault('link', `there is no ${name} here`, why, 'ip netns identify   # run isthmus doctor where it runs')];
  }
  const said: Said[] = [];
  if (!link.up) {
    const why = 'No packet passes, the UDP port is closed, and the kernel has dropped the routes into the tunnel.';
    const fix = `systemctl restart isthmus@NAME   # NAME.yaml is its file; or: ip link set ${name} up, and the routes below`;
    said.push(fault('link', `${name} is down`, why, fix));
  } else if (!status.listening) {
    const why = 'No datagram comes in. The gateway tries again every 100 ms.';
    said.push(fault('link', `UDP port ${status.port} is not open`, why, `ss -ulnp 'sport = :${status.port}'`));
  } else {
    said.push(ok('link', `${name} is up, UDP port ${status.port} open`));
  }
  const missing = config.addresses.map(formatPrefix).filter((text) => !link.addresses.some(same(text)));
  if (missing.length === 0) said.push(ok('addresses', `${name} has ${status.addresses.join(', ')}`));
  else {
    const why = 'What goes from this host into the tunnel has another source, which the peer drops.';
    const fix = missing.map((address) => `ip address add ${address} dev ${name}`).join('\n');
    said.push(fault('addresses', `${name} lacks ${missing.join(', ')}`, why, fix));
  }
  return [...said, ...checkMtu(name, link.mtu, context)];
}

function same(text: string): (prefix: Prefix) => boolean {
  return (prefix) => formatPrefix(prefix) === text;
}

function checkMtu(name: string, mtu: number, context: Configured): Said[] {
  const { config } = context;
  const ways = underlayWays(context)
    .filter(({ way }) => way.mtu > 0 && !way.local)
    .map(({ peering, family, way }) => ({ peering, way, room: way.mtu - UNDERLAY_OVERHEAD[family] }));
  const narrow = ways
    .filter(({ room }) => mtu > room)
    .sort((a, b) => a.room - b.room)
    .at(0);
  if (narrow !== undefined) {
    const { room, way, peering } = narrow;
    const seen = `${name} has MTU ${mtu}, and ${way.device} carries ${room} on the way to the peer`;
    const why = 'Full packets are lost or sent in pieces: small ones pass, and downloads hang.';
    return [
      fault('mtu', seen, why, `ip link set ${name} mtu ${room}   # and gateway.mtu: ${room} in the file`, peering),
    ];
  }
  if (config.mtu !== 'auto' && config.mtu !== mtu) {
    const why = 'Somebody changed it. It holds until the gateway starts again.';
    return [
      warning('mtu', `${name} has MTU ${mtu}, the file ${config.mtu}`, why, `ip link set ${name} mtu ${config.mtu}`),
    ];
  }
  return [ok('mtu', `MTU ${mtu} fits`)];
}

/** Forwarding: the gateway switches it on when it starts, and somebody may switch it off. */
export function checkForwarding({ config, running, host }: Configured): Said[] {
  if (running.kind !== 'yes') return [];
  const networks = [...config.subnets, ...config.peerings.flatMap(({ subnets }) => subnets)];
  const why = 'The kernel drops what hosts of the VPC send to the peer, and what the peer sends to them.';
  const said: Said[] = [];
  const keep = '   # and in /etc/sysctl.d, if something sets it at boot';
  for (const [family, path] of [
    [4, 'net.ipv4.ip_forward'],
    [6, 'net.ipv6.conf.all.forwarding'],
  ] as const) {
    if (!networks.some((network) => network.family === family)) continue;
    if (host.forwarding[family] === false) {
      said.push(fault('forwarding', `${path} is 0`, why, `sysctl -w ${path}=1${keep}`));
    }
  }
  const path = `net.ipv4.conf.${config.interface}.forwarding`;
  if (said.length === 0 && host.interfaceForwarding === false) {
    said.push(fault('forwarding', `${path} is 0`, why, `sysctl -w ${path}=1${keep}`));
  }
  return said.length > 0 ? said : [ok('forwarding', 'the kernel forwards')];
}

/** Routes of the host: into the tunnel for the peers' networks, and to the local ones. */
export function checkRoutes(context: Configured): Said[] {
  return [...checkElsewhere(context), ...checkTunnelRoutes(context), ...checkLocal(context)];
}

/** Networks and routes of the host that take a part of the peers' networks away; they do so with or without a gateway. */
function checkElsewhere({ config, network }: Configured): Said[] {
  const others = network.routes.filter(({ device, prefix }) => device !== config.interface && prefix.bits > 0);
  const said = config.peerings.flatMap(({ name, subnets }) =>
    subnets
      .filter(({ bits }) => bits > 0)
      .flatMap((subnet) => {
        const taking = others.filter(({ prefix }) => contains(subnet, prefix));
        return taking.length === 0 ? [] : [takenAway(subnet, taking, name)];
      }),
  );
  return said.length > 0 ? said : [ok('route-elsewhere', "no other route is within the peers' subnets")];
}

function takenAway(subnet: Prefix, routes: readonly HostRoute[], peering: string): Said {
  const texts = routes.map(({ prefix, device, type }) => `${formatPrefix(prefix)} by ${device ?? type}`);
  const why = 'What is sent there does not go into the tunnel: the longer prefix wins.';
  const connected = routes.find((route) => route.connected);
  if (connected !== undefined) {
    const seen = `the peer's subnet ${formatPrefix(subnet)} overlaps with a network of this host: ${several(texts)}`;
    const fix = `ip address show dev ${connected.device}   # renumber one of the two sides; overlapping VPCs cannot be peered`;
    return fault('route-elsewhere', seen, why, fix, peering);
  }
  const seen = `routes of this host lead a part of ${formatPrefix(subnet)} elsewhere: ${several(texts)}`;
  const fix = routes.map(({ prefix, device, type }) =>
    device === undefined
      ? `ip route delete ${type} ${formatPrefix(prefix)}`
      : `ip route delete ${formatPrefix(prefix)} dev ${device}`,
  );
  return fault('route-elsewhere', seen, why, fix.slice(0, 4).join('\n'), peering);
}

function checkTunnelRoutes({ config, network, running }: Configured): Said[] {
  if (running.kind !== 'yes') return [];
  const { interface: name } = running.status;
  const through = network.routes.filter(({ device }) => device === name);
  const exact = new Set(through.map(({ prefix }) => formatPrefix(prefix)));
  const missing = tunnelRoutes(config).filter(
    (wanted) => !exact.has(formatPrefix(wanted)) && !through.some(({ prefix }) => contains(prefix, wanted)),
  );
  if (missing.length > 0) {
    const why = 'The host sends what is for the peer to its default route, or nowhere.';
    const fix = missing.slice(0, 4).map((prefix) => `ip route add ${formatPrefix(prefix)} dev ${name}`);
    const seen = `no route leads into ${name} for ${several(missing.map(formatPrefix))}`;
    return [fault('kernel-routes', seen, why, fix.join('\n'))];
  }
  // The table is right; policy routing may be asked before it.
  const astray = config.peerings.flatMap(({ subnets }) =>
    subnets.filter((subnet) => {
      const device = network.ways.get(firstHost(subnet))?.device;
      const hasOther = network.routes.some(
        (route) => route.device !== name && route.prefix.bits > 0 && overlaps(route.prefix, subnet),
      );
      return subnet.bits > 0 && device !== undefined && device !== name && !hasOther;
    }),
  );
  if (astray.length > 0) {
    const [first] = astray;
    const by = network.ways.get(firstHost(first))?.device;
    const seen = `${formatPrefix(first)} goes by ${by}, although the main table leads it into ${name}`;
    const why = 'A rule of policy routing is asked before that table.';
    return [fault('kernel-routes', seen, why, `ip rule show; ip route get ${firstHost(first)}`)];
  }
  return [ok('kernel-routes', `the peers' subnets lead into ${name}`)];
}

function checkLocal(context: Configured): Said[] {
  const { config, network } = context;
  const lost = config.subnets.filter((subnet) => localWay(subnet, context) === undefined);
  if (lost.length > 0) {
    const why = 'What the peer sends to it goes nowhere.';
    const fix = lost.map((subnet) => `ip route add ${formatPrefix(subnet)} via ROUTER_OF_THE_VPC`);
    const seen = `this host has no route to its own side's ${several(lost.map(formatPrefix))}`;
    return [fault('local-subnets', seen, why, fix.join('\n'))];
  }
  const inside = config.subnets.filter((subnet) => network.ways.get(firstHost(subnet))?.device === config.interface);
  if (inside.length > 0) {
    const why = 'What comes out of the tunnel goes back into it.';
    const seen = `the local subnet ${formatPrefix(inside[0])} is routed into the tunnel`;
    const fix = `ip route get ${firstHost(inside[0])}   # and delete that route`;
    return [fault('local-subnets', seen, why, fix)];
  }
  return [ok('local-subnets', 'the local subnets are routed')];
}

/** The kernel drops what comes out of the tunnel if an answer would not go into it. */
export function checkReversePath({ config, host, network, running }: Configured): Said[] {
  const { interface: name } = config;
  if (host.reversePathFilter !== STRICT) return [ok('reverse-path-filter', 'it is off, or loose')];
  // Before the gateway is up its routes are not there to be judged.
  const isUp = running.kind === 'yes' && network.links.some((link) => link.name === name && link.up);
  const astray = config.peerings.flatMap((peering) =>
    networksOf(peering)
      .filter((subnet) => isUp && subnet.family === 4)
      .filter((subnet) => (network.ways.get(firstHost(subnet))?.device ?? name) !== name)
      .map((subnet) => ({ peering: peering.name, subnet: formatPrefix(subnet) })),
  );
  if (astray.length === 0) {
    return [ok('reverse-path-filter', 'it is strict, and all answers go back into the tunnel')];
  }
  const [{ peering, subnet }] = astray;
  const seen = `rp_filter is 1 (strict), and the way back to ${subnet} is not through ${name}`;
  const why =
    'The kernel drops what comes from there out of the tunnel, without a trace (nstat -az TcpExtIPReversePathFilter).';
  const fix = 'sysctl -w net.ipv4.conf.all.rp_filter=2   # loose; and in /etc/sysctl.d';
  return [fault('reverse-path-filter', seen, why, fix, peering)];
}

/** Whether anything may pass at all. */
export function checkAccess({ config }: Configured): Said[] {
  const hasGroups = config.localGroups.length > 0;
  const closed = config.peerings.filter(({ acl, groups }) => acl < 0 && groups.length === 0 && !hasGroups);
  if (config.peerings.length === 0) {
    const fix = 'isthmus peering request NAME   # or add one under peerings';
    const why = 'There is nothing to carry. Requested peerings show only while the gateway runs.';
    return [hint('access-list', 'there is no peering', why, fix)];
  }
  if (closed.length === 0) return [ok('access-list', 'every peering has an access list or groups')];
  return closed.map(({ name }) =>
    warning(
      'access-list',
      'there is no access list and no security group',
      'Nothing passes: what no rule allows is denied.',
      'acl: NAME at the peering, and a list of that name under acls',
      name,
    ),
  );
}
