// Security groups, network ACLs, and whatever one might send to get past them. Gateway A is a stock WireGuard, which
// judges nothing: what gateway B lets through is its own doing. Packets are made by hand and put into the tunnels past the
// kernel; what got through shows at the host behind.
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { callApi, type ReloadAnswer, type RulesAnswer } from '../../src/control/api.ts';
import { RUN_FOLDER } from '../../src/gateway/host.ts';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import { TCP_FLAG } from '../../src/wire/packet.ts';
import {
  connected,
  interfaceName,
  isthmusFiles,
  isthmusOn,
  ISTHMUS,
  newPsk,
  wgQuickOn,
  writeGatewayFile,
  type GatewayFile,
} from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { until } from '../lab/process.ts';
import { RawInterface } from '../lab/raw.ts';
import { startTransfer, transfer } from '../lab/transfer.ts';
import { A, B, twoVpcs } from '../lab/two-vpcs.ts';
import { echo, icmp, ip, quoting, tcp, udp, type IpOptions } from '../wire/packets.ts';
import { withHeaderSum } from '../wire/sums.ts';

/** Milliseconds that the slowest machine may need. */
const PATIENCE = 60_000;
const OPERATOR = { 4: '172.31.7.3', 6: 'fd00:a:7::3' } as const;
const PARTNER = '172.31.9.4';
const BANNED = { 4: '172.31.66.6', 6: 'fd00:a:66::6' } as const;
const DATA = 7000;
/** A client's port, to which the network ACL lets no answer go. */
const MUTE = 7600;
/** The port of `startTransfer`, and one more of it. */
const TRANSFER = 7001;
const OTHER_TRANSFER = 7002;

/** Gateway B's filters: of the local VPC the groups, of the peering the network ACL. */
const FILTERS = {
  security_groups: {
    web: {
      members: ['192.168.1.0/24', 'fd00:b:1::/64'],
      ingress: [
        { name: 'transfer', source: ['172.31.0.0/16', 'fd00:a::/32'], protocol: 'tcp', ports: TRANSFER },
        { name: 'other-transfer', source: '172.31.0.0/16', protocol: 'tcp', ports: OTHER_TRANSFER },
        { name: 'ping', source: '172.31.0.0/16', protocol: 'icmp', icmp: { type: 8 } },
        { name: 'ping6', source: 'fd00:a::/32', protocol: 'icmp', icmp: { type: 128 } },
        { name: 'data', source: ['172.31.0.0/16', 'fd00:a::/32'], protocol: 'udp', ports: DATA },
        { name: 'admin', source: { group: 'operators' }, protocol: 'tcp', ports: 22 },
        { name: 'exchange', source: { prefix_list: 'partners' }, protocol: 'tcp', ports: 8443 },
        { name: 'telnet', source: '172.31.0.0/16', protocol: 'tcp', ports: 23 },
      ],
      egress: [],
    },
    operators: { members: ['172.31.7.0/28', 'fd00:a:7::/64'] },
  },
  network_acls: {
    edge: {
      ingress: [
        { rule: 90, action: 'deny', cidr: '172.31.66.0/24' },
        { rule: 95, action: 'deny', cidr: 'fd00:a:66::/48' },
        { rule: 100, action: 'allow', cidr: '0.0.0.0/0' },
        { rule: 110, action: 'allow', cidr: '::/0' },
      ],
      egress: [
        { rule: 50, action: 'deny', cidr: '172.31.0.0/16', protocol: 'udp', ports: MUTE },
        { rule: 100, action: 'allow', cidr: '0.0.0.0/0' },
        { rule: 110, action: 'allow', cidr: '::/0' },
      ],
    },
  },
};

let lab: Lab;
let file: GatewayFile;
/** Into gateway A's tunnel, into gateway B's, at host A and at host B. */
let tunnelA: RawInterface;
let tunnelB: RawInterface;
let hostA: RawInterface;
let hostB: RawInterface;

