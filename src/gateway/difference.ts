/** What one configuration changes of another, in the words of the file. */
import { createHash } from 'node:crypto';
import { formatPrefix } from '../routing/prefix.ts';
import type { Prefix } from '../routing/prefix.ts';
import type { Route } from '../routing/route-table.ts';
import type { GatewayConfig, PeeringConfig } from './config.ts';
import { targetName } from './routing.ts';
import { formatRemote } from './text.ts';

export interface Change {
  readonly change: 'add' | 'remove' | 'change';
  /** `gateway.listen`, `peerings[beijing].subnets`, `acls[web].rules[ping]`. */
  readonly path: string;
  /** As the file has it. Null for a whole entry that comes or goes. Of a secret no more than that it is one. */
  readonly before: string | null;
  readonly after: string | null;
  /** It can't be done while the gateway runs. */
  readonly refused: boolean;
}

/** What a running gateway can't change: its memory and its timers are laid out by them. */
const FIXED = ['gateway.interface', 'gateway.rekey', 'gateway.flows'];
const SECRET = '(secret)';
const NONE = 'none';
/** Where a configuration's word is not the file's. Others are the same but for capitals: `dscpClass` is `dscp_class`. */
const WORDS: Readonly<Record<string, string>> = {
  addresses: 'address',
  rekeyAfterMs: 'rekey',
  otherwise: 'default',
  sources: 'source',
  destinations: 'destination',
  groups: 'security_groups',
  localGroups: 'security_groups',
  localNetworkAcl: 'network_acl',
};
/** Lists whose order means nothing. */
const UNORDERED = ['peerings', 'bundles', 'acls', 'route_tables', 'security_groups', 'network_acls'];

interface Leaf {
  readonly text: string;
  /** What tells it from another one, where the text does not. */
  readonly print: string;
}

interface Listing {
  readonly leaves: Map<string, Leaf>;
  /** Entries with names, by path; and their order, by the path of their list. */
  readonly entries: Set<string>;
  readonly orders: Map<string, string[]>;
}

/** What changes from `before` to `next`, in the order of the file. Empty if they mean the same. */
export function difference(before: GatewayConfig, next: GatewayConfig): Change[] {
  const [old, now] = [listing(before), listing(next)];
  const changes: Change[] = [];
  const add = (change: Change['change'], path: string, was: string | null, is: string | null): void => {
    changes.push({ change, path, before: was, after: is, refused: FIXED.includes(path) });
  };
  for (const path of old.entries)
    if (!now.entries.has(path) && !isWithin(path, changes)) add('remove', path, null, null);
  for (const path of now.entries) if (!old.entries.has(path) && !isWithin(path, changes)) add('add', path, null, null);
  for (const path of new Set([...old.leaves.keys(), ...now.leaves.keys()])) {
    const [was, is] = [old.leaves.get(path), now.leaves.get(path)];
    if (was?.print === is?.print || isWithin(path, changes)) continue;
    add('change', path, was?.text ?? NONE, is?.text ?? NONE);
  }
  for (const [path, order] of now.orders) {
    const common = (names: string[] = [], others: string[] = []): string =>
      names.filter((name) => others.includes(name)).join(', ');
    const [was, is] = [common(old.orders.get(path), order), common(order, old.orders.get(path))];
    if (was !== is) add('change', path, was, is);
  }
  return changes.sort((a, b) => rank(a.path) - rank(b.path));
}

/** One line for each change: `~ gateway.listen: 51820 -> 51821`, `+ peerings[beijing]`. */
export function formatChanges(changes: readonly Change[]): string {
  const signs = { add: '+', remove: '-', change: '~' } as const;
  return changes
    .map(({ change, path, before, after, refused }) => {
      const values = before === null && after === null ? '' : `: ${before} -> ${after}`;
      return `${signs[change]} ${path}${values}${refused ? "   can't change while the gateway runs" : ''}\n`;
    })
    .join('');
}

function isWithin(path: string, changes: readonly Change[]): boolean {
  return changes.some((change) => change.change !== 'change' && path.startsWith(change.path) && path !== change.path);
}

function rank(path: string): number {
  const at = ['gateway', 'peerings'].findIndex((part) => path.startsWith(part));
  return at < 0 ? 2 : at;
}

function listing(config: GatewayConfig): Listing {
  const list: Listing = { leaves: new Map(), entries: new Set(), orders: new Map() };
  describe(inWords(config), '', list);
  return list;
}

/** The configuration as the file lays it out: keys where they stand there, names instead of places in a list. */
function inWords(config: GatewayConfig): object {
  const { peerings, bundles, acls, routeTables, securityGroups, networkAcls, ...gateway } = config;
  const plain = peerings.find(({ keys }) => keys.kind === 'plain')?.keys;
  const own = plain?.kind === 'plain' ? { privateKey: plain.privateKey } : {};
  return {
    gateway: { ...gateway, ...own },
    peerings: peerings.map((peering) => ({
      ...peering,
      ...keysInWords(peering),
      // Of a file that was merely touched nothing has changed.
      pskWrittenAt: undefined,
      acl: acls[peering.acl]?.name,
      bundle: bundles[peering.bundle]?.name,
    })),
    bundles,
    acls,
    routeTables: routeTables.map(({ name, routes }) => ({ name, routes: routesInWords(routes, config) })),
    securityGroups,
    networkAcls,
  };
}

