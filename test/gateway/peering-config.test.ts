import test from 'ava';
import { readConfig } from '../../src/control/config.ts';
import type { GatewayConfig } from '../../src/gateway/config.ts';
import { difference } from '../../src/gateway/difference.ts';
import { withRequested, worldOf } from '../../src/gateway/peering-config.ts';
import { tunnelRoutes, routesStatus } from '../../src/gateway/routing.ts';
import { remove } from '../../src/peering/lifecycle.ts';
import type { PeeringRecord } from '../../src/peering/record.ts';
import { formatPrefix } from '../../src/routing/prefix.ts';
import { idOf, invitationOf, NEXT_PSK, PSK, START, talk, twoEnds } from '../peering/ends.ts';

function config(text: string): GatewayConfig {
  const result = readConfig({ text, file: 'gateway.yaml', directory: '/', exposedMode: undefined }, {});
  if ('faults' in result) throw new Error(result.faults[0].message);
  return result.config;
}

const ALONE = config(`
gateway: {name: a, address: 100.64.0.1/32, subnets: [172.31.0.0/16, 'fd00:a::/32']}
peerings: []
acls: {peers: [{action: allow}]}
`);

/** What both sides have once a request was accepted; and, at the requester, before. */
function records(): Record<'pending' | 'requester' | 'provisioning' | 'accepter', PeeringRecord> {
  const { a, b } = twoEnds();
  a.request({ acl: 'peers' });
  const pending = a.get(idOf(1));
  b.accept(invitationOf(a));
  const provisioning = b.get(idOf(1));
  talk(a, b);
  return { pending, provisioning, requester: a.get(idOf(1)), accepter: b.get(idOf(1)) };
}

const routesOf = (merged: GatewayConfig): string[] => tunnelRoutes(merged).map(formatPrefix);
const bytes = (psk: string): Uint8Array => Uint8Array.from(Buffer.from(psk, 'base64url'));

test('without requested peerings a configuration is the file’s', (t) => {
  t.is(withRequested(ALONE, []), ALONE);
  t.is(withRequested(ALONE, [{ ...records().requester, psk: '' }]), ALONE);
});

test('a request that is pending has a session to come, and no route', (t) => {
  const merged = withRequested(ALONE, [records().pending]);
  t.deepEqual(merged.peerings[0].keys, { kind: 'psk', role: 'server', cipher: 'auto', psk: bytes(PSK) });
  t.deepEqual(merged.peerings[0].subnets, []);
  t.true(merged.peerings[0].unrouted);
  t.is(merged.peerings[0].acl, -1);
  t.deepEqual(routesOf(merged), []);
});

test('an active one is routed and judged like one of the file, in the tables of the mode', (t) => {
  const { requester } = records();
  const merged = withRequested(ALONE, [requester]);
  t.deepEqual(routesOf(merged), ['192.168.0.0/16', 'fd00:b::/32']);
  t.is(merged.peerings[0].acl, 0);
  t.is(merged.peerings[0].unrouted, undefined);
  const tables = new Map(routesStatus(merged).tables.map((table) => [table.name, table]));
  t.deepEqual(tables.get('peerings')?.associated, ['b']);
  t.deepEqual(tables.get('local')?.propagating, ['local', 'b']);
  const changed = difference(ALONE, merged).filter(({ path }) => path.startsWith('peerings['));
  t.deepEqual(
    changed.map(({ change, path }) => `${change} ${path}`),
    ['add peerings[b]'],
  );
  const hub = { ...ALONE, mode: 'hub' as const };
  t.is(withRequested(hub, [requester]).peerings[0].routeTable, 'hub');
});