test.before(async () => {
  lab = await twoVpcs();
  const files = isthmusFiles(lab, newPsk(), { cipher: 'chacha20-poly1305' });
  file = files[1];
  delete file.peerings[0]['acl'];
  Object.assign(file, { acls: {}, prefix_lists: { partners: ['172.31.9.0/24'] }, ...FILTERS });
  file.gateway['security_groups'] = ['web'];
  file.peerings[0]['network_acl'] = 'edge';
  const gateway = isthmusOn(lab, 'gwb', file);
  await until('gateway B', () => gateway.output().includes('is up') || !gateway.isRunning(), PATIENCE);
  await wgQuickOn(lab, 'a', files[0], '--this-side');
  const device = interfaceName(lab, 'a');
  const peer = (await lab.must('gwa', ['wg', 'show', device, 'peers'])).trim();
  await lab.must('gwa', ['wg', 'set', device, 'peer', peer, 'allowed-ips', '0.0.0.0/0,::/0']);
  // What gateway A's kernel asks of IPv6 neighbours on the tunnel would be counted with what is sent here.
  const chain = `type filter hook output priority 0; oifname "${device}" meta nfproto ipv6 drop;`;
  await lab.must('gwa', ['nft', '-f', '-'], { input: `table inet quiet { chain output { ${chain} }; }\n` });
  for (const family of [4, 6] as const) await connected(lab, { family, processes: [gateway], timeout: PATIENCE });
  tunnelA = await RawInterface.open(lab, 'gwa', device);
  tunnelB = await RawInterface.open(lab, 'gwb', interfaceName(lab, 'b'));
  hostA = await RawInterface.open(lab, 'a', 'eth0');
  hostB = await RawInterface.open(lab, 'b', 'eth0');
});

test.after.always(async () => {
  for (const each of [tunnelA, tunnelB, hostA, hostB] as (RawInterface | undefined)[]) each?.close();
  await (lab as Lab | undefined)?.dispose();
});

async function ask<Answer>(method: 'GET' | 'POST', path: string): Promise<Answer> {
  const { status, body } = await callApi(`${RUN_FOLDER}/${interfaceName(lab, 'b')}.sock`, method, path);
  if (status !== 200) throw new Error(`${path}: ${JSON.stringify(body)}`);
  return body as Answer;
}

const drops = async (): Promise<Readonly<Record<string, number>>> =>
  (await ask<GatewayStatus>('GET', '/v1/status')).all_drops;

const rulesOf = async (list: string): Promise<Record<string, { hits: number; denied: number }>> => {
  const { rules } = await ask<RulesAnswer>('GET', '/v1/rules');
  return Object.fromEntries(rules.flatMap((rule) => (rule.acl === list ? [[rule.name, rule]] : [])));
};

let made = 0;
/** No two packets are alike: a number of its own is its source port, or its identification. */
const unique = (): number => 20_000 + made++;

/** A packet with the header checksum that the kernel behind the gateway looks at. */
function packet(from: string, to: string, protocol: number, payload: Uint8Array, options?: IpOptions): Uint8Array {
  const bytes = ip(from, to, protocol, payload, options);
  return bytes[0] >> 4 === 4 ? withHeaderSum(bytes) : bytes;
}

/** From A to B. What passes unless told otherwise. */
const data = (family: 4 | 6 = 4, port = DATA, options?: IpOptions): Uint8Array =>
  packet(A[family], B[family], 17, udp(unique(), port, 24), options);
const syn = (port: number, from: string = A[4], to: string = from.includes(':') ? B[6] : B[4]): Uint8Array =>
  packet(from, to, 6, tcp(unique(), port, TCP_FLAG.syn));
const error = (family: 4 | 6, quoted: Uint8Array): Uint8Array =>
  packet(A[family], B[family], family === 4 ? 1 : 58, icmp(family === 4 ? 3 : 1, 1, quoting(quoted)));
/** Of a UDP datagram between A and B. */
function answer(to: Uint8Array): Uint8Array {
  const family = to[0] >> 4 === 4 ? 4 : 6;
  const ports = new DataView(to.buffer, family === 4 ? 20 : 40);
  return packet(B[family], A[family], 17, udp(ports.getUint16(2), ports.getUint16(0), 24));
}

/** Sends into gateway A's tunnel, and waits until a packet that was sent behind all others is at host B. */
async function sendIn(...packets: readonly Uint8Array[]): Promise<void> {
  const last = data();
  tunnelA.send(...packets, last);
  await until('the last packet', () => hostB.has(last), PATIENCE);
}

/** The same, from B to A: the last one answers, as nothing else passes. */
async function sendOut(...packets: readonly Uint8Array[]): Promise<void> {
  const asked = data();
  await sendIn(asked);
  tunnelB.send(...packets, answer(asked));
  await until('the last packet', () => hostA.has(answer(asked)), PATIENCE);
}

