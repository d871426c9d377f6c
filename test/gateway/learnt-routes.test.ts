import test from 'ava';
import { readConfig } from '../../src/control/config.ts';
import type { GatewayConfig } from '../../src/gateway/config.ts';
import { learn, withLearnt, type KernelRoute } from '../../src/gateway/learnt-routes.ts';
import { compileRouting, routesStatus } from '../../src/gateway/routing.ts';
import { formatPrefix } from '../../src/gateway/text.ts';
import { Routing } from '../../src/routing/routing.ts';
import { packetWords } from '../wire/packets.ts';

const FILE = `
gateway: {name: a, address: [10.8.0.1/24, fd00:8::1/64], subnets: [172.31.0.0/16]}
peerings:
  - {name: b, role: client, psk: ${'ab'.repeat(32)}, address: [10.8.0.2, fd00:8::2], subnets: [], learn: {accept: [0.0.0.0/0, fd00::/16], max: 3}}
  - {name: c, role: client, psk: ${'cd'.repeat(32)}, address: 10.8.0.3, subnets: 10.3.0.0/16, learn: {accept: 10.0.0.0/8}}
  - {name: d, role: client, psk: ${'ef'.repeat(32)}, address: 10.8.0.4, subnets: 10.4.0.0/16}
`;

function config(text = FILE): GatewayConfig {
  const result = readConfig({ text, file: 'a.yaml', directory: '/' }, {});
  if ('faults' in result) throw new Error(result.faults.map(({ message }) => message).join('\n'));
  return result.config;
}

const route = (dst: string, gateway: string, protocol = 'bird'): KernelRoute => ({ dst, gateway, protocol });

/** The name of who learns it, or why nobody does. */
const table: [KernelRoute, string][] = [
  [route('192.168.1.0/24', '10.8.0.2'), 'b'],
  [route('192.168.1.9', '10.8.0.2'), 'b'],
  [route('default', '10.8.0.2'), 'b'],
  [route('fd00:b::/32', 'fd00:8::2'), 'b'],
  [{ dst: '192.168.1.0/24', via: { host: 'fd00:8::2' }, protocol: 'bird' }, 'b'],
  [route('10.3.7.0/24', '10.8.0.3'), 'c'],
  [route('10.0.0.0/8', '10.8.0.2'), 'b'],
  [route('10.9.0.0/16', '10.8.0.3', 'zebra'), 'c'],
  [route('2001:db8::/32', 'fd00:8::2'), '2001:db8::/32 from b: it is not accepted'],
  [route('192.168.1.0/24', '10.8.0.3'), '192.168.1.0/24 from c: it is not accepted'],
  [route('172.31.9.0/24', '10.8.0.2'), '172.31.9.0/24 from b: it is ours'],
  [route('10.8.0.1', '10.8.0.2'), '10.8.0.1/32 from b: it is ours'],
  [route('10.4.1.0/24', '10.8.0.2'), '10.4.1.0/24 from b: it is of d'],
  [route('10.8.0.4', '10.8.0.2'), '10.8.0.4/32 from b: it is of d'],
  [route('192.168.1.0/24', '10.8.0.4'), ''],
  [route('192.168.1.0/24', '10.8.0.99'), ''],
  [{ dst: '192.168.1.0/24', protocol: 'bird' }, ''],
  ...['kernel', 'boot', 'static', 'ra', 'redirect', 'dhcp'].map((by): [KernelRoute, string] => [
    route('192.168.1.0/24', '10.8.0.2', by),
    '',
  ]),
];

for (const [kernel, wanted] of table) {
  test(`${JSON.stringify(kernel)}: ${wanted || 'nobody learns it'}`, (t) => {
    const { routes, refused } = learn(config(), [kernel]);
    t.is([...routes.keys(), ...refused].join(), wanted);
  });
}

