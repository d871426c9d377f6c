// Tunnels between the two gateways: ours, and those it is measured against. Each joins the VPCs of `two-vpcs.ts`, so that
// what runs on the private hosts does not know which one carries it.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { callApi } from '../../src/control/api.ts';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import type { Lab } from './lab.ts';
import { apiPath } from './look.ts';
import { until, type Running } from './process.ts';
import { B, GATEWAY_A, GATEWAY_B, SUBNETS_A, SUBNETS_B, type Family } from './two-vpcs.ts';

/** The checkout, seen from `dist/test/lab`. */
const root = fileURLToPath(new URL('../../../', import.meta.url));
/** As the Debian package starts it. */
export const ISTHMUS = [process.execPath, '--no-memory-reducer', join(root, 'dist/src/cli/main.js')] as const;
export const WIREGUARD_GO = join(root, 'build/peers/wireguard-go');

/** A running tunnel: its process on gateway A and on gateway B, where it has any. */
export interface Tunnel {
  readonly name: string;
  readonly processes: readonly Running[];
  readonly stop: () => Promise<void>;
}

export interface TunnelOptions {
  /** The family outside; 4 when not given. */
  readonly outside?: Family;
  readonly mtu?: number;
}

const PORT = 51820;
const OVERLAY = {
  a: { 4: '10.8.0.1', 6: 'fd00:8::1' },
  b: { 4: '10.8.0.2', 6: 'fd00:8::2' },
} as const;
const gateways = ['gwa', 'gwb'] as const;

const endpoint = (address: string): string => (address.includes(':') ? `[${address}]:${PORT}` : `${address}:${PORT}`);

/** A tunnel interface's name. The lab's own, as the control sockets of all namespaces' devices lie in one directory. */
export const interfaceName = (lab: Lab, end: 'a' | 'b'): string => `${lab.prefix}${end}`;

/** Writes a file of mode 0600 into the lab's directory and gives its path. */
export function writePrivate(lab: Lab, name: string, content: string): string {
  const path = join(lab.directory, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

export interface ConnectedOptions {
  readonly family?: Family;
  /** Milliseconds. */
  readonly timeout?: number;
  /** What carries the traffic: where one of them has ended, there is nothing to wait for. */
  readonly processes?: readonly Running[];
}

/** Waits until a private host gets an answer to a ping from the other. */
export async function connected(lab: Lab, options: ConnectedOptions = {}): Promise<void> {
  const { family = 4, timeout = 60_000, processes = [] } = options;
  const answered = async (): Promise<boolean> => {
    const ended = processes.find((running) => !running.isRunning());
    if (ended) throw new Error(`${ended.argv.slice(4).join(' ')}: ended with exit code ${await ended.ended}`);
    return (await lab.run('a', ['ping', '-c', '1', '-W', '1', B[family]])).code === 0;
  };
  await until(`an answer from ${B[family]}`, answered, timeout);
}

async function started(lab: Lab, name: string, processes: Running[], clean?: () => Promise<void>): Promise<Tunnel> {
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map((running) => running.stop()));
    await clean?.();
  };
  try {
    await connected(lab, { processes });
  } catch (error) {
    const logs = processes.map((running) => running.tail()).join('\n');
    await stop();
    throw new Error(`${name} does not come up:\n${logs}`, { cause: error });
  }
  return { name, processes, stop };
}

/** No tunnel: the kernel forwards, which is as fast as this machine can be. */
export async function startNothing(lab: Lab): Promise<Tunnel> {
  await lab.ip('gwa', 'route', 'add', SUBNETS_B[4], 'via', GATEWAY_B[4]);
  await lab.ip('gwb', 'route', 'add', SUBNETS_A[4], 'via', GATEWAY_A[4]);
  return started(lab, 'no tunnel', [], async () => {
    await lab.ip('gwa', 'route', 'delete', SUBNETS_B[4]);
    await lab.ip('gwb', 'route', 'delete', SUBNETS_A[4]);
  });
}