interface Case {
  readonly what: string;
  readonly passing?: readonly Uint8Array[];
  readonly dropped: readonly Uint8Array[];
  /** Why those are dropped: one for all, or each by its own. */
  readonly reasons: string | readonly string[];
}

/** Each of the packets is sent in order, and gets through, or is counted by its reason and doesn't. */
async function assertCases(t: ExecutionContext, cases: readonly Case[], way: 'in' | 'out' = 'in'): Promise<void> {
  const there = way === 'in' ? hostB : hostA;
  for (const { what, passing = [], dropped, reasons } of cases) {
    const before = await drops();
    await (way === 'in' ? sendIn : sendOut)(...passing, ...dropped);
    await until(`what passes: ${what}`, () => passing.every((each) => there.has(each)), PATIENCE);
    t.false(
      dropped.some((each) => there.has(each)),
      what,
    );
    const after = await drops();
    const wanted = typeof reasons === 'string' ? dropped.map(() => reasons) : reasons;
    for (const reason of new Set(wanted)) {
      const count = wanted.filter((each) => each === reason).length;
      const counted = after[reason] - before[reason];
      // Gateway B's kernel has things of its own to say on the tunnel.
      t.true(way === 'in' ? counted === count : counted >= count, `${what}: ${counted} by ${reason}, wanted ${count}`);
    }
  }
}

test.serial('security groups: members, another group, a prefix list; stateful, in both families', async (t) => {
  for (const family of [4, 6] as const) {
    t.true((await transfer(lab, { family, bytes: 1e6, timeout: PATIENCE })).intact, 'nothing but answers may go out');
  }
  const before = await rulesOf('web');
  const sixth = '192.168.1.66';
  await assertCases(t, [
    {
      what: 'security groups',
      passing: [syn(22, OPERATOR[4]), syn(22, OPERATOR[6]), syn(8443, PARTNER), syn(8443, PARTNER), data(6)],
      dropped: [syn(22), syn(22, A[6]), syn(8443, OPERATOR[4]), data(4, 7001), syn(22, sixth.replace('192', '172'))],
      reasons: [...Array.from({ length: 4 }, () => 'security-group'), 'source-not-allowed'],
    },
    {
      what: 'no member of the group',
      dropped: [syn(TRANSFER, A[4], '192.168.2.1'), syn(TRANSFER, A[4], '10.8.0.2'), syn(TRANSFER, A[6], 'fd00:8::2')],
      reasons: 'security-group',
    },
  ]);
  const after = await rulesOf('web');
  t.is(after['admin'].hits - before['admin'].hits, 2);
  t.is(after['exchange'].hits - before['exchange'].hits, 2);
  await assertCases(
    t,
    [
      {
        what: 'nothing begins on this side, and what answers is the flow alone',
        dropped: [packet(B[4], A[4], 17, udp(DATA, 9, 8)), packet(B[6], A[6], 6, tcp(9, 80, TCP_FLAG.syn))],
        reasons: 'security-group',
      },
    ],
    'out',
  );
});

test.serial('network ACLs: the lowest number first, and an answer needs its own rule', async (t) => {
  const before = await rulesOf('edge');
  const unanswered = packet(A[4], B[4], 17, udp(MUTE, DATA, 24));
  const denied = ([4, 6] as const).map((family) => packet(BANNED[family], B[family], 17, udp(unique(), DATA, 8)));
  await assertCases(t, [{ what: 'rules 90 and 95', passing: [unanswered], dropped: denied, reasons: 'network-acl' }]);
  await assertCases(t, [{ what: 'rule 50', dropped: [answer(unanswered)], reasons: 'network-acl' }], 'out');
  const after = await rulesOf('edge');
  for (const rule of ['50', '90', '95']) {
    t.is(after[rule].hits - before[rule].hits, 1);
    t.is(after[rule].denied - before[rule].denied, 1);
  }
});

