import test from 'ava';
import { readConfig } from '../../src/control/config.ts';
import type { GatewayConfig } from '../../src/gateway/config.ts';
import { difference, formatChanges } from '../../src/gateway/difference.ts';

const PSK = '0123456789abcdef'.repeat(4);
const FILE = `
gateway:
  name: ningxia
  address: 10.8.0.1/24
  listen: 51820
  subnets: [172.31.0.0/16]
peerings:
  - name: beijing
    role: server
    psk: ${PSK}
    endpoint: 203.0.113.7:51820
    address: 10.8.0.2
    subnets: [192.168.0.0/16]
    acl: web
  - name: hefei
    role: client
    psk: ${'fedcba9876543210'.repeat(4)}
    address: 10.8.0.3
    subnets: [10.99.0.0/16]
acls:
  web:
    - {name: web, action: allow, direction: in, protocol: tcp, destination: 172.31.1.0/24, ports: 443}
    - {name: ping, action: allow, protocol: icmp}
  closed: []
prefix_lists: {Far: [10.64.0.0/16]}
route_tables:
  spokes:
    routes:
      - {destination: 10.7.0.0/16, via: local}
      - {destination: {prefix_list: Far}, via: blackhole}
`;

function config(text: string): GatewayConfig {
  const result = readConfig({ text, file: 'gateway.yaml', directory: '/' }, {});
  if ('faults' in result) throw new Error(result.faults.map(({ message }) => message).join('\n'));
  return result.config;
}