test('the accepter calls, and takes up its next PSK once the requester has confirmed', (t) => {
  const { provisioning, accepter } = records();
  const file: GatewayConfig = { ...ALONE, subnets: [], addresses: [] };
  const [before] = withRequested(file, [provisioning]).peerings;
  t.deepEqual(before.endpoint, { host: '198.51.100.1', port: 51820 });
  t.is(before.keepaliveMs, 25_000);
  t.deepEqual(before.keys, { kind: 'psk', role: 'client', cipher: 'auto', psk: bytes(PSK) });
  const [after] = withRequested(file, [accepter]).peerings;
  t.deepEqual(after.keys, { kind: 'psk', role: 'client', cipher: 'auto', psk: bytes(PSK), next: bytes(NEXT_PSK) });
  const [six] = withRequested(file, [{ ...accepter, endpoint: '[2001:db8::1]:51820' }]).peerings;
  t.deepEqual(six.endpoint, { host: '2001:db8::1', port: 51820 });
});

test('one that is being deleted has its session and nothing else; its name can be given again', (t) => {
  const { requester } = records();
  const deleting = (remove(requester, START) as { record: PeeringRecord }[])[0].record;
  t.deepEqual(routesOf(withRequested(ALONE, [deleting])), []);
  t.true(withRequested(ALONE, [deleting]).peerings[0].unrouted, 'it is no longer among the peers of the status');
  const again = { ...records().pending, id: idOf(2), psk: NEXT_PSK };
  const { peerings } = withRequested(ALONE, [{ ...deleting, state: 'deleted' }, again]);
  t.is(peerings.length, 1);
  t.deepEqual(peerings[0].keys, { kind: 'psk', role: 'server', cipher: 'auto', psk: bytes(NEXT_PSK) });
});

test('one that is over gives way to a peering of its name in the file', (t) => {
  const record: PeeringRecord = { ...records().requester, state: 'deleted' };
  const { peerings } = withRequested(ALONE, [record]);
  const file = { ...ALONE, peerings: [{ ...peerings[0], unrouted: false, keepaliveMs: 1000 }] };
  t.is(withRequested(file, [record]), file);
});

for (const [what, file, said] of [
  ['name', '{name: b, role: server, psk: PSK, subnets: [10.9.0.0/16]}', 'the file has a peering b too'],
  [
    'network of a peering',
    '{name: c, role: server, psk: PSK, subnets: [192.168.7.0/24]}',
    '192.168.0.0/16 there overlaps 192.168.7.0/24 of peering c',
  ],
] as const) {
  test(`a file that takes a requested peering’s ${what} leaves no room for it`, (t) => {
    const text = file.replace('PSK', '0123456789abcdef'.repeat(4));
    const next = config(`
gateway: {name: a, subnets: [172.31.0.0/16]}
peerings: [${text}]
acls: {peers: [{action: allow}]}
`);
    const error = t.throws(() => withRequested(next, [records().requester]), { code: 'ISTHMUS_PEERING_CONFLICT' });
    t.true(error.message.startsWith(`the requested peering b does not go with the configuration file: ${said}.`));
  });
}

test('so does one whose own networks now overlap it, or that has no longer its ACL', (t) => {
  const { requester } = records();
  const wider = config('gateway: {name: a, subnets: [192.168.0.0/24]}\npeerings: []\nacls: {peers: [{action: allow}]}');
  t.throws(() => withRequested(wider, [requester]), {
    message: /192\.168\.0\.0\/16 there overlaps 192\.168\.0\.0\/24 here/,
  });
  const bare = config('gateway: {name: a, subnets: [172.31.0.0/16]}\npeerings: []');
  t.throws(() => withRequested(bare, [requester]), { message: /its ACL, peers, is not in the file/ });
});

test('what a gateway says of itself: its networks, its own address alone, and the file’s peerings', (t) => {
  const file: GatewayConfig = { ...ALONE, addresses: [{ family: 4, address: [0, 0, 0, 0x0a080001], bits: 30 }] };
  const world = worldOf(file, []);
  t.deepEqual(world.addresses, ['10.8.0.1/32']);
  t.deepEqual(world.subnets, ['172.31.0.0/16', 'fd00:a::/32']);
  t.is(world.quota, 50);
});