test.serial('false sources and destinations get in and out nowhere', async (t) => {
  const from = (source: string): Uint8Array =>
    packet(source, B[source.includes(':') ? 6 : 4], 17, udp(unique(), DATA, 8));
  const to = (target: string): Uint8Array =>
    packet(A[target.includes(':') ? 6 : 4], target, 17, udp(unique(), DATA, 8));
  const sources = ['192.168.1.99', '203.0.113.9', '127.0.0.1', '0.0.0.0', '10.8.0.2', 'fd00:b:1::99', '::1', 'fe80::1'];
  const targets = [
    '8.8.8.8',
    '172.31.5.5',
    '127.0.0.1',
    '224.0.0.251',
    '255.255.255.255',
    '2001:db8::99',
    '::1',
    'ff02::1',
  ];
  await assertCases(t, [
    { what: 'sources', dropped: sources.map(from), reasons: 'source-not-allowed' },
    { what: 'targets', dropped: targets.map(to), reasons: 'destination-not-local' },
  ]);
  const out = (source: string): Uint8Array =>
    packet(source, A[source.includes(':') ? 6 : 4], 17, udp(DATA, unique(), 8));
  const strangers = [A[4], '203.0.113.9', '127.0.0.1', A[6], 'fe80::1'];
  await assertCases(t, [{ what: 'out', dropped: strangers.map(out), reasons: 'source-not-local' }], 'out');
});

test.serial('fragments: overlapping, tiny, without a first, behind a denied first', async (t) => {
  for (const family of [4, 6] as const) {
    const part = (protocol: number, payload: Uint8Array, offset: number, id: number): Uint8Array =>
      packet(A[family], B[family], protocol, payload, { fragment: { offset, more: true, id } });
    const [id, denied] = [unique(), unique()];
    const segment = tcp(unique(), TRANSFER, TCP_FLAG.syn, 40);
    const rest = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
    await assertCases(t, [
      {
        what: `IPv${family}: over what the first one held`,
        passing: [part(17, udp(unique(), DATA, 64), 0, id), part(17, rest(1), 72, id)],
        dropped: [part(17, rest(2), 8, id), part(17, rest(3), 64, id)],
        reasons: 'fragment-overlap',
      },
      {
        what: `IPv${family}: tiny`,
        dropped: [part(6, segment.subarray(0, 16), 0, unique()), part(6, segment.subarray(8, 40), 8, unique())],
        reasons: 'fragment-tiny',
      },
      {
        what: `IPv${family}: without a first`,
        dropped: [part(17, rest(4), 1480, unique()), part(17, rest(5), 8, unique())],
        reasons: 'fragment-without-first',
      },
      {
        what: `IPv${family}: behind a denied first`,
        dropped: [part(6, tcp(unique(), 22, TCP_FLAG.syn, 12), 0, denied), part(6, rest(6), 32, denied)],
        reasons: ['security-group', 'fragment-without-first'],
      },
      {
        what: `IPv${family}: beyond the largest datagram`,
        dropped: [part(17, rest(7), 65_528, unique())],
        reasons: 'malformed-packet',
      },
    ]);
  }
});

test.serial('extension headers, options, source routes and bad lengths', async (t) => {
  const pad = (): [number, Uint8Array] => [60, Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0)];
  const hopByHop: [number, Uint8Array] = [0, Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0)];
  const routing = (type: number, left: number): [number, Uint8Array] => [
    43,
    Uint8Array.of(0, 2, type, left, ...new Uint8Array(20)),
  ];
  const hidden = packet(A[6], B[6], 6, tcp(unique(), 22, TCP_FLAG.syn), { extensions: [hopByHop, pad(), pad()] });
  const fragment = { offset: 0, more: true, id: unique() };
  const nested = data(6, DATA, { extensions: [[44, Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 9)]], fragment });
  const routed = (kind: number): Uint8Array => data(4, DATA, { options: Uint8Array.of(1, kind, 7, 4, 10, 0, 0, 1) });
  const changed = (family: 4 | 6, change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = data(family);
    change(bytes);
    return family === 4 ? withHeaderSum(bytes) : bytes;
  };
  await assertCases(t, [
    {
      what: 'a chain before what is allowed, and before what is not',
      passing: [
        data(6, DATA, { extensions: [hopByHop, pad()] }),
        data(4, DATA, { options: new Uint8Array(4).fill(1) }),
      ],
      dropped: [hidden],
      reasons: 'security-group',
    },
    {
      what: 'chains without end, and fragments of fragments',
      dropped: [data(6, DATA, { extensions: Array.from({ length: 9 }, pad) }), nested],
      reasons: 'malformed-packet',
    },
    {
      what: 'source routes',
      dropped: [
        routed(131),
        routed(137),
        ...[0, 2, 4].map((type) => data(6, DATA, { extensions: [routing(type, 1)] })),
      ],
      reasons: 'source-routed',
    },
    {
      what: 'options and lengths that contradict the packet',
      dropped: [
        data(4, DATA, { options: Uint8Array.of(7, 9, 4, 0) }),
        changed(4, (bytes) => (bytes[2] = 8)),
        changed(4, (bytes) => (bytes[3] = 19)),
        changed(4, (bytes) => (bytes[0] = 0x44)),
        changed(4, (bytes) => (bytes[0] = 0x4f)),
        changed(6, (bytes) => (bytes[4] = 8)),
        packet(A[4], B[4], 6, new Uint8Array(12)),
      ],
      reasons: 'malformed-packet',
    },
  ]);
});

