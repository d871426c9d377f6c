import test from 'ava';
import type { Context } from '../../src/doctor/context.ts';
import { examine } from '../../src/doctor/examine.ts';
import { readIptables } from '../../src/doctor/firewall-iptables.ts';
import { CHECKS, type CheckId, type Severity } from '../../src/doctor/findings.ts';
import { formatReport } from '../../src/doctor/report.ts';
import { withListed } from '../../src/gateway/peering-config.ts';
import type { PeeringStatus } from '../../src/gateway/peering-status.ts';
import { config, context, endpoint, FILE, link, LINKS, refusal, route, ROUTES, running, way, ways } from './world.ts';

const host = (given: Partial<Context['host']>): Partial<Context> => ({ host: { ...context().host, ...given } });
const network = (given: Partial<Context['network']>): Partial<Context> => ({
  network: { ...context().network, ...given },
});
const LOST = { has_session: false, last_handshake_s: null, handshakes: 0, cipher: null, clock_skew_s: null };
const stopped = { running: { kind: 'no' } } as const;
/** Before a start there is no interface. */
const absent = { ...stopped, ...network({ links: LINKS.slice(0, 2) }) };
const called = { config: config(['    endpoint: 203.0.113.7:51820\n', '']), endpoints: new Map() };
const IDENTITY = {
  ...{ instanceId: 'i-1', region: 'cn-north-1', interfaceId: 'eni-1', vpcId: 'vpc-1' },
  ...{ vpcCidrs: ['172.31.0.0/16'], securityGroupIds: ['sg-1'] },
};
const DETAILS = {
  ...{ sourceDestCheck: false, tables: ['rtb-1'] },
  routes: [{ table: 'rtb-1', destination: '192.168.0.0/16', interfaceId: 'eni-1' }],
  permissions: [{ protocol: 'udp', from: 51820, to: 51820 }],
};
const ec2 = (given: object | string): Partial<Context> => ({
  ec2: { identity: IDENTITY, details: typeof given === 'string' ? given : { ...DETAILS, ...given } },
});

type Row = readonly [what: string, given: Partial<Context>, id: CheckId, severity: Severity, seen: RegExp, fix: RegExp];