/** Each destination with what it leads to; a prefix list once, with a print of its networks. */
function routesInWords(routes: readonly Route[], config: GatewayConfig): object {
  const words = new Map<string, { via: string; networks: Prefix[] }>();
  for (const { prefix, target, prefixList } of routes) {
    const destination = prefixList === undefined ? formatPrefix(prefix) : `prefix_list ${prefixList}`;
    const via = targetName(config, target);
    const entry = words.get(destination) ?? { via, networks: [] };
    if (prefixList !== undefined) entry.networks.push(prefix);
    words.set(destination, entry);
  }
  return Object.fromEntries(
    Array.from(words, ([destination, { via, networks }]) => [
      destination,
      networks.length === 0
        ? via
        : `${via}, ${networks.length} ${networks.length === 1 ? 'network' : 'networks'} (${digest(networks.map(formatPrefix).join())})`,
    ]),
  );
}

function digest(data: string): string {
  return createHash('sha256').update(data).digest('hex').slice(0, 8);
}

function keysInWords({ keys }: PeeringConfig): object {
  if (keys.kind === 'plain') return { publicKey: keys.publicKey, presharedKey: keys.presharedKey, keys: undefined };
  return { ...keys, kind: undefined, keys: undefined };
}

function describe(value: object, path: string, list: Listing): void {
  for (const [key, part] of Object.entries(value) as [string, unknown][]) {
    // Where in the file a rule stands is no part of what it says.
    if (part === undefined || key === 'line' || (path.endsWith(']') && key === 'name')) continue;
    const isWord = /^\w+$/.test(key);
    const word = WORDS[key] ?? (isWord ? snake(key.replace(/Ms$/, '')) : key);
    const place = path === '' ? word : `${path}.${word}`;
    if (isNamedList(part)) {
      if (!UNORDERED.includes(place))
        list.orders.set(
          place,
          part.map(({ name }) => name),
        );
      for (const entry of part) {
        list.entries.add(`${place}[${entry.name}]`);
        describe(entry, `${place}[${entry.name}]`, list);
      }
    } else if (isMapping(part)) {
      describe(part, place, list);
    } else {
      list.leaves.set(place, leaf(key, part));
    }
  }
}

function leaf(key: string, value: unknown): Leaf {
  if (value instanceof Uint8Array) {
    const print = createHash('sha256').update(value).digest('hex');
    return { text: key === 'publicKey' ? Buffer.from(value).toString('base64') : SECRET, print };
  }
  const text = inline(key, value);
  return { text, print: text };
}

/** A value as the file would have it, on one line. */
function inline(key: string, value: unknown): string {
  if (typeof value === 'number') {
    if (key.endsWith('Ms')) return duration(value);
    if (key === 'rate' || key === 'perFlow') return value === 0 ? NONE : rate(value * 8);
    if (key === 'burst') return `${value}b`;
    return value === -1 ? 'all' : String(value);
  }
  if (Array.isArray(value)) {
    const parts = key === 'ports' ? (value as [number, number][]).map(range) : value.map((part) => inline(key, part));
    return `[${parts.join(', ')}]`;
  }
  if (isPrefix(value)) return formatPrefix(value);
  if (isPlace(value)) return formatPlace(value);
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).map(
      ([name, part]: [string, unknown]) => `${snake(name)}: ${inline(name, part)}`,
    );
    return `{${parts.join(', ')}}`;
  }
  return String(value);
}

function isNamedList(value: unknown): value is { name: string }[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((entry) => typeof (entry as { name?: unknown } | null)?.name === 'string')
  );
}

function isMapping(value: unknown): value is object {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array) &&
    !isPrefix(value) &&
    !isPlace(value)
  );
}

function isPrefix(value: unknown): value is Prefix {
  return typeof value === 'object' && value !== null && 'family' in value && 'bits' in value;
}

/** An endpoint, or where to listen. */
function isPlace(value: unknown): value is { host?: string; address?: string; port: number } {
  return typeof value === 'object' && value !== null && 'port' in value && ('host' in value || 'address' in value);
}

function formatPlace({ host, address, port }: { host?: string; address?: string; port: number }): string {
  const name = host ?? address;
  if (name === undefined) return String(port);
  return formatRemote({ host: name, port });
}

function rate(bits: number): string {
  const units = [
    [1e9, 'gbit'],
    [1e6, 'mbit'],
    [1e3, 'kbit'],
  ] as const;
  const [size, unit] = units.find(([least]) => bits >= least) ?? [1, 'bit'];
  return `${bits / size}${unit}`;
}

function range([from, to]: [number, number]): string {
  return from === to ? String(from) : `${from}-${to}`;
}

function duration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

function snake(word: string): string {
  return word.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`);
}
