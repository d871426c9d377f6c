import { chmodSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { stringify } from 'yaml';
import type { CheckId, Finding } from '../../src/doctor/findings.ts';
import {
  generatePsk,
  interfaceName,
  ISTHMUS,
  isthmusFiles,
  isthmusOn,
  startGateways,
  writeGatewayFile,
  writePrivate,
  type GatewayFile,
} from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { until, type Running } from '../lab/process.ts';
import { B, GATEWAY_B, twoVpcs } from '../lab/two-vpcs.ts';
import { masquerade } from '../lab/underlay.ts';

type Host = 'gwa' | 'gwb';

interface Report {
  readonly code: number;
  readonly findings: readonly Finding[];
}

/** What a doctor says on a gateway of a file, run as `before` says (a program and its words, in front of it). */
async function examined(lab: Lab, host: Host, path: string, before: readonly string[] = []): Promise<Report> {
  const { code, stdout, stderr } = await lab.run(host, [...before, ...ISTHMUS, 'doctor', path, '--json']);
  if (stdout === '') throw new Error(`no report, exit code ${code}: ${stderr}`);
  return { code, findings: (JSON.parse(stdout) as { findings: Finding[] }).findings };
}

const textOf = (findings: readonly Finding[]): string =>
  findings
    .filter(({ severity }) => severity !== 'ok')
    .map(
      ({ id, severity, seen, because }) => `${severity} ${id}: ${seen}${because.length ? ` (${because.join()})` : ''}`,
    )
    .join('\n');

/** The one cause that is found: faults that no other fault explains. */
const causes = ({ findings }: Report): CheckId[] => [
  ...new Set(
    findings.filter(({ severity, because }) => severity === 'fault' && because.length === 0).map(({ id }) => id),
  ),
];

/** Whether a time source is there is the machine's own affair. */
const wrongIn = ({ findings }: Report): Finding[] =>
  findings.filter(({ id, severity }) => (severity === 'fault' || severity === 'warning') && id !== 'clock');

/** The first report that is as wanted, or the last: on a machine that stands still for a while a session may fail by itself. */
async function reported(look: () => Promise<Report>, isWanted: (report: Report) => boolean): Promise<Report> {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const report = await look();
    if (isWanted(report) || performance.now() > end) return report;
  }
}

/** Milliseconds for what was done to show. */
const PATIENCE = 90_000;

async function assertHealthy(t: ExecutionContext, look: () => Promise<Report>): Promise<Report> {
  const report = await reported(look, (each) => wrongIn(each).length === 0);
  t.deepEqual(wrongIn(report), [], textOf(report.findings));
  t.is(report.code, 0);
  t.true(report.findings.filter(({ severity }) => severity === 'ok').length > 15, 'else it has not looked');
  return report;
}

async function assertCause(
  t: ExecutionContext,
  what: string,
  look: () => Promise<Report>,
  id: CheckId,
  seen: RegExp,
): Promise<Report> {
  const report = await reported(look, (each) => causes(each).join() === id && seen.test(each.findings[0].seen));
  t.deepEqual(causes(report), [id], `${what}\n${textOf(report.findings)}`);
  t.is(report.findings[0].id, id, `${what}: the cause comes first`);
  t.regex(report.findings[0].seen, seen, what);
  t.is(report.code, 1, what);
  return report;
}

async function prepared(t: ExecutionContext) {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const files = isthmusFiles(lab, await generatePsk(lab), { cipher: 'chacha20-poly1305' });
  return { lab, files, device: interfaceName(lab, 'a') };
}

