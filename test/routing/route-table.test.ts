import test from 'ava';
import { parsePrefix, formatPrefix } from '../../src/routing/prefix.ts';
import { ORIGINS, matchingRoutes, rankRoutes } from '../../src/routing/route-table.ts';
import type { Origin, Route } from '../../src/routing/route-table.ts';
import { buildRouteTables, compileOwners, compileTable } from '../../src/routing/route-tables.ts';
import type { Attachment, TableSpec } from '../../src/routing/route-tables.ts';
import { PrefixTable } from '../../src/routing/prefix-table.ts';
import { Routing, associations } from '../../src/routing/routing.ts';
import { BLACKHOLE, BUNDLE, LOCAL } from '../../src/routing/target.ts';

function route(cidr: string, origin: Origin, target: number): Route {
  return { prefix: parsePrefix(cidr), origin, target };
}

function attachment(target: number, table: string, propagateTo: string[], ...cidrs: string[]): Attachment {
  return { target, table, propagateTo, networks: cidrs.map(parsePrefix), origin: 'vpc' };
}

const same = (target: number): number => target;

/** Where a packet for `to` goes, of the tables as the data plane has them. */
function lead(specs: TableSpec[], attachments: Attachment[], from: number, to: string): number {
  const tables = buildRouteTables(specs, attachments);
  const association = associations(8, -1);
  for (const [index, { associated }] of tables.entries()) {
    for (const target of associated) association[target === LOCAL ? 0 : target + 1] = index;
  }
  const compiled = tables.map((table) => compileTable(table, same));
  const routing = new Routing({ owners: compileOwners(tables, attachments, same), tables: compiled, association });
  const { family, address } = parsePrefix(to);
  return routing.route(from === LOCAL ? -1 : from, family, ...address);
}

function owner(specs: TableSpec[], attachments: Attachment[], of: string): number {
  const table = new PrefixTable(compileOwners(buildRouteTables(specs, attachments), attachments, same));
  const { family, address } = parsePrefix(of);
  return table.lookup(family, ...address);
}

test('"An attachment is associated with exactly one route table and propagates to any number."', (t) => {
  const specs = ['x', 'y', 'z'].map((name) => ({ name, routes: [] }));
  const attachments = [
    attachment(LOCAL, 'x', ['y', 'z'], '10.0.0.0/16'),
    attachment(0, 'y', ['x', 'y', 'z'], '10.1.0.0/16', 'fd01::/16'),
    attachment(1, 'x', [], '10.2.0.0/16'),
  ];
  const tables = buildRouteTables(specs, attachments);
  t.deepEqual(
    tables.map(({ name, associated, propagating }) => [name, associated, propagating]),
    [
      ['x', [LOCAL, 1], [0]],
      ['y', [0], [LOCAL, 0]],
      ['z', [], [LOCAL, 0]],
    ],
  );
  t.deepEqual(
    tables.map(({ routes }) => routes.map(({ prefix, target }) => [formatPrefix(prefix), target])),
    [
      [
        ['10.1.0.0/16', 0],
        ['fd01::/16', 0],
      ],
      [
        ['10.0.0.0/16', LOCAL],
        ['10.1.0.0/16', 0],
        ['fd01::/16', 0],
      ],
      [
        ['10.0.0.0/16', LOCAL],
        ['10.1.0.0/16', 0],
        ['fd01::/16', 0],
      ],
    ],
  );
});

test('"A packet is looked up in the table associated with the attachment it came in by."', (t) => {
  const specs = [
    { name: 'x', routes: [route('10.9.0.0/16', 'static', 1)] },
    { name: 'y', routes: [route('10.9.0.0/16', 'static', 2)] },
  ];
  const attachments = [
    attachment(LOCAL, 'x', []),
    attachment(0, 'y', []),
    attachment(1, 'x', []),
    attachment(2, 'nowhere', []),
  ];
  t.is(lead(specs, attachments, LOCAL, '10.9.1.1'), 1);
  t.is(lead(specs, attachments, 0, '10.9.1.1'), 2);
  t.is(lead(specs, attachments, 1, '10.9.1.1'), 1);
  t.is(lead(specs, attachments, 2, '10.9.1.1'), -1, 'what is associated with no table has no route');
  t.is(lead(specs, attachments, 7, '10.9.1.1'), -1);
  t.is(lead(specs, attachments, 100, '10.9.1.1'), -1, 'nor has what no association was ever made for');
});

const ORDER =
  '"Order: longest prefix; then static over prefix-list reference over propagated from a VPC over propagated';

for (const [stronger, first] of ORIGINS.entries()) {
  for (const second of ORIGINS.slice(stronger + 1)) {
    test(`${ORDER} from VPN/Connect": ${first} over ${second}`, (t) => {
      const pair = [route('10.0.0.0/8', second, 2), route('10.0.0.0/8', first, 1)];
      for (const routes of [pair, pair.toReversed()]) {
        t.deepEqual(
          rankRoutes(routes).map(({ origin, state }) => [origin, state]),
          [
            [first, 'active'],
            [second, 'hidden'],
          ],
        );
        t.is(lead([{ name: 'x', routes }], [attachment(0, 'x', [])], 0, '10.4.4.4'), 1);
      }
    });

    test(`${ORDER} from VPN/Connect": a longer ${second} over a shorter ${first}`, (t) => {
      const routes = [route('10.0.0.0/8', first, 1), route('10.4.0.0/16', second, 2)];
      t.true(rankRoutes(routes).every(({ state }) => state === 'active'));
      t.is(lead([{ name: 'x', routes }], [attachment(0, 'x', [])], 0, '10.4.4.4'), 2);
      t.is(lead([{ name: 'x', routes }], [attachment(0, 'x', [])], 0, '10.5.4.4'), 1);
    });
  }
}

