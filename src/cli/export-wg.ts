import { Command } from 'commander';
import { loadConfig } from '../control/config.ts';
import { endpoint as parseEndpoint } from '../control/config-text.ts';
import type { GatewayConfig, PeeringConfig, RemoteHost } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { encodeKey } from '../gateway/secrets.ts';
import { formatPrefix, formatRemote } from '../gateway/text.ts';
import { derivePeering, publicKey } from '../noise/psk.ts';
import type { Prefix } from '../routing/prefix.ts';
import { prefixContains } from '../routing/prefix.ts';
import { readOption } from './arguments.ts';
import { printSecret } from './output.ts';

/** Seconds; what WireGuard's manual advises behind a NAT. */
const NAT_KEEPALIVE = 25;

interface ExportOptions {
  readonly peering?: string;
  readonly endpoint?: string;
  readonly thisSide?: true;
}

export function command(): Command {
  return new Command('export-wg')
    .summary('print the wg-quick file for a stock WireGuard at one side')
    .description(
      'Prints the wg-quick file with which a stock WireGuard takes the other side of a peering, or this side of it. ' +
        'The file holds private keys. WireGuard has no access lists: those of this side still hold.',
    )
    .argument('<file>', 'configuration file of this side')
    .option('--peering <name>', 'which peering, where the file has several')
    .option('--endpoint <host:port>', 'where the exported side calls the one that stays')
    .option('--this-side', 'print the file for a WireGuard in place of this side')
    .addHelpText(
      'after',
      `
Example, for a WireGuard that calls this gateway at 203.0.113.7:
  (umask 077; isthmus export-wg ningxia.yaml --endpoint 203.0.113.7:51820 > wg0.conf)`,
    )
    .action((file: string, options: ExportOptions) => {
      const config = loadConfig(file, process.env);
      const peering = choosePeering(config, options.peering);
      printSecret(options.thisSide ? thisSide(config, peering, options) : otherSide(config, peering, options));
    });
}

/** What a wg-quick file is made of. */
interface WgQuick {
  readonly heading: string;
  readonly privateKey: Uint8Array;
  /** CIDR texts. */
  readonly addresses: readonly string[];
  readonly listenPort: number | undefined;
  readonly mtu: number | 'auto';
  readonly peerName: string;
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly allowedIps: readonly Prefix[];
  readonly endpoint: RemoteHost | undefined;
  /** Seconds; 0 for none. */
  readonly keepalive: number;
}

function otherSide(config: GatewayConfig, peering: PeeringConfig, options: ExportOptions): string {
  const { keys } = peering;
  if (keys.kind === 'plain') {
    const message = `peering ${peering.name} is given by public keys, and the other side's private key is only there`;
    throw new IsthmusError('ISTHMUS_EXPORT_KEYS', `${message}; --this-side prints this side's file`);
  }
  const derived = deriveForWireGuard(peering);
  const listenAddress = config.listen.address;
  const known = listenAddress === undefined ? undefined : { host: listenAddress, port: config.listen.port };
  return formatWgQuick({
    heading: `${peering.name}, the other side of ${config.name}, for a stock WireGuard`,
    privateKey: keys.role === 'server' ? derived.client : derived.server,
    addresses: peering.addresses.map((address) => withNetworkLength(address, config.addresses)),
    listenPort: peering.endpoint?.port,
    mtu: config.mtu,
    peerName: config.name,
    publicKey: publicKey(keys.role === 'server' ? derived.server : derived.client),
    presharedKey: derived.presharedKey,
    allowedIps: [...config.addresses.map(atFullLength), ...config.subnets],
    endpoint: remoteOf(options) ?? (isWildcard(listenAddress) ? undefined : known),
    // We cannot call a side without an endpoint, so it has to keep its way to us open.
    keepalive: peering.endpoint === undefined ? NAT_KEEPALIVE : 0,
  });
}