/** wireguard-go on one gateway, its interface up and configured by `wg setconf` from a file's text. */
export async function wireguardGoOn(lab: Lab, host: 'gwa' | 'gwb', conf: string, mtu = 1420): Promise<Running> {
  const end = host === 'gwa' ? 'a' : 'b';
  const device = interfaceName(lab, end);
  const running = lab.spawn(host, [WIREGUARD_GO, '-f', device], { env: { WG_PROCESS_FOREGROUND: '1' } });
  await until('the socket of wireguard-go', async () => (await lab.run(host, ['wg', 'show', device])).code === 0);
  await lab.must(host, ['wg', 'setconf', device, writePrivate(lab, `${host}.conf`, conf)]);
  await lab.ip(host, 'address', 'add', `${OVERLAY[end][4]}/30`, 'dev', device);
  await lab.ip(host, 'address', 'add', `${OVERLAY[end][6]}/126`, 'dev', device);
  await lab.ip(host, 'link', 'set', device, 'mtu', String(mtu), 'up');
  const beyond = host === 'gwa' ? SUBNETS_B : SUBNETS_A;
  await lab.ip(host, 'route', 'add', beyond[4], 'dev', device);
  await lab.ip(host, '-6', 'route', 'add', beyond[6], 'dev', device);
  return running;
}

/** A stock WireGuard on one gateway, by a wg-quick file that `isthmus export-wg` prints. */
export async function wgQuickOn(lab: Lab, end: 'a' | 'b', file: GatewayFile, ...options: string[]): Promise<void> {
  const path = writeGatewayFile(lab, `exported-${end}`, file);
  const conf = await lab.must(`gw${end}`, [...ISTHMUS, 'export-wg', path, ...options]);
  const program = `WG_QUICK_USERSPACE_IMPLEMENTATION=${WIREGUARD_GO}`;
  const name = writePrivate(lab, `${interfaceName(lab, end)}.conf`, conf);
  await lab.must(`gw${end}`, ['env', program, 'wg-quick', 'up', name]);
}

/** wireguard-go on both gateways. */
export async function startWireguardGo(lab: Lab, options: TunnelOptions = {}): Promise<Tunnel> {
  const { outside = 4, mtu = 1420 } = options;
  const wg = (input: string | undefined, ...args: string[]): Promise<string> =>
    lab.must('gwa', ['wg', ...args], input === undefined ? {} : { input });
  const keys = await Promise.all(
    gateways.map(async () => {
      const secret = await wg(undefined, 'genkey');
      return { secret: secret.trim(), public: (await wg(secret, 'pubkey')).trim() };
    }),
  );
  const presharedKey = (await wg(undefined, 'genpsk')).trim();
  const conf = (own: number): string => {
    const [subnets, overlay, address] =
      own === 0
        ? ([SUBNETS_B, OVERLAY.b, GATEWAY_B[outside]] as const)
        : ([SUBNETS_A, OVERLAY.a, GATEWAY_A[outside]] as const);
    return `[Interface]
PrivateKey = ${keys[own].secret}
ListenPort = ${PORT}
[Peer]
PublicKey = ${keys[1 - own].public}
PresharedKey = ${presharedKey}
Endpoint = ${endpoint(address)}
AllowedIPs = ${subnets[4]}, ${subnets[6]}, ${overlay[4]}/32, ${overlay[6]}/128
`;
  };
  // The one that is called first: an initiation that nobody hears is repeated after 5 s.
  const called = await wireguardGoOn(lab, 'gwb', conf(1), mtu);
  return started(lab, 'wireguard-go', [await wireguardGoOn(lab, 'gwa', conf(0), mtu), called]);
}