test('of too many the lowest addresses are learnt, whatever their order', (t) => {
  const kernel = [5, 3, 1, 4, 2].map((net) => route(`192.168.${net}.0/24`, '10.8.0.2'));
  const { routes, refused } = learn(config(), kernel);
  t.deepEqual(routes.get('b')!.map(formatPrefix), ['192.168.1.0/24', '192.168.2.0/24', '192.168.3.0/24']);
  t.deepEqual(
    refused,
    [4, 5].map((net) => `192.168.${net}.0/24 from b: it has 3 routes already`),
  );
});

test('what was learnt is a subnet of the peer, and the file stays as it is', (t) => {
  const before = config();
  const after = withLearnt(before, learn(before, [route('10.3.7.0/24', '10.8.0.3'), route('10.9.0.0/16', '10.8.0.3')]));
  t.deepEqual(after.peerings[1].subnets.map(formatPrefix), ['10.3.0.0/16', '10.3.7.0/24', '10.9.0.0/16']);
  t.deepEqual(before.peerings[1].subnets.map(formatPrefix), ['10.3.0.0/16']);
});

const RANKED = `
gateway: {name: a, address: 10.8.0.1/24, subnets: [172.31.0.0/16]}
peerings:
  - {name: b, role: client, psk: ${'ab'.repeat(32)}, address: 10.8.0.2, subnets: 10.2.0.0/16, learn: {accept: 10.0.0.0/8}}
  - {name: c, role: client, psk: ${'cd'.repeat(32)}, address: 10.8.0.3, subnets: 10.3.0.0/16, learn: {accept: 10.0.0.0/8}, bundle: x}
  - {name: d, role: client, psk: ${'ef'.repeat(32)}, address: 10.8.0.4, subnets: 10.3.0.0/16, learn: {accept: 10.0.0.0/8}, bundle: x}
route_tables:
  local:
    routes:
      - {destination: 10.60.0.0/16, via: x}
`;

test('what was learnt ranks behind what is written, also of a bundle, and takes no address from it', (t) => {
  const before = config(RANKED);
  const kernel = ['10.2.0.0/16', '10.50.0.0/16', '10.60.0.0/16'].map((dst) => route(dst, '10.8.0.2'));
  const shared = [
    route('10.3.0.0/16', '10.8.0.3'),
    route('10.70.0.0/16', '10.8.0.3'),
    route('10.70.0.0/16', '10.8.0.4'),
  ];
  const learnt = learn(before, [...kernel, ...shared]);
  t.deepEqual(learnt.refused, []);
  const after = withLearnt(before, learnt);
  const { routes, propagating } = routesStatus(after).tables.find(({ name }) => name === 'local')!;
  t.deepEqual(propagating, ['local', 'b', 'c', 'd', 'x']);
  t.deepEqual(
    routes
      .filter(({ destination }) => /^10\.(?!8\.)/.test(destination))
      .map(({ destination, target, origin, state }) => `${destination} ${target} ${origin} ${state}`),
    [
      '10.2.0.0/16 b vpc active',
      '10.2.0.0/16 b vpn hidden',
      '10.3.0.0/16 x vpc active',
      '10.3.0.0/16 x vpn hidden',
      '10.50.0.0/16 b vpn active',
      '10.60.0.0/16 x static active',
      '10.60.0.0/16 b vpn hidden',
      '10.70.0.0/16 x vpn active',
    ],
  );
  const slots = new Map(after.peerings.map(({ name }, slot) => [name, slot]));
  const program = compileRouting(after, slots, new Map([['x', 100]]));
  const routing = new Routing(program);
  const to = (address: string): [number, number] => {
    const [w0, w1, w2, w3] = packetWords(address);
    return [routing.route(-1, 4, w0, w1, w2, w3), routing.owner(4, w0, w1, w2, w3)];
  };
  t.deepEqual(to('10.2.0.9'), [0, 0]);
  t.deepEqual(to('10.50.0.9'), [0, 0]);
  t.deepEqual(to('10.60.0.9'), [100, 100]);
  t.deepEqual(to('10.70.0.9'), [100, 100]);
});
