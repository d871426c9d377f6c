/**
 * The notations of single values: each function takes what YAML gave and returns what it stands for, or throws an
 * `IsthmusError` that says what was found and what is wanted.
 */
import { isIPv4, isIPv6 } from 'node:net';
import type { CipherChoice, Listen, MetricsListen, RemoteHost } from '../gateway/config.ts';
import { canonical, hasHostBits } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { decodeKey } from '../gateway/secrets.ts';
import { formatPrefix, parsePrefix } from '../gateway/text.ts';
import type { Prefix } from '../routing/prefix.ts';
import { didYouMean } from './config-nearest.ts';

/** IANA protocol numbers by the names that a rule may use; -1 stands for all. */
export const PROTOCOLS: Readonly<Record<string, number>> = {
  all: -1,
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
};

export const CIPHERS: readonly CipherChoice[] = ['auto', 'aes-256-gcm', 'chacha20-poly1305'];

const DEFAULT_LISTEN_PORT = 51820;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** As much of a value as a message shows. */
const SHOWN_MAX = 40;

/** Whether a text might be a secret in the wrong place, which is never shown. */
export function isLikeASecret(text: string): boolean {
  return /[A-Za-z0-9+/]{32}/.test(text);
}

/** A value as a message names it. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  const text = `${value as string | number | boolean}`;
  if (isLikeASecret(text)) return `a text of ${text.length} characters`;
  const cut = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
  return typeof value === 'string' ? JSON.stringify(cut) : cut;
}

/** A fault of kind and presence: nothing where something must be, or something that is not text at all. */
export function unwanted(value: unknown, wanted: string): IsthmusError {
  if (value === undefined) return new IsthmusError('ISTHMUS_CONFIG_MISSING', `is missing; wanted ${wanted}`);
  return new IsthmusError('ISTHMUS_CONFIG_VALUE', `is ${shown(value)}; wanted ${wanted}`);
}

/** Names end up in logs and as labels of metrics, so they are kept plain. */
export function name(value: unknown): string {
  const wanted = 'a name of up to 63 letters, digits, ".", "_" and "-"';
  if (typeof value === 'number') throw unwanted(value, `${wanted}; put quotes around it`);
  if (typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(value)) return value;
  throw unwanted(value, wanted);
}

/** IFNAMSIZ leaves 15 bytes; the characters are those that wg-quick takes too. */
export function interfaceName(value: unknown): string {
  if (typeof value !== 'string') throw unwanted(value, 'the name of an interface such as ist0');
  const bytes = Buffer.byteLength(value);
  if (bytes > 15) throw fault('INTERFACE', `interface ${shown(value)} has ${bytes} bytes; wanted at most 15`);
  if (/^[A-Za-z0-9_=+.-]+$/.test(value) && value !== '.' && value !== '..') return value;
  throw fault(
    'INTERFACE',
    `interface ${shown(value)} is no interface name; wanted letters, digits and "_", "=", "+", ".", "-"`,
  );
}

/** A network: no host bits. A bare address stands for itself alone. */
export function cidr(value: unknown): Prefix {
  const prefix = anyPrefix(value, 'a CIDR such as 10.0.0.0/16');
  if (!hasHostBits(prefix)) return prefix;
  throw fault('CIDR', `${String(value)} has host bits set; wanted ${formatPrefix(canonical(prefix))}`);
}

/** An address of ours with the length of its network. */
export function networkAddress(value: unknown): Prefix {
  const prefix = anyPrefix(value, 'an address with its length such as 10.8.0.1/30');
  const width = prefix.family === 4 ? 32 : 128;
  if (prefix.bits >= width - 1) return prefix;
  const last = prefix.address[3];
  const hostMask = width - prefix.bits >= 32 ? 0xffffffff : 2 ** (width - prefix.bits) - 1;
  if (!hasHostBits(prefix))
    throw fault('CIDR', `${String(value)} is the network itself; wanted the address of a host in it`);
  if (prefix.family === 4 && (last & hostMask) >>> 0 === hostMask) {
    throw fault('CIDR', `${String(value)} is the network's broadcast address; wanted the address of a host in it`);
  }
  return prefix;
}