/** OpenVPN as Easy VPC Peering runs it: one static key, TCP port 1200, AES-128-CBC, compression. */
export async function startReferenceOpenVpn(lab: Lab): Promise<Tunnel> {
  const key = join(lab.directory, 'openvpn.key');
  await lab.must('gwa', ['openvpn', '--genkey', 'secret', key]);
  const common = (own: 'a' | 'b', other: 'a' | 'b'): string[] => [
    ...['openvpn', '--dev', 'ovpn', '--dev-type', 'tun', '--port', '1200', '--secret', key],
    ...['--ifconfig', OVERLAY[own][4], OVERLAY[other][4], '--keepalive', '10', '60'],
    // The last two lines are what OpenVPN 2.6 demands before it does what the reference's version did unasked.
    ...['--cipher', 'AES-128-CBC', '--comp-lzo', '--allow-compression', 'yes'],
    ...['--verb', '1'],
  ];
  const route = (subnet: string): string[] => ['--route', subnet.slice(0, subnet.indexOf('/')), '255.255.0.0'];
  const server = lab.spawn('gwb', [...common('b', 'a'), '--proto', 'tcp-server', ...route(SUBNETS_A[4])]);
  await listens(lab, 'gwb', 1200);
  const remote = ['--proto', 'tcp-client', '--remote', GATEWAY_B[4], '--connect-retry', '1'];
  const client = lab.spawn('gwa', [...common('a', 'b'), ...remote, ...route(SUBNETS_B[4])]);
  return started(lab, 'reference OpenVPN', [client, server]);
}

/** OpenVPN as one would set it up today: TLS between self-signed certificates, UDP, AES-256-GCM, in userspace. */
export async function startOpenVpnGcm(lab: Lab): Promise<Tunnel> {
  const fingerprints = await Promise.all(gateways.map((host) => certificate(lab, host)));
  const start = (own: 0 | 1, ...args: string[]): Running => {
    const [local, remote] = own === 0 ? [OVERLAY.a, OVERLAY.b] : [OVERLAY.b, OVERLAY.a];
    const beyond = own === 0 ? SUBNETS_B[4] : SUBNETS_A[4];
    const file = join(lab.directory, gateways[own]);
    return lab.spawn(gateways[own], [
      ...['openvpn', '--dev', 'ovpn', '--dev-type', 'tun', '--proto', 'udp', '--port', '1194', '--disable-dco'],
      ...['--cert', `${file}.crt`, '--key', `${file}.key`, '--peer-fingerprint', fingerprints[1 - own]],
      ...['--data-ciphers', 'AES-256-GCM', '--ifconfig', local[4], remote[4], '--keepalive', '10', '60'],
      ...['--route', beyond.slice(0, beyond.indexOf('/')), '255.255.0.0', '--verb', '1', ...args],
    ]);
  };
  const server = start(1, '--tls-server', '--dh', 'none');
  await listens(lab, 'gwb', 1194);
  const client = start(0, '--tls-client', '--remote', GATEWAY_B[4], '1194');
  return started(lab, 'OpenVPN AES-256-GCM', [client, server]);
}

/** Waits until a program on a host listens on a port, TCP or UDP. */
async function listens(lab: Lab, host: string, port: number): Promise<void> {
  const sockets = (): Promise<string> => lab.must(host, ['ss', '-Htuln', `sport = ${port}`]);
  await until(`port ${port}`, async () => (await sockets()).trim() !== '');
}

/** Makes a key and a self-signed certificate, `HOST.key` and `HOST.crt`, and gives the certificate's fingerprint. */
async function certificate(lab: Lab, host: string): Promise<string> {
  const file = join(lab.directory, host);
  await lab.must(host, [
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '30', '-subj', `/CN=${host}`, '-keyout', `${file}.key`, '-out', `${file}.crt`],
  ]);
  const printed = await lab.must(host, ['openssl', 'x509', '-in', `${file}.crt`, '-noout', '-fingerprint', '-sha256']);
  return printed.trim().split('=')[1];
}

/** A gateway's configuration as written by a user, to be changed before it is used. */
export interface GatewayFile {
  gateway: Record<string, unknown>;
  peerings: Record<string, unknown>[];
  acls: Record<string, Record<string, unknown>[]>;
  security_groups?: Record<string, object>;
  network_acls?: Record<string, object>;
  prefix_lists?: Record<string, string[]>;
  route_tables?: Record<string, object>;
}