test.serial('ICMP errors, answers and later segments of flows that do not exist', async (t) => {
  for (const family of [4, 6] as const) {
    const asked = data(family);
    const stranger = packet(B[family], A[family], 17, udp(DATA, 9, 8));
    const segment = (flags: number): Uint8Array => packet(A[family], B[family], 6, tcp(unique(), 22, flags));
    await assertCases(t, [
      {
        what: `IPv${family}`,
        passing: [asked, error(family, answer(asked))],
        dropped: [
          error(family, stranger),
          error(family, asked),
          error(family, answer(asked).subarray(0, 12)),
          packet(A[family], B[family], family === 4 ? 1 : 58, echo(family === 4 ? 0 : 129, unique())),
          ...[TCP_FLAG.ack, TCP_FLAG.syn | TCP_FLAG.ack, TCP_FLAG.rst, TCP_FLAG.fin | TCP_FLAG.ack].map(segment),
        ],
        reasons: 'security-group',
      },
    ]);
  }
});

test.serial('isthmus rules: each rule with its line and hits, and those that never matched', async (t) => {
  const rules = async (...options: string[]): Promise<string> =>
    lab.must('gwb', [...ISTHMUS, 'rules', interfaceName(lab, 'b'), ...options]);
  const text = await rules();
  t.regex(text, /^security group web\n +rule +action +direction +line +packets +denied\n/m);
  t.regex(text, /^ +data +allow +in +\d+ +[1-9]\d* +0$/m);
  t.regex(text, /^ +telnet +allow +in +\d+ +never +0$/m);
  t.regex(text, /^network ACL edge$/m);
  t.regex(text, /^ +90 +deny +in +\d+ +1 +1$/m);
  const never = JSON.parse(await rules('--never', '--group', 'web', '--json')) as RulesAnswer;
  t.deepEqual(
    never.rules.map(({ name, hits }) => [name, hits]),
    [
      ['other-transfer', 0],
      ['telnet', 0],
    ],
  );
  const lines = readFileSync(writeGatewayFile(lab, 'gwb', file), 'utf8').split('\n');
  for (const { name, line } of never.rules) t.true(lines[line - 1].includes(`name: ${name}`), `line ${line}`);
  const { code, stderr } = await lab.run('gwb', [...ISTHMUS, 'rules', interfaceName(lab, 'b'), '--group', 'webb']);
  t.is(code, 64);
  t.regex(stderr, /there is no security group webb; wanted one of web/);
});

test.serial('a rule that a reload removes: tracked flows live on, new ones are judged by the new rules', async (t) => {
  const steady = await startTransfer(lab, { port: OTHER_TRANSFER, rate: 100_000 });
  const arrived = async (): Promise<number> => (await ask<GatewayStatus>('GET', '/v1/status')).peers[0].rx_bytes;
  const next = structuredClone(file);
  const { web } = next.security_groups as typeof FILTERS.security_groups;
  web.ingress = web.ingress.filter(({ name }) => name !== 'other-transfer');
  writeGatewayFile(lab, 'gwb', next);
  const { changes } = await ask<ReloadAnswer>('POST', '/v1/reload');
  t.deepEqual(
    changes.map(({ change, path }) => `${change} ${path}`),
    ['remove security_groups[web].ingress[other-transfer]'],
  );
  const before = await arrived();
  await assertCases(t, [
    { what: 'new', passing: [syn(TRANSFER)], dropped: [syn(OTHER_TRANSFER)], reasons: 'security-group' },
  ]);
  await until('the tracked flow to go on', async () => (await arrived()) > before + 200_000, PATIENCE);
  t.true((await steady.finish(PATIENCE)).intact);
});