/** One address and no network. */
export function hostAddress(value: unknown): Prefix {
  const prefix = anyPrefix(value, 'an address such as 10.8.0.2');
  if (prefix.bits === (prefix.family === 4 ? 32 : 128)) return prefix;
  throw fault('CIDR', `${String(value)} is a network; wanted one address: ${String(value).split('/')[0]}`);
}

/** Where a file is. */
export function path(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw unwanted(value, 'the path of a file');
}

/** A UDP or TCP port. */
export function port(value: unknown): number {
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number)) throw unwanted(value, 'a port from 1 to 65535');
  if (number < 1 || number > 65535) throw fault('PORT', `port ${number} is out of range; wanted 1 to 65535`);
  return number;
}

/** One port, or `from-to`. */
export function portRange(value: unknown): [from: number, to: number] {
  const ends = typeof value === 'string' ? /^\s*(\d+)\s*-\s*(\d+)\s*$/.exec(value) : null;
  if (ends === null) {
    const only = port(value);
    return [only, only];
  }
  const range: [number, number] = [port(ends[1]), port(ends[2])];
  if (range[0] <= range[1]) return range;
  throw fault('PORT', `ports ${range[0]}-${range[1]} run backward; wanted ${range[1]}-${range[0]}`);
}

/** `port` or `address:port`, where the gateway listens. */
export function listen(value: unknown = DEFAULT_LISTEN_PORT): Listen {
  return portAt(value, 'a port such as 51820, or address:port such as 198.51.100.1:51820');
}

/** `port` of the loopback address or `address:port`, where metrics are served. */
export function metrics(value: unknown): MetricsListen {
  const { address = '127.0.0.1', port } = portAt(value, 'a port such as 9586, or address:port such as 127.0.0.1:9586');
  return { address, port };
}

/** The name of a host, in small letters. */
export function hostName(value: unknown): string {
  const wanted = 'the name of a host such as gateway.example.com';
  if (typeof value !== 'string') throw unwanted(value, wanted);
  const name = value.toLowerCase();
  if (!/^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name)) {
    throw fault('VALUE', `is ${shown(value)}; wanted ${wanted}`);
  }
  return name;
}

/** `true` or `false`. */
export function truth(value: unknown): boolean {
  if (typeof value !== 'boolean') throw unwanted(value, 'true or false');
  return value;
}

function portAt(value: unknown, wanted: string): Listen {
  if (typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value))) {
    return { address: undefined, port: port(value) };
  }
  const { host, port: number } = hostAndPort(value, wanted);
  if (!isIPv4(host) && !isIPv6(host)) {
    throw fault('ENDPOINT', `${shown(value)} names the host ${shown(host)}; wanted ${wanted}`);
  }
  return { address: host, port: number };
}