test('before a start: what would be in its way', async (t) => {
  const { lab, files, device } = await prepared(t);
  const [file] = files;
  const write = (name: string, change: (file: GatewayFile) => void): string => {
    const changed = structuredClone(file);
    change(changed);
    return writePrivate(lab, `${name}.yaml`, stringify(changed));
  };
  const path = write('plain', () => undefined);
  const peer = isthmusOn(lab, 'gwb', files[1]);
  await until('gateway B', () => peer.output().includes('is up'));
  const well = await assertHealthy(t, () => examined(lab, 'gwa', path));
  t.deepEqual(
    well.findings.filter(({ severity }) => severity === 'hint').map(({ id }) => id),
    ['gateway-process'],
  );

  // What is wrong with a file, or with how the doctor itself is run, can be looked at side by side.
  const noTun = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
  const incapable = ['setpriv', '--bounding-set=-net_admin'];
  const tomorrow = write('tomorrow', () => undefined);
  utimesSync(tomorrow, new Date(), Date.now() / 1000 + 86_400);
  const calling = (name: string, endpoint: string): string =>
    write(name, ({ peerings }) => (peerings[0]['endpoint'] = endpoint));
  const self = calling('self', '198.51.100.1:51820');
  const nowhere = calling('nowhere', '203.0.113.9:51820');
  const closed = calling('closed', `${GATEWAY_B[4]}:51999`);
  await Promise.all([
    assertCause(t, 'TUN', () => examined(lab, 'gwa', path, noTun), 'tun-device', /not there/),
    assertCause(t, 'capability', () => examined(lab, 'gwa', path, incapable), 'privileges', /no CAP_NET_ADMIN/),
    assertCause(
      t,
      'clock',
      () => examined(lab, 'gwa', tomorrow),
      'clock',
      /tomorrow\.yaml was written at .* and it is /,
    ),
    assertCause(t, 'self', () => examined(lab, 'gwa', self), 'endpoint-self', /198\.51\.100\.1 is an address of this/),
    assertCause(t, 'no route', () => examined(lab, 'gwa', nowhere), 'endpoint-route', /no route to 203\.0\.113\.9/),
  ]);
  const [{ id, severity, seen }] = wrongIn(
    await reported(
      () => examined(lab, 'gwa', closed),
      (report) => wrongIn(report).at(0)?.id === 'peer-port',
    ),
  );
  t.deepEqual([id, severity], ['peer-port', 'warning'], 'the peer may not have been started yet');
  t.regex(seen, /nothing listens at UDP port 51999/);

  const program = `require('node:dgram').createSocket('udp6').bind(51820, () => console.log('bound'))`;
  const other = lab.spawn('gwa', [process.execPath, '-e', program]);
  await until('the port to be taken', () => other.output().includes('bound'));
  const taken = /UDP port 51820 is taken by node, process \d+/;
  await assertCause(t, 'port', () => examined(lab, 'gwa', path), 'udp-port', taken);
  await other.stop();

  await lab.ip('gwa', 'link', 'add', device, 'type', 'bridge');
  await assertCause(t, 'name', () => examined(lab, 'gwa', path), 'interface-name', /another link, of kind bridge/);
  await lab.ip('gwa', 'link', 'delete', device);

  await lab.ip('gwa', 'address', 'add', '192.168.77.1/24', 'dev', 'vpc');
  const overlap = /192\.168\.0\.0\/16 overlaps .* 192\.168\.77\.0\/24 by vpc/;
  await assertCause(t, 'overlap', () => examined(lab, 'gwa', path), 'route-elsewhere', overlap);
  await lab.ip('gwa', 'address', 'delete', '192.168.77.1/24', 'dev', 'vpc');

  // The file has faults: nothing else is looked at but the host, and the exit code is another one.
  chmodSync(path, 0o644);
  const { code, findings } = await examined(lab, 'gwa', path);
  t.is(code, 78);
  t.like(findings[0], { id: 'config', severity: 'fault' });
  t.regex(findings[0].seen, /mode 0644.*ISTHMUS_SECRET_EXPOSED/);
  const none = await lab.run('gwa', [...ISTHMUS, 'doctor', '/no/such/file.yaml']);
  t.is(none.code, 78);
  t.regex(none.stdout, /the file does not exist/);
});

/** What is done to gateway A or its host, the cause that a doctor names there, and how it is undone. */
interface Injury {
  readonly id: CheckId;
  readonly seen: RegExp;
  readonly inflict: (lab: Lab, device: string, running: Running) => unknown;
  readonly heal: (lab: Lab, device: string, running: Running) => unknown;
}

const table = (chain: string, hook: string, rule: string): string[] => [
  ...['nft', '-f', '-'],
  `table inet lab { chain ${chain} { type filter hook ${hook} priority 0; ${rule} }; }\n`,
];

/** A table of one chain in the firewall of gateway A, by which the healing takes it away. */
const firewall = (hook: string, rule: string): Pick<Injury, 'inflict' | 'heal'> => ({
  inflict: (lab) => {
    const [program, option, from, input] = table('test', hook, rule);
    return lab.must('gwa', [program, option, from], { input });
  },
  heal: (lab) => lab.must('gwa', ['nft', 'delete', 'table', 'inet', 'lab']),
});