function thisSide(config: GatewayConfig, peering: PeeringConfig, options: ExportOptions): string {
  const { keys } = peering;
  const common = {
    heading: `${config.name}, in place of Isthmus, for a stock WireGuard`,
    addresses: config.addresses.map(formatPrefix),
    listenPort: config.listen.port,
    mtu: config.mtu,
    peerName: peering.name,
    allowedIps: [...peering.addresses, ...peering.subnets],
    endpoint: remoteOf(options) ?? peering.endpoint,
    keepalive: Math.ceil(peering.keepaliveMs / 1000),
  };
  if (keys.kind === 'plain') return formatWgQuick({ ...common, ...keys });
  const derived = deriveForWireGuard(peering);
  return formatWgQuick({
    ...common,
    privateKey: keys.role === 'server' ? derived.server : derived.client,
    publicKey: publicKey(keys.role === 'server' ? derived.client : derived.server),
    presharedKey: derived.presharedKey,
  });
}

function formatWgQuick(file: WgQuick): string {
  const lines = [`# ${file.heading}`, '[Interface]', `PrivateKey = ${encodeKey(file.privateKey)}`];
  if (file.addresses.length > 0) lines.push(`Address = ${file.addresses.join(', ')}`);
  else lines.push('# Address: the configuration names no overlay address for this side');
  if (file.listenPort !== undefined) lines.push(`ListenPort = ${file.listenPort}`);
  if (file.mtu !== 'auto') lines.push(`MTU = ${file.mtu}`);
  lines.push('', `# ${file.peerName}`, '[Peer]', `PublicKey = ${encodeKey(file.publicKey)}`);
  if (file.presharedKey.some((byte) => byte !== 0)) lines.push(`PresharedKey = ${encodeKey(file.presharedKey)}`);
  lines.push(`AllowedIPs = ${file.allowedIps.map(formatPrefix).join(', ')}`);
  if (file.endpoint !== undefined) lines.push(`Endpoint = ${formatRemote(file.endpoint)}`);
  else lines.push(`# Endpoint: not known; give it with --endpoint, or let ${file.peerName} call`);
  if (file.keepalive > 0) lines.push(`PersistentKeepalive = ${file.keepalive}`);
  return `${lines.join('\n')}\n`;
}

function choosePeering(config: GatewayConfig, name: string | undefined): PeeringConfig {
  const chosen = name === undefined ? config.peerings : config.peerings.filter((peering) => peering.name === name);
  if (chosen.length === 1) return chosen[0];
  const names = config.peerings.map((peering) => peering.name).join(', ');
  const reason = name === undefined ? '--peering must say which peering' : `there is no peering ${name}`;
  throw new IsthmusError('ISTHMUS_USAGE', `${reason}; the file has ${names === '' ? 'none' : names}`);
}

/** The keys of a PSK peering that WireGuard can use: those of its own cipher. */
function deriveForWireGuard(peering: PeeringConfig): ReturnType<typeof derivePeering> {
  const { keys } = peering;
  if (keys.kind === 'psk' && keys.cipher !== 'aes-256-gcm') return derivePeering(keys.psk, 'chacha20-poly1305');
  throw new IsthmusError(
    'ISTHMUS_EXPORT_CIPHER',
    `peering ${peering.name} is fixed to aes-256-gcm, which WireGuard does not have; wanted cipher: auto or chacha20-poly1305`,
  );
}

function remoteOf({ endpoint }: ExportOptions): RemoteHost | undefined {
  return endpoint === undefined ? undefined : readOption('--endpoint', endpoint, parseEndpoint);
}

function isWildcard(address: string | undefined): boolean {
  return address === '0.0.0.0' || address === '::';
}

function atFullLength(prefix: Prefix): Prefix {
  return { ...prefix, bits: prefix.family === 4 ? 32 : 128 };
}

/** The peer's address with the length of our overlay network that it lies in, or its full length. */
function withNetworkLength(address: Prefix, networks: readonly Prefix[]): string {
  const network = networks.find((each) => prefixContains(each, address));
  return formatPrefix({ ...address, bits: network?.bits ?? address.bits });
}