test('"A propagated route hidden by a static one of the same prefix comes back when the static one is removed."', (t) => {
  const attachments = [attachment(LOCAL, 'x', []), attachment(0, 'x', ['x'], '10.0.0.0/8')];
  const overriding = [{ name: 'x', routes: [route('10.0.0.0/8', 'static', BLACKHOLE)] }];
  t.is(lead(overriding, attachments, LOCAL, '10.4.4.4'), BLACKHOLE);
  t.deepEqual(
    buildRouteTables(overriding, attachments)[0].routes.map(({ origin, state }) => [origin, state]),
    [
      ['static', 'blackhole'],
      ['vpc', 'hidden'],
    ],
  );
  t.is(lead([{ name: 'x', routes: [] }], attachments, LOCAL, '10.4.4.4'), 0);
});

test('"A blackhole route drops what it matches. A prefix-list reference points at an attachment or is a blackhole."', (t) => {
  const routes = [
    route('10.1.0.0/16', 'static', BLACKHOLE),
    route('10.2.0.0/16', 'prefix-list', BLACKHOLE),
    route('10.3.0.0/16', 'prefix-list', 1),
    route('fd00::/8', 'static', BLACKHOLE),
  ];
  const attachments = [attachment(LOCAL, 'x', []), attachment(0, 'x', ['x'], '10.0.0.0/8', 'fd00:1::/32')];
  const to = (address: string): number => lead([{ name: 'x', routes }], attachments, LOCAL, address);
  t.is(to('10.1.2.3'), BLACKHOLE);
  t.is(to('10.2.2.3'), BLACKHOLE);
  t.is(to('10.3.2.3'), 1);
  t.is(to('10.4.2.3'), 0);
  t.is(to('fd00:2::1'), BLACKHOLE);
  t.is(to('fd00:1::1'), 0);
});

test('"ECMP only among attachments of one kind": of two kinds one alone counts', (t) => {
  const ranked = rankRoutes([route('10.0.0.0/8', 'vpn', 1), route('10.0.0.0/8', 'vpc', 2)]);
  t.deepEqual(
    ranked.map(({ target, state }) => [target, state]),
    [
      [2, 'active'],
      [1, 'hidden'],
    ],
  );
});

test('the routes that hold an address stand in the order in which they would be taken', (t) => {
  const ranked = rankRoutes([
    route('0.0.0.0/0', 'static', 1),
    route('10.0.0.0/8', 'vpc', 2),
    route('10.0.0.0/8', 'static', 3),
    route('10.4.0.0/16', 'vpn', 4),
    route('10.5.0.0/16', 'static', 5),
    route('::/0', 'static', 6),
  ]);
  const targets = (address: string): number[] =>
    matchingRoutes(ranked, parsePrefix(address)).map((each) => each.target);
  t.deepEqual(targets('10.4.1.1'), [4, 3, 2, 1]);
  t.deepEqual(targets('11.4.1.1'), [1]);
  t.deepEqual(targets('fd00::1'), [6]);
});

test("an address is the attachment's that has it among its networks, and else that of a static route", (t) => {
  const attachments = [
    attachment(LOCAL, 'x', ['y'], '172.31.0.0/16'),
    attachment(0, 'y', [], '10.1.0.0/16'),
    attachment(1, 'y', [], '10.2.0.0/16'),
  ];
  const specs = [
    {
      name: 'x',
      routes: [
        route('10.1.0.0/16', 'static', 1),
        route('10.2.7.0/24', 'static', 0),
        route('10.0.0.0/8', 'static', 1),
        route('10.2.9.0/24', 'static', BLACKHOLE),
      ],
    },
    { name: 'y', routes: [route('10.0.0.0/8', 'static', 0), route('172.30.0.0/16', 'prefix-list', LOCAL)] },
  ];
  const rows: [string, number][] = [
    ['172.31.1.1', LOCAL],
    ['10.1.1.1', 0],
    ['10.2.1.1', 1],
    ['10.2.7.1', 0],
    ['10.2.9.1', 1],
    ['10.9.9.9', 1],
    ['172.30.1.1', LOCAL],
    ['192.0.2.1', -1],
  ];
  for (const [address, expected] of rows) t.is(owner(specs, attachments, address), expected, address);
});

test('a target of no slot is above every slot', (t) => {
  for (const target of [LOCAL, BUNDLE, BLACKHOLE]) t.true(target >= 1 << 28);
  t.is(new Set([LOCAL, BUNDLE, BLACKHOLE]).size, 3);
});

test('"Quotas: 20 tables, 10,000 routes" are no limit here: 100,000 routes, all found', (t) => {
  const routes = Array.from({ length: 100_000 }, (_, index) => {
    const address = [0, 0, 0, (10 << 24) | (index << 8)] as const;
    return { prefix: { family: 4 as const, address, bits: 24 }, origin: 'static' as const, target: index % 1000 };
  });
  const [table] = buildRouteTables([{ name: 'x', routes }], []);
  const lookup = new PrefixTable(compileTable(table, same));
  for (let index = 0; index < 100_000; index += 997) {
    t.is(lookup.lookup(4, 0, 0, 0, (10 << 24) | (index << 8) | 7), index % 1000);
  }
});