const INJURIES: Readonly<Record<string, Injury>> = {
  'forwarding off': {
    ...{ id: 'forwarding', seen: /^net\.ipv4\.ip_forward is 0$/ },
    inflict: (lab) => lab.sysctl('gwa', { 'net.ipv4.ip_forward': 0 }),
    heal: (lab) => lab.sysctl('gwa', { 'net.ipv4.ip_forward': 1 }),
  },
  'a route taken out': {
    ...{ id: 'kernel-routes', seen: /for 192\.168\.0\.0\/16$/ },
    inflict: (lab, device) => lab.ip('gwa', 'route', 'delete', '192.168.0.0/16', 'dev', device),
    heal: (lab, device) => lab.ip('gwa', 'route', 'add', '192.168.0.0/16', 'dev', device),
  },
  'a better route elsewhere': {
    ...{ id: 'route-elsewhere', seen: /192\.168\.1\.0\/24 by wan$/ },
    inflict: (lab) => lab.ip('gwa', 'route', 'add', '192.168.1.0/24', 'via', GATEWAY_B[4]),
    heal: (lab) => lab.ip('gwa', 'route', 'delete', '192.168.1.0/24'),
  },
  'a rule of policy routing': {
    ...{ id: 'kernel-routes', seen: /192\.168\.0\.0\/16 goes by wan/ },
    inflict: async (lab) => {
      await lab.ip('gwa', 'route', 'add', 'default', 'via', GATEWAY_B[4], 'table', '77');
      await lab.ip('gwa', 'rule', 'add', 'to', '192.168.0.0/16', 'lookup', '77');
    },
    heal: async (lab) => {
      await lab.ip('gwa', 'rule', 'delete', 'to', '192.168.0.0/16', 'lookup', '77');
      await lab.ip('gwa', 'route', 'flush', 'table', '77');
    },
  },
  'a reverse-path filter that finds another way back': {
    ...{ id: 'reverse-path-filter', seen: /^rp_filter is 1 \(strict\), and the way back to 10\.8\.0\.2\/32 / },
    inflict: async (lab) => {
      await lab.sysctl('gwa', { 'net.ipv4.conf.all.rp_filter': 1 });
      await lab.ip('gwa', 'route', 'add', 'default', 'via', GATEWAY_B[4], 'table', '77');
      await lab.ip('gwa', 'rule', 'add', 'to', '10.8.0.2', 'lookup', '77');
    },
    heal: async (lab) => {
      await lab.sysctl('gwa', { 'net.ipv4.conf.all.rp_filter': 0 });
      await lab.ip('gwa', 'rule', 'delete', 'to', '10.8.0.2', 'lookup', '77');
      await lab.ip('gwa', 'route', 'flush', 'table', '77');
    },
  },
  'an address taken away': {
    ...{ id: 'addresses', seen: /lacks fd00:8::1\/126$/ },
    inflict: (lab, device) => lab.ip('gwa', 'address', 'delete', 'fd00:8::1/126', 'dev', device),
    heal: (lab, device) => lab.ip('gwa', 'address', 'add', 'fd00:8::1/126', 'dev', device, 'nodad'),
  },
  'an MTU that is too large': {
    ...{ id: 'mtu', seen: /has MTU 1500, and wan carries 1440/ },
    inflict: (lab, device) => lab.ip('gwa', 'link', 'set', device, 'mtu', '1500'),
    heal: (lab, device) => lab.ip('gwa', 'link', 'set', device, 'mtu', '1420'),
  },
  'a path that swallows full packets': {
    ...{ id: 'path-mtu', seen: /^198\.51\.100\.2 answers small echo requests and none/ },
    inflict: (lab) => lab.ip('gwb', 'link', 'set', 'wan', 'mtu', '1400'),
    heal: (lab) => lab.ip('gwb', 'link', 'set', 'wan', 'mtu', '1500'),
  },
  'a firewall that drops what is forwarded': {
    ...{ id: 'firewall-forward', seen: /chain inet lab test drops .* by its policy$/ },
    ...firewall('forward', 'policy drop; ct state established,related accept; tcp dport 22 drop;'),
  },
  'a firewall that drops what comes in': {
    ...{ id: 'firewall-input', seen: /by its rule "udp dport 51820 drop"$/ },
    ...firewall('input', 'iifname "lo" accept; udp dport 51820 counter drop;'),
  },
  'a firewall that drops what goes out': {
    ...{ id: 'firewall-output', seen: /by its rule "ip daddr 198\.51\.100\.0\/24 l4proto udp reject"$/ },
    ...firewall('output', 'ip daddr 198.51.100.0/24 meta l4proto udp reject;'),
  },
  'a gateway that stands still': {
    ...{ id: 'gateway-process', seen: /takes calls at .* and answers none$/ },
    inflict: (_lab, _device, running) => running.signal('SIGSTOP'),
    heal: (_lab, _device, running) => running.signal('SIGCONT'),
  },
};