/** Each is the first finding, or the first beside those that follow from it. */
const TABLE: readonly Row[] = [
  ['no capability', host({ netAdmin: false }), 'privileges', 'fault', /no CAP_NET_ADMIN/, /^sudo isthmus doctor/],
  ['no ip', host({ hasIp: false }), 'iproute2', 'fault', /ip is missing/, /apt-get install iproute2/],
  ['no TUN, before a start', { ...host({ tun: 'ENOENT' }), ...absent }, 'tun-device', 'fault', /not there/, /modprobe/],
  ['no TUN, while it runs', host({ tun: 'ENOENT' }), 'tun-device', 'warning', /not there/, /modprobe/],
  ['a TUN that is refused', { ...host({ tun: 'EPERM' }), ...absent }, 'tun-device', 'fault', /EPERM/, /--device/],
  ['an old kernel', host({ kernel: '5.15.0-91-generic' }), 'kernel', 'hint', /no UDP offload/, /6\.2/],
  ['a very old kernel', host({ kernel: '4.19.0' }), 'kernel', 'hint', /no UDP_GRO/, /6\.2/],
  ['a clock of long ago', host({ now: 86_400_000 }), 'clock', 'fault', /1970-01-02T00:00:00Z/, /set-ntp/],
  ['no time source', host({ synchronised: false }), 'clock', 'warning', /no time source/, /set-ntp/],
  [
    'a file of tomorrow',
    host({ newest: { path: FILE, at: context().host.now + 86_400_000 } }),
    ...(['clock', 'fault', /written at 2026-11-22T12:00:00Z, and it is 2026-11-21/, /set-ntp/] as const),
  ],
  [
    'a TUN of another program',
    stopped,
    ...(['interface-name', 'fault', /ist0 is a TUN that another program has open/, /fuser/] as const),
  ],
  [
    'hardware of that name',
    { ...stopped, ...network({ links: [link('ist0')] }) },
    ...(['interface-name', 'fault', /name of another link$/, /gateway\.interface/] as const),
  ],
  [
    'an address to listen on that is not there',
    {
      ...stopped,
      ...host({ port: 'EADDRNOTAVAIL' }),
      config: config(['51820\n', '10.1.1.1:51820\n']),
      ...network({ links: [] }),
    },
    ...(['udp-port', 'fault', /10\.1\.1\.1 is no address of this host/, /ip -brief address/] as const),
  ],
  [
    'a port that is refused',
    { ...stopped, ...host({ port: 'EACCES' }), ...network({ links: [] }) },
    ...(['udp-port', 'fault', /cannot be used \(EACCES\)/, /gateway\.listen/] as const),
  ],
  [
    'a dead socket',
    { running: { kind: 'stale', path: '/run/isthmus/ist0.sock' }, ...network({ links: [] }) },
    ...(['gateway-process', 'fault', /no gateway behind it/, /^isthmus up \/etc/] as const),
  ],
  [
    'a socket of root',
    { running: { kind: 'forbidden', path: '/run/isthmus/ist0.sock' } },
    ...(['gateway-process', 'fault', /not for this user/, /^sudo/] as const),
  ],
  [
    'a reload that is refused',
    { running: { ...context().running, changes: 'x.yaml:1:1: no' } as Context['running'] },
    ...(['config-changed', 'warning', /x\.yaml:1:1: no/, /isthmus check/] as const),
  ],
  [
    'a change that needs a restart',
    {
      running: {
        ...context().running,
        changes: [{ change: 'change', path: 'gateway.interface', before: 'a', after: 'b', refused: true }],
      } as Context['running'],
    },
    ...(['config-changed', 'warning', /1 change .*gateway\.interface/, /restart/] as const),
  ],
  [
    'another network namespace',
    network({ links: LINKS.slice(0, 2) }),
    ...(['link', 'fault', /there is no ist0 here/, /netns/] as const),
  ],
  [
    'a port that is not open',
    running({}, { listening: false }),
    ...(['link', 'fault', /UDP port 51820 is not open/, /ss -ulnp/] as const),
  ],
  [
    'an MTU that somebody changed',
    {
      config: config(['  listen: 51820\n', '  listen: 51820\n  mtu: 1300\n']),
    },
    ...(['mtu', 'warning', /has MTU 1420, the file 1300/, /mtu 1300/] as const),
  ],
  [
    'a known path MTU',
    network({ ways: ways(['203.0.113.7', way('eth0', { mtu: 1400 })]) }),
    ...(['mtu', 'fault', /has MTU 1420, and eth0 carries 1340/, /mtu 1340/] as const),
  ],
  [
    'forwarding off',
    host({ forwarding: { 4: false, 6: true } }),
    'forwarding',
    'fault',
    /ip_forward is 0/,
    /sysctl -w/,
  ],
  [
    'forwarding off at the interface',
    host({ interfaceForwarding: false }),
    ...(['forwarding', 'fault', /conf\.ist0\.forwarding is 0/, /sysctl -w/] as const),
  ],
  [
    'no route',
    network({ routes: ROUTES.slice(0, 3), ways: ways(['192.168.0.1', way('eth0')]) }),
    ...(['kernel-routes', 'fault', /for 192\.168\.0\.0\/16$/, /^ip route add 192\.168\.0\.0\/16 dev ist0$/] as const),
  ],
  [
    'a blackhole for a part',
    network({ routes: [...ROUTES, route('192.168.9.0/24', undefined, { type: 'blackhole' })] }),
    ...(['route-elsewhere', 'fault', /192\.168\.9\.0\/24 by blackhole/, /^ip route delete blackhole/] as const),
  ],
  [
    'an overlap with a network of the host',
    network({ routes: [...ROUTES, route('192.168.9.0/24', 'eth1', { connected: true })] }),
    ...(['route-elsewhere', 'fault', /overlaps with a network of this host/, /renumber/] as const),
  ],
  [
    'a local subnet without a way',
    network({ routes: ROUTES.slice(2), ways: ways(['172.31.0.1', way(undefined)]) }),
    ...(['local-subnets', 'fault', /172\.31\.0\.0\/16/, /^ip route add 172\.31\.0\.0\/16 via/] as const),
  ],
  [
    'a local subnet in the tunnel',
    network({ ways: ways(['172.31.0.1', way('ist0')]) }),
    ...(['local-subnets', 'fault', /routed into the tunnel/, /ip route get/] as const),
  ],
  [
    'a name without an address',
    { endpoints: new Map([['beijing', endpoint({ host: 'vpn.example', address: undefined })]]) },
    ...(['endpoint-name', 'fault', /vpn\.example has no address/, /getent/] as const),
  ],
  [
    'an endpoint in the tunnel',
    network({ ways: ways(['203.0.113.7', way('ist0', { mtu: 0 })]) }),
    ...(['endpoint-route', 'fault', /leads into ist0/, /^ip route add 203\.0\.113\.7 via/] as const),
  ],
  [
    'a refused port',
    { ...running({ ...LOST, unanswered: 2 }), endpoints: new Map([['beijing', endpoint({ refused: true })]]) },
    ...(['peer-port', 'fault', /nothing listens at UDP port 51820/, /isthmus up/] as const),
  ],
  [
    'the same role',
    running(LOST, { refused: [refusal('same-role', { peering: 'beijing', from: '198.51.100.1:9' })] }),
    ...([
      'role',
      'fault',
      /the same role as this gateway, server \(3 calls from 198\.51\.100\.1:9\)/,
      /^role: client/,
    ] as const),
  ],
  [
    'another cipher',
    {
      ...running(LOST, { refused: [refusal('other-cipher', { peering: 'beijing' })] }),
      config: config(['    role: server\n', '    role: server\n    cipher: aes-256-gcm\n']),
    },
    ...(['cipher', 'fault', /another cipher than aes-256-gcm/, /^cipher: auto/] as const),
  ],
  [
    'another PSK, after there was a session',
    running({ last_handshake_s: 60 }, { refused: [refusal('bad-mac1')] }),
    ...(['psk', 'fault', /for none of this gateway's keys/, /sha256sum/] as const),
  ],
  [
    'another PSK of a peer whose place is unknown',
    {
      ...running({ ...LOST, endpoint: null }, { refused: [refusal('bad-mac1', { from: '[2001:db8::9]:4' })] }),
      ...called,
    },
    ...(['psk', 'fault', /3 calls from \[2001:db8::9\]:4 fit no peering/, /sha256sum/] as const),
  ],
  [
    'another pre-shared key',
    running(LOST, { refused: [refusal('bad-handshake', { peering: 'beijing' })] }),
    ...(['psk', 'fault', /do not open/, /sha256sum/] as const),
  ],
  [
    'a public key that is not in the file',
    running(LOST, { refused: [refusal('unknown-peer')] }),
    ...(['peer-key', 'fault', /not in the file/, /public-key/] as const),
  ],
  [
    'a clock set back',
    running({ last_handshake_s: 60 }, { refused: [refusal('replayed', { peering: 'beijing' })] }),
    ...(['peer-clock', 'fault', /not later than one it has used before/, /set-ntp/] as const),
  ],
  ['a skew', running({ clock_skew_s: -90 }), 'peer-clock', 'warning', /90 s behind/, /timedatectl/],
  [
    'silence',
    running({ ...LOST, unanswered: 3 }),
    'session',
    'fault',
    /3 calls .* nothing came/,
    /doctor .*at the peer/,
  ],
  [
    'renewals that are not answered',
    running({ unanswered: 4 }),
    ...(['session', 'fault', /4 calls .* nothing came/, /at the peer/] as const),
  ],
  ['answers that are lost', running({ ...LOST, unconfirmed: 2 }), 'session', 'fault', /does not go on/, /tcpdump/],
  [
    'nobody who calls',
    { ...running({ ...LOST, endpoint: null }), ...called },
    ...(['session', 'fault', /nothing has come from it in 100 s/, /at the peer/] as const),
  ],
  [
    'nobody who has called yet',
    { ...running({ ...LOST, endpoint: null }, { uptime_s: 5 }), ...called },
    ...(['session', 'warning', /nothing has come from it in 5 s/, /at the peer/] as const),
  ],
  ['no attempt yet', running(LOST), 'session', 'warning', /no handshake has been tried/, /status/],
  [
    'subnets that differ',
    running({ drops: { 'source-not-allowed': 7 } }),
    ...(['peer-subnets', 'warning', /7 packets/, /trace --live/] as const),
  ],
  [
    'foreign sources',
    running({}, { all_drops: { 'source-not-local': 70 } }),
    ...(['local-source', 'warning', /70 packets/, /trace --live/] as const),
  ],
  [
    'no access list',
    { config: config(['    acl: web\n', '']) },
    ...(['access-list', 'warning', /no access list/, /^acl: NAME/] as const),
  ],
  ['no firewall to be seen', { firewall: undefined }, 'firewall-forward', 'hint', /can't be seen/, /nftables/],
  [
    'a firewall that asks for a source port',
    { firewall: readIptables('*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p udp --sport 53 -j ACCEPT\nCOMMIT', 4) },
    ...(['firewall-output', 'fault', /drops datagrams for 203\.0\.113\.7/, /--dport 51820 -j ACCEPT/] as const),
  ],
  [
    'a source check',
    ec2({ sourceDestCheck: true }),
    'source-dest-check',
    'fault',
    /on at eni-1/,
    /--no-source-dest-check$/,
  ],
  [
    'no right to ask EC2',
    ec2('AccessDenied'),
    ...(['source-dest-check', 'hint', /AccessDenied/, /describe-network-interfaces/] as const),
  ],
  [
    'no route in the VPC',
    ec2({ routes: [{ table: 'rtb-1', destination: '192.168.0.0/16', interfaceId: 'eni-2' }] }),
    ...(['vpc-routes', 'fault', /192\.168\.0\.0\/16 to eni-1/, /create-route .*--route-table-id rtb-1$/] as const),
  ],
  [
    'a closed security group of a gateway that is called',
    { ...ec2({ permissions: [{ protocol: 'tcp', from: 0, to: 65_535 }] }), ...called },
    ...(['vpc-security-group', 'fault', /UDP port 51820 in/, /authorize-security-group-ingress/] as const),
  ],
  [
    'subnets that the VPC does not have',
    { ec2: { identity: { ...IDENTITY, vpcCidrs: ['10.0.0.0/16'] }, details: DETAILS } },
    ...(['vpc-subnets', 'warning', /172\.31\.0\.0\/16 is not of this VPC/, /subnets: \[10\.0\.0\.0\/16\]/] as const),
  ],
];

for (const [what, given, id, severity, seen, fix] of TABLE) {
  test(`a doctor names ${what}`, (t) => {
    const findings = examine(context(given));
    const [first, ...others] = findings.filter((each) => each.severity !== 'ok');
    t.is(first.id, id, JSON.stringify(findings.filter((each) => each.severity !== 'ok')));
    t.is(first.severity, severity);
    t.regex(first.seen, seen);
    t.regex(first.fix ?? '', fix);
    t.not(first.why, '');
    if (severity !== 'fault') return;
    const unexplained = others.filter((each) => each.severity === 'fault' && each.because.length === 0);
    t.deepEqual(unexplained, [], 'all other faults follow from it');
  });
}

test('on a healthy gateway nothing is found, and everything has been looked at', (t) => {
  const findings = examine(context(ec2({})));
  t.deepEqual(
    findings.filter(({ severity }) => severity !== 'ok'),
    [],
  );
  const looked = new Set(findings.map(({ id }) => id));
  const beforeStart = new Set(['interface-name', 'udp-port', 'peer-port']);
  t.deepEqual(
    Object.keys(CHECKS).filter((id) => !looked.has(id as CheckId) && !beforeStart.has(id)),
    [],
  );
});

for (const [what, given] of [
  [
    'what was refused before the last handshake',
    running({ last_handshake_s: 5 }, { refused: [refusal('bad-mac1', { last_s: 9 })] }),
  ],
  [
    'what came twice as the handshake succeeded',
    running({ last_handshake_s: 5 }, { refused: [refusal('replayed', { last_s: 4 })] }),
  ],
  [
    'what was refused long ago',
    running({ last_handshake_s: null, initiations: 0 }, { refused: [refusal('bad-mac1', { last_s: 900 })] }),
  ],
  ['strangers, while nobody is missing', running({}, { refused: [refusal('bad-mac1', { from: '192.0.2.9:7' })] })],
] as const) {
  test(`a doctor does not blame a peering for ${what}`, (t) => {
    t.deepEqual(
      examine(context(given)).filter(({ severity }) => severity === 'fault'),
      [],
    );
  });
}

test('of what was refused for several reasons, what was mended meanwhile is not named', (t) => {
  const refused = [refusal('same-role', { peering: 'beijing', last_s: 2 }), refusal('bad-mac1', { last_s: 30 })];
  const findings = examine(context(running({ ...LOST, last_handshake_s: 90 }, { refused })));
  t.deepEqual(
    findings.filter(({ severity }) => severity === 'fault').map(({ id }) => id),
    ['role'],
  );
});

test('a fault of one peering is no cause of what another one has', (t) => {
  const two = config([
    'acls:',
    "  - {name: tokyo, role: client, psk: '" +
      'fedcba9876543210'.repeat(4) +
      "', subnets: [10.9.0.0/16], acl: web}\nacls:",
  ]);
  const base = context();
  if (base.running.kind !== 'yes') throw new Error('it runs');
  const [peer] = base.running.status.peers;
  const peers = [
    { ...peer, ...LOST, unanswered: 3 },
    { ...peer, ...LOST, name: 'tokyo', endpoint: null },
  ];
  const refused = [refusal('same-role', { peering: 'beijing' })];
  const findings = examine({
    ...base,
    ...network({ routes: [...ROUTES, route('10.9.0.0/16', 'ist0')], ways: ways(['10.9.0.1', way('ist0')]) }),
    config: two,
    running: { kind: 'yes', changes: [], status: { ...base.running.status, peers, refused } },
  });
  const sessions = findings.filter(({ id, severity }) => id === 'session' && severity === 'fault');
  t.deepEqual(
    sessions.map(({ peering, because }) => [peering, because]),
    [
      ['beijing', ['role']],
      ['tokyo', []],
    ],
  );
});

test('with faults in the file its host is looked at, and the way to mend a mode is given', (t) => {
  const place = 'g.yaml:1:2';
  const message = `${place}: k.psk has mode 0644, which lets others at a secret; wanted 0600: chmod 600 k.psk`;
  const code = 'ISTHMUS_SECRET_EXPOSED';
  const findings = examine(context({ config: undefined, configFaults: [{ place, message, code }], ...stopped }));
  t.like(findings[0], { id: 'config', severity: 'fault', fix: 'chmod 600 k.psk' });
  t.true(findings.some(({ id }) => id === 'tun-device'));
});

test('the report has faults first, their causes named, and counts what is good', (t) => {
  const findings = examine(
    context(running({ ...LOST, unanswered: 2 }, { refused: [refusal('same-role', { peering: 'beijing' })] })),
  );
  const text = formatReport('gateway', findings, false);
  const lines = text.split('\n');
  t.regex(lines[1], /^FAULT {4}role, peering beijing: the peer has the same role/);
  t.regex(lines[3], /^ {9}> role: client/);
  t.regex(text, /^FAULT {4}session, peering beijing: 2 calls .*\n {9}probably because of: role$/m);
  t.regex(lines.at(-2)!, /^2 faults; \d+ checks are good \(-v shows them\)$/);
  t.false(/^ok /m.test(text));
  t.true(/^ok {7}forwarding: the kernel forwards$/m.test(formatReport('gateway', findings, true)));
  t.regex(formatReport('gateway', examine(context()), false), /^gateway\nnothing is wrong; \d+ checks are good/);
});

test('a requested peering that carries packets is looked at like one of the file, one that is over is not', (t) => {
  const file = config();
  const listed = (name: string, data_path: 'up' | 'none'): PeeringStatus => ({
    ...{ name, id: 'pcx-1', origin: 'requested', side: 'accepter', state: 'active', message: '', peer: 'far' },
    ...{ peer_subnets: ['10.77.0.0/16'], subnets: [], acl: file.acls[0].name, endpoint: '[2001:db8::7]:51820' },
    ...{ created_at: null, changed_at: null, expires_at: null, visible_until: null, data_path, last_handshake_s: 1 },
  });
  const { peerings } = withListed(file, [listed('asked', 'up'), listed('over', 'none')]);
  t.deepEqual(
    peerings.map(({ name }) => name),
    [...file.peerings.map(({ name }) => name), 'asked'],
  );
  t.like(peerings.at(-1), { endpoint: { host: '2001:db8::7', port: 51820 }, acl: 0, keys: { role: 'client' } });
  const blind = examine(context({ config: { ...file, peerings: peerings.slice(-1) } }));
  t.like(blind[0], { id: 'kernel-routes', severity: 'fault' });
});
