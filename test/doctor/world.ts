// A host on which nothing is wrong, as a doctor reads it, to be changed by tests.
import type { Context, HostRoute, Link, Way } from '../../src/doctor/context.ts';
import { readConfig } from '../../src/control/config.ts';
import type { GatewayConfig } from '../../src/gateway/config.ts';
import { parsePrefix } from '../../src/gateway/config.ts';
import type { GatewayStatus, PeerStatus, RefusalStatus } from '../../src/gateway/status.ts';
import { PEER, STATUS } from '../observe/samples.ts';

export const FILE = '/etc/isthmus/gateway.yaml';
const NOW = Date.UTC(2026, 10, 21, 12);

/** The file of a gateway that calls its peer; `change` is a pair of texts. */
export function config(...changes: readonly (readonly [string, string])[]): GatewayConfig {
  let text = `
gateway:
  name: ningxia
  interface: ist0
  address: 10.8.0.1/30
  listen: 51820
  subnets: [172.31.0.0/16]
peerings:
  - name: beijing
    role: server
    psk: '${'0123456789abcdef'.repeat(4)}'
    endpoint: 203.0.113.7:51820
    subnets: [192.168.0.0/16]
    acl: web
acls:
  web: [{action: allow}]
`;
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`the file has no ${from}`);
    text = text.replace(from, to);
  }
  const result = readConfig({ text, file: FILE, directory: '/' }, {});
  if ('faults' in result) throw new Error(result.faults.map(({ message }) => message).join('\n'));
  return result.config;
}

export const link = (name: string, given: Partial<Link> = {}): Link => ({
  ...{ name, up: true, carrier: true, mtu: 1500, kind: '', addresses: [] },
  ...given,
});
export const route = (prefix: string, device: string | undefined, given: Partial<HostRoute> = {}): HostRoute => ({
  ...{ prefix: parsePrefix(prefix), device, type: 'unicast', connected: false, metric: 0 },
  ...given,
});
export const way = (device: string | undefined, given: Partial<Way> = {}): Way => ({
  ...{ device, local: false, mtu: 1500 },
  ...given,
});

/** A running gateway's status, with one peer. */
export function status(peer: Partial<PeerStatus> = {}, rest: Partial<GatewayStatus> = {}): GatewayStatus {
  return { ...STATUS, refused: [], peers: [{ ...PEER, path: null, drops: {}, ...peer }], ...rest };
}

export function refusal(reason: string, given: Partial<RefusalStatus> = {}): RefusalStatus {
  return { ...{ from: '203.0.113.7:51820', peering: null, reason, count: 3, last_s: 1 }, ...given };
}

export const ways = (...pairs: readonly (readonly [string, Way])[]): ReadonlyMap<string, Way> =>
  new Map([
    ['203.0.113.7', way('eth0')],
    ['192.168.0.1', way('ist0', { mtu: 1420 })],
    ['10.8.0.2', way('ist0', { mtu: 1420 })],
    ['172.31.0.1', way('eth0')],
    ...pairs,
  ]);

export const LINKS = [
  link('lo', { mtu: 65_536 }),
  link('eth0', { addresses: [parsePrefix('172.31.1.5/24')] }),
  link('ist0', { kind: 'tun', mtu: 1420, addresses: [parsePrefix('10.8.0.1/30')] }),
];
export const ROUTES = [
  route('0.0.0.0/0', 'eth0'),
  route('172.31.1.0/24', 'eth0', { connected: true }),
  route('10.8.0.0/30', 'ist0', { connected: true }),
  route('192.168.0.0/16', 'ist0'),
];

/** All is well, and the gateway runs. */
export function context(given: Partial<Context> = {}): Context {
  return {
    file: FILE,
    config: config(),
    configFaults: [],
    running: { kind: 'yes', status: status(), changes: [] },
    host: {
      ...{ netAdmin: true, tun: '', hasIp: true, kernel: '6.8.0-1', now: NOW, synchronised: true },
      newest: { path: FILE, at: NOW - 86_400_000 },
      forwarding: { 4: true, 6: false },
      ...{ interfaceForwarding: true, reversePathFilter: 0, port: '', portHolder: undefined },
    },
    network: { links: LINKS, routes: ROUTES, ways: ways() },
    firewall: new Map(),
    endpoints: new Map([['beijing', endpoint()]]),
    ec2: undefined,
    ...given,
  };
}

export function endpoint(given: object = {}) {
  const seen = { refused: undefined, answersSmall: true, answersFull: true };
  return { host: '203.0.113.7', port: 51820, address: '203.0.113.7', ...seen, ...given };
}

/** The gateway runs, with one peer of this status. */
export function running(peer: Partial<PeerStatus>, rest: Partial<GatewayStatus> = {}): Pick<Context, 'running'> {
  return { running: { kind: 'yes', status: status(peer, rest), changes: [] } };
}