/** Pretends to be EC2's metadata, and AWS's command line: there is no EC2 here. */
const METADATA = `
const answers = {
  'instance-id': 'i-0123456789abcdef0', mac: '02:00', 'placement/region': 'cn-north-1',
  'network/interfaces/macs/02:00/interface-id': 'eni-1', 'network/interfaces/macs/02:00/vpc-id': 'vpc-1',
  'network/interfaces/macs/02:00/vpc-ipv4-cidr-blocks': '172.31.0.0/16',
  'network/interfaces/macs/02:00/vpc-ipv6-cidr-blocks': 'fd00:a::/32',
  'network/interfaces/macs/02:00/security-group-ids': 'sg-1',
};
require('node:http').createServer(({ method, url, headers }, response) => {
  if (method === 'PUT') return response.end(headers['x-aws-ec2-metadata-token-ttl-seconds'] ? 'token' : '');
  const known = headers['x-aws-ec2-metadata-token'] === 'token' && answers[url.slice('/latest/meta-data/'.length)];
  response.statusCode = known ? 200 : 401;
  response.end(known || '');
}).listen(80, '169.254.169.254', () => console.log('listening'));
`;
const AWS = `#!/bin/sh
case "$2" in
  describe-network-interfaces) echo '{"NetworkInterfaces": [{"SourceDestCheck": true}]}' ;;
  describe-route-tables) echo '{"RouteTables": [{"RouteTableId": "rtb-1", "Routes": [
    {"DestinationCidrBlock": "192.168.0.0/16", "NetworkInterfaceId": "eni-1"},
    {"DestinationIpv6CidrBlock": "fd00:b::/32", "NetworkInterfaceId": "eni-1"}]}]}' ;;
  *) echo '{"SecurityGroups": [{"IpPermissions": [{"IpProtocol": "udp", "FromPort": 51820, "ToPort": 51820}]}]}' ;;
esac
`;

test('while it runs: a healthy pair, and what befalls the host', async (t) => {
  const { lab, files, device } = await prepared(t);
  const { processes } = await startGateways(lab, files);
  const path = join(lab.directory, 'gwa.yaml');
  await assertHealthy(t, () => examined(lab, 'gwa', path));
  await assertHealthy(t, () => examined(lab, 'gwb', join(lab.directory, 'gwb.yaml')));

  for (const [what, { id, seen, inflict, heal }] of Object.entries(INJURIES)) {
    await inflict(lab, device, processes[0]);
    await assertCause(t, what, () => examined(lab, 'gwa', path), id, seen);
    await heal(lab, device, processes[0]);
  }

  await lab.ip('gwa', 'address', 'add', '169.254.169.254/32', 'dev', 'lo');
  const metadata = lab.spawn('gwa', [process.execPath, '-e', METADATA]);
  await until('the metadata', () => metadata.output().includes('listening'));
  writeFileSync(join(lab.directory, 'aws'), AWS, { mode: 0o755 });
  const withAws = ['env', `PATH=${lab.directory}:${process.env['PATH']}`];
  await assertCause(t, 'EC2', () => examined(lab, 'gwa', path, withAws), 'source-dest-check', /^it is on at eni-1$/);
  await metadata.stop();
  await assertHealthy(t, () => examined(lab, 'gwa', path));

  files[0].acls['open'].push({ name: 'more', action: 'deny' });
  writeGatewayFile(lab, 'gwa', files[0]);
  const changed = await reported(
    () => examined(lab, 'gwa', path),
    (report) => wrongIn(report).length === 1,
  );
  t.like(wrongIn(changed), [{ id: 'config-changed', severity: 'warning' }], textOf(changed.findings));
  t.is(changed.code, 0, 'it works');

  // The interface goes down, and the routes and IPv6 addresses with it.
  await lab.ip('gwa', 'link', 'set', device, 'down');
  const down = await assertCause(t, 'link', () => examined(lab, 'gwa', path), 'link', /is down$/);
  t.deepEqual(down.findings.find(({ id }) => id === 'kernel-routes')?.because, ['link']);

  processes[0].signal('SIGKILL');
  await processes[0].ended;
  await assertCause(t, 'killed', () => examined(lab, 'gwa', path), 'gateway-process', /and no gateway behind it$/);
});