/** `host:port`, where a peer is called. */
export function endpoint(value: unknown): RemoteHost {
  const wanted = 'host:port such as 203.0.113.7:51820, [2001:db8::7]:51820 or vpn.example.com:51820';
  const remote = hostAndPort(value, wanted);
  const named = /^(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+$/.test(remote.host);
  // A name whose last label is a number would be an IPv4 address, and it is a bad one.
  if (isIPv4(remote.host) || isIPv6(remote.host) || (named && !/(^|\.)\d+\.?$/.test(remote.host))) return remote;
  throw fault('ENDPOINT', `${shown(value)} holds neither an address nor a host name; wanted ${wanted}`);
}

/** A whole number with its unit, in milliseconds. */
export function duration(value: unknown, fromMs: number, toMs: number): number {
  const range = `${formatDuration(fromMs)} to ${formatDuration(toMs)}`;
  if (typeof value === 'number') {
    const fitting = Object.keys(UNIT_MS).filter(
      (unit) => value * UNIT_MS[unit] >= fromMs && value * UNIT_MS[unit] <= toMs,
    );
    const guess = fitting.map((unit) => `${value}${unit}`).join(' or ') || 'a number with ms, s, m or h';
    throw fault('DURATION', `duration ${value} has no unit; wanted ${guess}, ${range}`);
  }
  const parts = typeof value === 'string' ? /^(\d{1,9})\s*([a-z]+)$/i.exec(value) : null;
  const unit = parts === null ? undefined : UNIT_MS[parts[2]];
  if (parts === null || unit === undefined) {
    if (value === undefined || value === null || typeof value === 'object')
      throw unwanted(value, `a duration, ${range}`);
    throw fault('DURATION', `${shown(value)} is no duration; wanted a number with ms, s, m or h, ${range}`);
  }
  const ms = Number(parts[1]) * unit;
  if (ms < fromMs || ms > toMs) throw fault('DURATION', `duration ${shown(value)} is out of range; wanted ${range}`);
  return ms;
}

export function cipher(value: unknown): CipherChoice {
  const found = CIPHERS.find((each) => each === value);
  if (found !== undefined) return found;
  const guess = typeof value === 'string' ? didYouMean(value, CIPHERS) : '';
  throw fault('CIPHER', `unknown cipher ${shown(value)}${guess}; wanted ${CIPHERS.join(', ')}`);
}

/** An IP protocol by name or number; -1 for all. */
export function protocol(value: unknown): number {
  if (typeof value === 'string' && Object.hasOwn(PROTOCOLS, value)) return PROTOCOLS[value];
  const number = typeof value === 'string' && /^(\d{1,3}|-1)$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= -1 && number <= 255) return number;
  const guess = typeof value === 'string' ? didYouMean(value, Object.keys(PROTOCOLS)) : '';
  throw fault(
    'VALUE',
    `is ${shown(value)}${guess}; wanted ${Object.keys(PROTOCOLS).join(', ')}, or a number from 0 to 255`,
  );
}

/** Bytes of an overlay packet: IPv6's minimum to the largest that still fits one UDP datagram with its overhead. */
export function mtu(value: unknown): number | 'auto' {
  if (value === 'auto') return value;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1280 && value <= 65456) return value;
  throw unwanted(value, 'auto or a whole number from 1280 to 65456');
}

/** A key in WireGuard's notation. */
export function publicKey(value: unknown): Uint8Array {
  if (typeof value !== 'string') throw unwanted(value, 'a public key, 44 characters of base64');
  return decodeKey(value);
}

/** A whole number in a range. */
export function integer(value: unknown, from: number, to: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to) return value;
  throw unwanted(value, `a whole number from ${from} to ${to}`);
}

/** One of a few words. */
export function oneOf<Word extends string>(value: unknown, words: readonly Word[]): Word {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw unwanted(value, words.join(' or '));
}

/** An address with or without a length, host bits or none. */
export function anyPrefix(value: unknown, wanted = 'a CIDR'): Prefix {
  if (typeof value !== 'string') throw unwanted(value, wanted);
  try {
    return parsePrefix(value);
  } catch {
    throw fault('CIDR', `${shown(value)} is not a CIDR; wanted ${wanted}`);
  }
}

function hostAndPort(value: unknown, wanted: string): RemoteHost {
  if (typeof value !== 'string') throw unwanted(value, wanted);
  const parts = /^(?:\[(?<address>[^\]]*)\]|(?<host>[^:]*)):(?<port>[^:]*)$/.exec(value)?.groups;
  if (parts === undefined) {
    const hint = isIPv6(value) ? `; an IPv6 address stands in brackets, as [${value}]:51820` : '';
    throw fault('ENDPOINT', `${shown(value)} is no endpoint${hint}; wanted ${wanted}`);
  }
  const { address, host } = parts as { address?: string; host?: string };
  if (address !== undefined && !isIPv6(address)) {
    throw fault('ENDPOINT', `${shown(value)} has no IPv6 address in its brackets; wanted ${wanted}`);
  }
  return { host: address ?? host ?? '', port: port(parts['port']) };
}

function formatDuration(ms: number): string {
  const unit = Object.entries(UNIT_MS).findLast(([, size]) => ms % size === 0 && ms >= size)!;
  return `${ms / unit[1]}${unit[0]}`;
}

type ConfigFault<Code> = Code extends `ISTHMUS_CONFIG_${infer Kind}` ? Kind : never;

function fault(kind: ConfigFault<IsthmusError['code']>, message: string): IsthmusError {
  return new IsthmusError(`ISTHMUS_CONFIG_${kind}`, message);
}