/** The configuration files of both gateways, as plain data: gateway A calls, gateway B is called; all may pass. */
export function isthmusFiles(
  lab: Lab,
  psk: string,
  options: TunnelOptions & { cipher?: string } = {},
): [GatewayFile, GatewayFile] {
  const { outside = 4, mtu, cipher = 'auto' } = options;
  const file = (own: 'a' | 'b'): GatewayFile => {
    const [subnets, beyond] = own === 'a' ? [SUBNETS_A, SUBNETS_B] : [SUBNETS_B, SUBNETS_A];
    return {
      gateway: {
        name: `gateway-${own}`,
        interface: interfaceName(lab, own),
        address: [`${OVERLAY[own][4]}/30`, `${OVERLAY[own][6]}/126`],
        listen: PORT,
        mtu: mtu ?? 'auto',
        subnets: [subnets[4], subnets[6]],
      },
      peerings: [
        {
          name: own === 'a' ? 'vpc-b' : 'vpc-a',
          role: own === 'a' ? 'client' : 'server',
          psk,
          cipher,
          ...(own === 'a' ? { endpoint: endpoint(GATEWAY_B[outside]) } : {}),
          subnets: [beyond[4], beyond[6]],
          acl: 'open',
        },
      ],
      acls: { open: [{ name: 'all', action: 'allow', protocol: 'all' }] },
    };
  };
  return [file('a'), file('b')];
}

/** `isthmus up` on one gateway. */
export function isthmusOn(lab: Lab, host: string, file: GatewayFile): Running {
  return lab.spawn(host, [...ISTHMUS, 'up', writeGatewayFile(lab, host, file), '--state-dir', lab.directory]);
}

/** Writes the configuration file that `isthmusOn` uses for a host, and gives its path. */
export function writeGatewayFile(lab: Lab, host: string, file: GatewayFile): string {
  return writePrivate(lab, `${host}.yaml`, stringify(file));
}

/** A running gateway's own account of itself. */
export async function gatewayStatus(lab: Lab, end: 'a' | 'b'): Promise<GatewayStatus> {
  const { status, body } = await callApi(apiPath(interfaceName(lab, end)), 'GET', '/v1/status');
  if (status !== 200) throw new Error(`gateway ${end}: ${JSON.stringify(body)}`);
  return body as GatewayStatus;
}

/** What a running gateway says of one of its rules. */
export async function ruleOf(lab: Lab, end: 'a' | 'b', name: string): Promise<GatewayStatus['rules'][number]> {
  const { rules } = await gatewayStatus(lab, end);
  const rule = rules.find((each) => each.name === name);
  if (rule === undefined) throw new Error(`gateway ${end}: no rule ${name} among ${rules.length}`);
  return rule;
}

/** A PSK, made here: a process of its own costs each lab a good part of a second. */
export const newPsk = (): string => randomBytes(32).toString('base64');

/** A PSK as users get one. */
export async function generatePsk(lab: Lab, host = 'gwa'): Promise<string> {
  return (await lab.must(host, [...ISTHMUS, 'genpsk'])).trim();
}

/** Isthmus on both gateways, with the files as they are or changed by `change`. */
export async function startIsthmus(
  lab: Lab,
  options: TunnelOptions & { cipher?: string; change?: (a: GatewayFile, b: GatewayFile) => void } = {},
): Promise<Tunnel> {
  const files = isthmusFiles(lab, newPsk(), options);
  options.change?.(...files);
  return startGateways(lab, files, `isthmus${options.cipher ? ` ${options.cipher}` : ''}`);
}

/** Isthmus on gateway A and gateway B with these files. The one that is called is up before the other calls it. */
export async function startGateways(
  lab: Lab,
  [fileA, fileB]: readonly [GatewayFile, GatewayFile],
  name = 'isthmus',
): Promise<Tunnel> {
  const gatewayB = isthmusOn(lab, 'gwb', fileB);
  await until('gateway B', () => gatewayB.output().includes('is up') || !gatewayB.isRunning());
  return started(lab, name, [isthmusOn(lab, 'gwa', fileA), gatewayB]);
}
