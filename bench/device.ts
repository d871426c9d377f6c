/** WireGuard devices, configured by `wg` as any: where a configuration file would be in the way of its own size. */
import { randomBytes } from 'node:crypto';
import { clamp, publicKey } from '../src/noise/psk.ts';
import { connected, interfaceName, ISTHMUS, writePrivate, type Tunnel } from '../test/lab/contenders.ts';
import type { Lab } from '../test/lab/lab.ts';
import { until, type Running } from '../test/lab/process.ts';
import { A, B, GATEWAY_B, SUBNETS_A, SUBNETS_B } from '../test/lab/two-vpcs.ts';

const PORT = 51820;
/** An AllowedIPs line holds so many, as a line of megabytes serves nobody. */
const LINE = 1000;

export interface KeyPair {
  readonly secret: Uint8Array;
  readonly public: Uint8Array;
}

export function newKeyPair(): KeyPair {
  const secret = clamp(Uint8Array.from(randomBytes(32)));
  return { secret, public: publicKey(secret) };
}

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** The `[Interface]` and `[Peer]` sections of a WireGuard configuration file. */
export const interfaceText = (key: KeyPair, port: number): string =>
  `[Interface]\nPrivateKey = ${base64(key.secret)}\nListenPort = ${port}\n`;

export function peerText(key: Uint8Array, allowed: readonly string[], endpoint?: string): string {
  const lines = ['[Peer]', `PublicKey = ${base64(key)}`];
  if (endpoint !== undefined) lines.push(`Endpoint = ${endpoint}`);
  for (let at = 0; at < allowed.length; at += LINE) {
    lines.push(`AllowedIPs = ${allowed.slice(at, at + LINE).join(', ')}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Starts a device and configures it: `argv` is the program up to the interface's name. */
export async function startDevice(
  lab: Lab,
  host: string,
  argv: readonly string[],
  name: string,
  conf: string,
): Promise<Running> {
  const running = lab.spawn(host, [...argv, name], { env: { WG_PROCESS_FOREGROUND: '1' } });
  const listens = async (): Promise<boolean> => (await lab.run(host, ['wg', 'show', name])).code === 0;
  await until('the device', async () => !running.isRunning() || (await listens()));
  if (!running.isRunning()) throw new Error(`the device does not start: ${running.tail(3)}`);
  await lab.must(host, ['wg', 'setconf', name, writePrivate(lab, `${name}.conf`, conf)], { timeout: 120_000 });
  await lab.ip(host, 'link', 'set', name, 'up');
  return running;
}

/** So many /28 networks, evenly spread over the /8 of an address, but for the address's own. */
function prefixesAround(address: string, count: number): string[] {
  const [first, ...rest] = address.split('.').map(Number);
  const own = ((rest[0] << 16) | (rest[1] << 8) | rest[2]) >>> 4;
  const prefixes: string[] = [];
  for (let number = 0; number < count; number++) {
    const network = Math.floor((number * 2 ** 20) / count);
    if (network === own) continue;
    const word = network << 4;
    prefixes.push(`${first}.${word >>> 16}.${(word >>> 8) & 255}.${word & 255}/28`);
  }
  return prefixes;
}

/**
 * Isthmus as a plain device on both gateways, with `peers` peers of which one is there, and `routes` allowed IPs of one
 * that is not, all around the address that is talked to.
 */
export async function startDevices(lab: Lab, { peers = 1, routes = 0 }): Promise<Tunnel> {
  const keys = [newKeyPair(), newKeyPair()];
  const absent = Array.from({ length: peers - 1 }, newKeyPair);
  const nowhere = newKeyPair();
  const text = (own: 0 | 1): string => {
    const [subnet, address] = own === 0 ? [SUBNETS_B[4], B[4]] : [SUBNETS_A[4], A[4]];
    const others = absent.map((key, number) => peerText(key.public, [`10.9.${number >> 8}.${number & 255}/32`]));
    if (routes > 0) others.push(peerText(nowhere.public, prefixesAround(address, routes)));
    const endpoint = own === 0 ? `${GATEWAY_B[4]}:${PORT}` : undefined;
    return interfaceText(keys[own], PORT) + others.join('') + peerText(keys[1 - own].public, [subnet], endpoint);
  };
  const start = async (end: 'a' | 'b', own: 0 | 1): Promise<Running> => {
    const name = interfaceName(lab, end);
    const running = await startDevice(lab, `gw${end}`, [...ISTHMUS, 'device', '-f'], name, text(own));
    await lab.ip(`gw${end}`, 'route', 'add', end === 'a' ? SUBNETS_B[4] : SUBNETS_A[4], 'dev', name);
    return running;
  };
  const processes = await Promise.all([start('a', 0), start('b', 1)]);
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map((running) => running.stop()));
  };
  await connected(lab, { processes });
  return { name: 'isthmus device', processes, stop };
}
