import { readFileSync } from 'node:fs';
import test from 'ava';
import { formatFault, readConfig } from '../../src/control/config.ts';
import type { GatewayConfig } from '../../src/gateway/config.ts';
import { compileRouting, tunnelRoutes, routesStatus } from '../../src/gateway/routing.ts';
import { formatPrefix, parsePrefix } from '../../src/routing/prefix.ts';
import { Routing } from '../../src/routing/routing.ts';
import { BLACKHOLE, LOCAL } from '../../src/routing/target.ts';

const MANUAL = readFileSync(new URL('../../../docs/routing.md', import.meta.url), 'utf8');
const NO_BUNDLES = new Map<string, number>();
const ENVIRONMENT = Object.fromEntries([1, 2, 3].map((digit) => [`PSK_${digit}`, String(digit).repeat(64)]));

/** Each example of the manual: its configuration, and the rows of the table below it. */
const EXAMPLES = MANUAL.split('<!-- example: ')
  .slice(1)
  .map((part) => ({
    name: part.slice(0, part.indexOf(' -->')),
    yaml: /```yaml\n([^]*?)```/.exec(part)![1],
    rows: [...part.split(/\n#+ /)[0].matchAll(/^\| (\w+) +\| (\S+) +\| (\w+) +\|$/gm)].map(([, ...cells]) => cells),
  }));

function load(text: string): GatewayConfig {
  const result = readConfig({ text, file: 'example', directory: '/' }, ENVIRONMENT);
  if ('faults' in result) throw new Error(result.faults.map(formatFault).join('\n'));
  return result.config;
}

/** Where the data plane of this configuration leads a packet. */
function leader(config: GatewayConfig): (from: string, to: string) => string {
  // Slots are not places in the file: a peering keeps its own while others come and go.
  const slots = new Map(config.peerings.map(({ name }, index) => [name, 1000 - index]));
  const routing = new Routing(compileRouting(config, slots, NO_BUNDLES));
  return (from, to) => {
    const { family, address } = parsePrefix(to);
    const target = routing.route(slots.get(from) ?? -1, family, ...address);
    if (target < 0) return 'nothing';
    if (target === LOCAL) return 'local';
    return target === BLACKHOLE ? 'blackhole' : [...slots].find(([, slot]) => slot === target)![0];
  };
}

test('the manual has an example of each kind', (t) => {
  t.deepEqual(
    EXAMPLES.map(({ name }) => name),
    ['peering', 'hub', 'isolated spokes', 'shared services', 'blackhole'],
  );
});

for (const { name, yaml, rows } of EXAMPLES) {
  test(`the manual's example "${name}" leads packets where its table says`, (t) => {
    const config = load(yaml);
    const lead = leader(config);
    t.true(rows.length > 5);
    const attachments = ['local', ...config.peerings.map((peering) => peering.name)];
    for (const [from, to, target] of rows) {
      t.true(attachments.includes(from));
      t.is(lead(from, to), target, `from ${from} to ${to}`);
    }
  });
}

const PEERING = load(EXAMPLES[0].yaml);
const BLACKHOLES = load(EXAMPLES[4].yaml);

test('"Not transitive": of VPC peering, between any two peerings nothing leads', (t) => {
  const lead = leader(PEERING);
  for (const from of ['beijing', 'tokyo']) {
    for (const to of ['192.168.0.1', '10.1.0.1', '203.0.113.1', '8.8.8.8']) t.is(lead(from, to), 'nothing');
  }
});

test('"no use of the peer\'s internet gateway, NAT or VPN": from a peering the local VPC alone is reached', (t) => {
  // A way out for the local VPC, be it to the internet or to a VPN, is a route of the local VPC's table.
  const { routes } = PEERING.routeTables.find(({ name }) => name === 'local')!;
  const out = { prefix: parsePrefix('0.0.0.0/0'), origin: 'static', target: 1 } as const;
  const routeTables = PEERING.routeTables.map((table) =>
    table.name === 'local' ? { ...table, routes: [...routes, out] } : table,
  );
  const lead = leader({ ...PEERING, routeTables });
  t.is(lead('local', '8.8.8.8'), 'tokyo');
  t.is(lead('beijing', '8.8.8.8'), 'nothing');
  t.is(lead('beijing', '172.31.0.9'), 'local');
});

test('"Gateway peering attachments take static routes only" is no limit here: a peering propagates its subnets', (t) => {
  const { routes, propagating } = routesStatus(PEERING).tables.find(({ name }) => name === 'local')!;
  t.deepEqual(propagating.toSorted(), ['beijing', 'local', 'tokyo']);
  t.true(routes.filter(({ target }) => target === 'beijing').every(({ origin }) => origin === 'vpc'));
});

test('"No reverse-path check in AWS: replies follow longest prefix. (Isthmus does check sources: DESIGN.md.)"', (t) => {
  const slots = new Map(PEERING.peerings.map(({ name }, index) => [name, index]));
  const routing = new Routing(compileRouting(PEERING, slots, NO_BUNDLES));
  const owner = (address: string): number => {
    const parsed = parsePrefix(address);
    return routing.owner(parsed.family, ...parsed.address);
  };
  t.deepEqual(['172.31.0.9', '10.8.0.1', '192.168.0.1', '10.1.0.1', '10.8.0.2', '8.8.8.8'].map(owner), [
    LOCAL,
    LOCAL,
    0,
    1,
    -1,
    -1,
  ]);
});

test('"Quotas: 50 active per VPC (up to 125)" are no limit here', (t) => {
  const peerings = Array.from({ length: 500 }, (_, index) => ({
    ...PEERING.peerings[0],
    name: `p${index}`,
    subnets: [parsePrefix(`10.${index >> 8}.${index & 255}.0/24`)],
  }));
  const lead = leader({ ...PEERING, peerings });
  t.is(lead('local', '10.1.200.9'), 'p456');
  t.is(lead('p456', '172.31.0.9'), 'local');
});

test('"Multicast: groups of attachments" is not done: no such packet has a route', (t) => {
  for (const from of ['local', 'a', 'b']) {
    t.is(leader(BLACKHOLES)(from, '224.0.0.251'), 'nothing');
    t.is(leader(BLACKHOLES)(from, 'ff02::fb'), 'nothing');
  }
});

test('the host routes into the tunnel what the table of the local VPC leads to a peering or a blackhole', (t) => {
  t.deepEqual(tunnelRoutes(PEERING).map(formatPrefix), ['10.1.0.0/16', '192.168.0.0/16']);
  t.deepEqual(tunnelRoutes(BLACKHOLES).map(formatPrefix), [
    '10.1.0.0/16',
    '10.1.66.0/24',
    '10.2.0.0/16',
    '10.2.0.0/24',
    '10.50.0.0/16',
    '198.51.100.0/24',
  ]);
});

test('what the host has by itself is not routed: its own overlay networks, a default route, what other tables have', (t) => {
  const config = load(`
gateway: {name: a, address: 10.8.0.1/24, subnets: 172.31.0.0/16}
route_tables:
  local: {routes: [{destination: 0.0.0.0/0, via: b}, {destination: "::/0", via: blackhole}]}
  peerings: {routes: [{destination: 10.7.0.0/16, via: local}]}
peerings: [{name: b, role: client, psk: {env: PSK_1}, address: 10.8.0.2, subnets: 10.1.0.0/16}]`);
  t.deepEqual(tunnelRoutes(config).map(formatPrefix), ['10.1.0.0/16']);
  t.is(leader(config)('local', '198.51.100.1'), 'b');
  t.is(leader(config)('b', '10.7.0.1'), 'local');
});

test('the tables as they are shown: names, origins, states, lines', (t) => {
  const { mode, tables } = routesStatus(BLACKHOLES);
  t.is(mode, 'hub');
  t.is(tables.length, 1);
  t.like(tables[0], { name: 'hub', associated: ['local', 'a', 'b'], propagating: ['local', 'a', 'b'] });
  const shown = tables[0].routes.map((route) => [
    route.destination,
    route.target,
    route.origin,
    route.prefix_list,
    route.state,
  ]);
  t.deepEqual(shown, [
    ['10.0.0.0/16', 'local', 'vpc', null, 'active'],
    ['10.1.0.0/16', 'a', 'vpc', null, 'active'],
    ['10.1.66.0/24', 'blackhole', 'prefix-list', 'quarantine', 'blackhole'],
    ['10.2.0.0/16', 'b', 'vpc', null, 'active'],
    ['10.2.0.0/24', 'blackhole', 'static', null, 'blackhole'],
    ['10.8.0.1/32', 'local', 'vpc', null, 'active'],
    ['10.50.0.0/16', 'b', 'static', null, 'active'],
    ['198.51.100.0/24', 'blackhole', 'prefix-list', 'quarantine', 'blackhole'],
  ]);
  t.deepEqual(
    tables[0].routes.filter(({ line }) => line !== null).map(({ line }) => line),
    [8, 7, 9, 8],
  );
});

test("a mode's tables are there when they are used, and a peering may have the name of a target", (t) => {
  const config = load(`
gateway: {name: a, route_table: t, propagate_to: []}
route_tables: {t: {routes: [{destination: 10.9.0.0/16, via: local}]}}
peerings: [{name: local, role: client, psk: {env: PSK_1}, subnets: 10.1.0.0/16, propagate_to: t}]`);
  t.deepEqual(
    config.routeTables.map(({ name }) => name),
    ['peerings', 't'],
  );
  const [peerings, own] = routesStatus(config).tables;
  t.like(peerings, { associated: ['local'], propagating: [] });
  t.is(own.routes.find(({ destination }) => destination === '10.1.0.0/16')!.origin, 'vpc');
  t.deepEqual(tunnelRoutes(config).map(formatPrefix), ['10.1.0.0/16']);
});