/** Has the router between the gateways drop UDP that comes in by one of its interfaces; undefined: none. */
async function block(lab: Lab, from: 'gwa' | 'wan' | undefined): Promise<void> {
  const rule = from === undefined ? '' : `iifname "${from}" meta l4proto udp drop;`;
  const input = `table inet lab { chain test { type filter hook forward priority 0; ${rule} }; }\n`;
  await lab.run('nat', ['nft', 'delete', 'table', 'inet', 'lab']);
  await lab.must('nat', ['nft', '-f', '-'], { input });
}

/** `isthmus up` on gateway A, its clock ahead by so many ms. */
function startA(lab: Lab, file: GatewayFile, ahead: number): Running {
  const clock = `const now = Date.now; Date.now = () => now() + ${ahead};`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(clock)}` };
  return lab.spawn('gwa', [...ISTHMUS, 'up', writeGatewayFile(lab, 'gwa', file)], { env });
}

test('no session: which side is silent, and what differs between the two files', async (t) => {
  const lab = await twoVpcs({ between: 'nat' });
  t.teardown(() => lab.dispose());
  await masquerade(lab, 'nat', 'wan', 30);
  const cipher = 'chacha20-poly1305';
  const [fileA, fileB] = isthmusFiles(lab, await generatePsk(lab), { cipher });
  const [peeringA] = fileA.peerings;
  const psk = peeringA['psk'];

  await block(lab, 'gwa');
  const gatewayB = isthmusOn(lab, 'gwb', fileB);
  let gatewayA = isthmusOn(lab, 'gwa', fileA);
  await until('both', () => [gatewayA, gatewayB].every((gateway) => gateway.output().includes('is up')));
  /** A's host has something for B's, so that A calls if it has no session. */
  const at = (host: Host) => async (): Promise<Report> => {
    await lab.run('a', ['ping', '-c', '1', '-W', '1', B[4]]);
    return examined(lab, host, join(lab.directory, `${host}.yaml`));
  };
  await assertCause(
    t,
    'blocked there',
    at('gwa'),
    'session',
    /calls? of this gateway .* nothing came from 198\.51\.100\.2$/,
  );
  await assertCause(t, 'blocked there', at('gwb'), 'session', /^the peer is to call, and nothing has come from it/);
  await block(lab, 'wan');
  await assertCause(t, 'blocked back', at('gwb'), 'session', /calls came in and were answered, and it does not go on$/);
  await assertCause(t, 'blocked back', at('gwa'), 'session', /nothing came from 198\.51\.100\.2$/);
  await block(lab, undefined);
  await assertHealthy(t, at('gwa'));
  await assertHealthy(t, at('gwb'));

  for (const [what, change, id, seen] of [
    [
      'another PSK',
      { psk: await generatePsk(lab) },
      'psk',
      /none of this gateway's keys \(\d+ calls? from 198\.51\.100\.1:/,
    ],
    ['the same role', { psk, role: 'server' }, 'role', /the same role as this gateway, server/],
    ['another cipher', { role: 'client', cipher: 'aes-256-gcm' }, 'cipher', /another cipher than chacha20-poly1305/],
  ] as const) {
    Object.assign(peeringA, change);
    writeGatewayFile(lab, 'gwa', fileA);
    await lab.must('gwa', [...ISTHMUS, 'reload', interfaceName(lab, 'a')]);
    await assertCause(t, what, at('gwb'), id, seen);
  }

  Object.assign(peeringA, { cipher });
  await gatewayA.stop();
  gatewayA = startA(lab, fileA, 3_600_000);
  const skewed = await reported(at('gwb'), (report) => wrongIn(report).length === 1);
  t.like(wrongIn(skewed), [{ id: 'peer-clock', severity: 'warning' }], textOf(skewed.findings));
  t.regex(wrongIn(skewed)[0].seen, /^the peer's clock is 3[56]\d\d(\.\d)? s ahead of this one$/);
  await gatewayA.stop();
  gatewayA = startA(lab, fileA, 0);
  await assertCause(t, 'a clock set back', at('gwb'), 'peer-clock', /are not later than one it has used before/);
});