const table: { what: string; edit: [RegExp | string, string][]; changes: string[] }[] = [
  { what: 'the same file changes nothing', edit: [], changes: [] },
  {
    what: 'what is written otherwise, or where it stands, changes nothing',
    edit: [
      ['acls:', '# a comment, and a blank line\n\nacls:'],
      ['listen: 51820', ''],
      ['closed: []', 'closed: {default: deny, rules: []}'],
    ],
    changes: [],
  },
  {
    what: 'a status page and its token',
    edit: [['  listen: 51820', '  metrics: {listen: 9586, page: true, token: 0123456789abcdefg}']],
    changes: [
      '~ gateway.metrics.listen: none -> 127.0.0.1:9586',
      '~ gateway.metrics.page: none -> true',
      '~ gateway.metrics.token: none -> (secret)',
      '~ gateway.metrics.hosts: none -> []',
    ],
  },
  {
    what: 'a shape',
    edit: [
      [
        '    acl: web\n',
        '    acl: web\n    shape: {out: {rate: 2.5mbit, burst: 64kb, classes: [{name: voice, dscp: ef}]}}\n',
      ],
    ],
    changes: [
      '+ peerings[beijing].shape.out.classes[voice]',
      '+ peerings[beijing].shape.out.classes[(default)]',
      '~ peerings[beijing].shape.out.rate: none -> 2.5mbit',
      '~ peerings[beijing].shape.out.burst: none -> 64000b',
    ],
  },
  {
    what: 'rates of a rule',
    edit: [['name: ping, action: allow', 'name: ping, action: allow, rate: 1mbit, per_flow: 64kbit']],
    changes: ['~ acls[web].rules[ping].rate: none -> 1mbit', '~ acls[web].rules[ping].per_flow: none -> 64kbit'],
  },
  { what: 'a port', edit: [['listen: 51820', 'listen: 51821']], changes: ['~ gateway.listen: 51820 -> 51821'] },
  {
    what: 'an address to listen at',
    edit: [['listen: 51820', 'listen: "[2001:db8::1]:51821"']],
    changes: ['~ gateway.listen: 51820 -> [2001:db8::1]:51821'],
  },
  {
    what: 'what cannot be changed while the gateway runs is named',
    edit: [['listen: 51820', 'interface: ist7\n  rekey: 60s\n  flows: 4096']],
    changes: [
      "~ gateway.interface: ist0 -> ist7   can't change while the gateway runs",
      "~ gateway.rekey: 120s -> 60s   can't change while the gateway runs",
      "~ gateway.flows: 131072 -> 4096   can't change while the gateway runs",
    ],
  },
  {
    what: 'networks',
    edit: [['[192.168.0.0/16]', '[192.168.0.0/17, "fd00:b::/32"]']],
    changes: ['~ peerings[beijing].subnets: [192.168.0.0/16] -> [192.168.0.0/17, fd00:b::/32]'],
  },
  {
    what: 'an endpoint, and a key that comes or goes',
    edit: [
      ['endpoint: 203.0.113.7:51820', 'endpoint: vpn.example.com:51820\n    keepalive: 25s'],
      ['acl: web', ''],
    ],
    changes: [
      '~ peerings[beijing].endpoint: 203.0.113.7:51820 -> vpn.example.com:51820',
      '~ peerings[beijing].keepalive: 0s -> 25s',
      '~ peerings[beijing].acl: web -> none',
    ],
  },
  {
    what: 'a secret is never shown',
    edit: [[PSK, PSK.replace('0', 'f')]],
    changes: ['~ peerings[beijing].psk: (secret) -> (secret)'],
  },
  {
    what: 'a peering that gets another name goes and comes; one that moves in the file stays',
    edit: [
      [/( {2}- name: beijing[^]*acl: web\n)( {2}- name: hefei[^]*)(?=acls)/, '$2$1'],
      ['hefei', 'shanghai'],
    ],
    changes: ['- peerings[hefei]', '+ peerings[shanghai]'],
  },
  {
    what: 'a list that a peering names by its place changes nothing when the place does',
    edit: [['acls:', 'acls:\n  first: []']],
    changes: ['+ acls[first]'],
  },
  {
    what: 'a rule that changes, one that comes, and one that goes',
    edit: [
      ['ports: 443', 'ports: [443, 8000-8080]'],
      [/.*name: ping.*/, '    - {name: dns, action: allow, protocol: udp, ports: 53}'],
    ],
    changes: [
      '- acls[web].rules[ping]',
      '+ acls[web].rules[dns]',
      '~ acls[web].rules[web].ports: [443] -> [443, 8000-8080]',
    ],
  },
  {
    what: 'the order of rules matters',
    edit: [[/(.*name: web, .*\n)(.*name: ping.*\n)/, '$2$1']],
    changes: ['~ acls[web].rules: web, ping -> ping, web'],
  },
  {
    what: 'routes: one that comes, one that leads elsewhere, a list with other networks',
    edit: [
      ['subnets: [10.99.0.0/16]', 'subnets: [10.99.0.0/16]\n    propagate_to: [spokes]'],
      ['{destination: 10.7.0.0/16, via: local}', '{destination: 10.7.0.0/16, via: Beijing2}'],
      ['routes:', 'routes:\n      - {destination: "2001:db8::/32", via: blackhole}'],
      ['[10.64.0.0/16]', '[10.64.0.0/16, 10.65.0.0/16]'],
      ['name: beijing', 'name: Beijing2'],
    ],
    changes: [
      '- peerings[beijing]',
      '+ peerings[Beijing2]',
      '~ peerings[hefei].propagate_to: [local] -> [spokes]',
      '~ route_tables[spokes].routes.10.7.0.0/16: local -> Beijing2',
      '~ route_tables[spokes].routes.prefix_list Far: blackhole, 1 network (DIGEST) -> blackhole, 2 networks (DIGEST)',
      '~ route_tables[spokes].routes.2001:db8::/32: none -> blackhole',
    ],
  },
  {
    what: "a list's default",
    edit: [['closed: []', 'closed: {default: allow, rules: []}']],
    changes: ['~ acls[closed].default: deny -> allow'],
  },
];

for (const { what, edit, changes } of table) {
  test(`difference: ${what}`, (t) => {
    const next = edit.reduce((text, [from, to]) => {
      const edited = text.replace(from, to);
      t.not(edited, text, String(from));
      return edited;
    }, FILE);
    t.deepEqual(
      formatChanges(difference(config(FILE), config(next)))
        .replace(/\([0-9a-f]{8}\)/g, '(DIGEST)')
        .split('\n')
        .slice(0, -1),
      changes,
    );
  });
}

test('difference: as JSON, with what is refused', (t) => {
  const next = config(FILE.replace('listen: 51820', 'interface: ist7'));
  t.deepEqual(difference(config(FILE), next), [
    { change: 'change', path: 'gateway.interface', before: 'ist0', after: 'ist7', refused: true },
  ]);
});
