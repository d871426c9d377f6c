/** What is measured against what. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  ISTHMUS,
  startIsthmus,
  startNothing,
  startOpenVpnGcm,
  startReferenceOpenVpn,
  startWireguardGo,
  WIREGUARD_GO,
  type GatewayFile,
  type Tunnel,
} from '../test/lab/contenders.ts';
import type { Lab } from '../test/lab/lab.ts';
import { execute, until } from '../test/lab/process.ts';

export interface Contender {
  readonly id: string;
  readonly label: string;
  /** `mtu`: the tunnel's, where it is not to follow from a link of 1500 bytes. */
  readonly start: (lab: Lab, mtu?: number) => Promise<Tunnel>;
  /** Whether it makes use of a link of 9001 bytes. */
  readonly jumbo: boolean;
  /** The program that is a WireGuard device: arguments up to the interface's name. */
  readonly device?: readonly string[];
  /** Ours with more to do, to be compared with ours; left out of a quick run. */
  readonly variant?: true;
  /** Why it cannot be measured here; undefined if it can. */
  readonly missing: () => Promise<string | undefined>;
}

/** What the others are compared with. */
export const WIREGUARD = 'wireguard-go';
export const REFERENCE = 'reference';

const RULES = 50;

const never = (): Promise<undefined> => Promise.resolve(undefined);

async function notInstalled(...programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    const found = await execute([program, '--version']).catch(() => undefined);
    if (found === undefined) return `${program} is not installed`;
  }
  return undefined;
}

function wireguardMissing(): Promise<string | undefined> {
  return Promise.resolve(existsSync(WIREGUARD_GO) ? undefined : `there is no ${WIREGUARD_GO}`);
}

/** An ACL of so many rules, of which the last one allows everything and the others match nothing that is measured. */
export function aclOf(rules: number): Record<string, unknown>[] {
  const others = Array.from({ length: rules - 1 }, (_, number) => ({
    name: `other-${number}`,
    action: 'deny',
    protocol: number % 2 === 0 ? 'tcp' : 'udp',
    source: `10.${(number >> 8) & 255}.${number & 255}.0/24`,
    ports: 1 + (number % 60_000),
  }));
  return [...others, { name: 'all', action: 'allow', protocol: 'all' }];
}

/** Isthmus with everything on; `change` is applied to both gateways' files. */
export function startGateways(
  lab: Lab,
  options: { cipher: string; mtu?: number; change?: (file: GatewayFile) => void },
): Promise<Tunnel> {
  const { change, ...rest } = options;
  return startIsthmus(lab, {
    ...rest,
    change: (...files) => {
      for (const file of files) {
        file.acls['open'] = aclOf(RULES);
        change?.(file);
      }
    },
  });
}

const isthmus =
  (cipher: string) =>
  (lab: Lab, mtu?: number): Promise<Tunnel> =>
    startGateways(lab, mtu === undefined ? { cipher } : { cipher, mtu });

const GROUPS = 4;
const GROUP_RULES = 50;
/** More than any machine of today carries, so that nothing waits for it. */
const AMPLE_RATE = '100gbit';

/** Puts everything to work that a router can be given: groups of 200 rules, two network ACLs, flow logs, shaping. */
function asRouter(lab: Lab, file: GatewayFile): void {
  const groups = Array.from({ length: GROUPS }, (_, group) => [`group-${group}`, groupOf(group)] as const);
  const { gateway, peerings } = file;
  file.security_groups = Object.fromEntries(groups);
  file.network_acls = { vpc: networkAcl(), peering: networkAcl() };
  gateway['security_groups'] = groups.map(([name]) => name);
  gateway['network_acl'] = 'vpc';
  gateway['flow_logs'] = [{ to: { file: join(lab.directory, `${String(gateway['name'])}.log`) }, interval: '60s' }];
  for (const peering of peerings) {
    peering['network_acl'] = 'peering';
    peering['shape'] = { out: AMPLE_RATE, in: AMPLE_RATE };
  }
}

/** A security group whose last rule, in the last group alone, lets everything in. */
function groupOf(group: number): object {
  const rules = Array.from({ length: GROUP_RULES }, (_, number) => ({
    name: `other-${number}`,
    protocol: number % 2 === 0 ? 'tcp' : 'udp',
    source: `10.${group}.${number}.0/24`,
    ports: 1 + number,
  }));
  if (group < GROUPS - 1) return { ingress: rules };
  return { ingress: [...rules.slice(1), { name: 'all', protocol: 'all', source: ['0.0.0.0/0', '::/0'] }] };
}

/** A network ACL that lets everything pass, both ways, by its last rules. */
function networkAcl(): object {
  const denied = Array.from({ length: 20 }, (_, number) => ({
    rule: 1 + number,
    action: 'deny',
    protocol: 'tcp',
    cidr: `10.99.${number}.0/24`,
    ports: 22,
  }));
  const rules = [
    ...denied,
    { rule: 100, action: 'allow', cidr: '0.0.0.0/0' },
    { rule: 101, action: 'allow', cidr: '::/0' },
  ];
  return { ingress: rules, egress: rules };
}

const METRICS = '127.0.0.1:9586';

/** Both gateways with metrics, each of them scraped every second, as often as anyone's Prometheus does. */
async function startScraped(lab: Lab): Promise<Tunnel> {
  const change = (file: GatewayFile): void => void (file.gateway['metrics'] = METRICS);
  const tunnel = await startGateways(lab, { cipher: 'aes-256-gcm', change });
  const script = fileURLToPath(new URL('scrape.js', import.meta.url));
  const scrapers = ['gwa', 'gwb'].map((host) =>
    lab.spawn(host, [process.execPath, script, `http://${METRICS}/metrics`]),
  );
  // Two programs that start are not what is measured.
  await until('the scrapers', () => scrapers.every((scraper) => scraper.output().includes('scraping')));
  const stop = async (): Promise<void> => {
    await Promise.all(scrapers.map((scraper) => scraper.stop()));
    await tunnel.stop();
  };
  return { ...tunnel, stop };
}

export const CONTENDERS: readonly Contender[] = [
  { id: 'none', label: 'no tunnel', start: (lab) => startNothing(lab), jumbo: true, missing: never },
  {
    id: REFERENCE,
    label: 'reference (OpenVPN TCP, AES-128-CBC, LZO)',
    start: (lab) => startReferenceOpenVpn(lab),
    jumbo: false,
    missing: () => notInstalled('openvpn'),
  },
  {
    id: 'openvpn',
    label: 'OpenVPN UDP, AES-256-GCM',
    start: (lab) => startOpenVpnGcm(lab),
    jumbo: false,
    missing: () => notInstalled('openvpn', 'openssl'),
  },
  {
    id: WIREGUARD,
    label: 'wireguard-go',
    start: (lab, mtu) => startWireguardGo(lab, mtu === undefined ? {} : { mtu }),
    jumbo: true,
    device: [WIREGUARD_GO, '-f'],
    missing: wireguardMissing,
  },
  { id: 'isthmus-aes', label: 'Isthmus, AES-256-GCM', start: isthmus('aes-256-gcm'), jumbo: true, missing: never },
  {
    id: 'isthmus-router',
    label: 'Isthmus, AES-256-GCM, as a router',
    start: (lab) => startGateways(lab, { cipher: 'aes-256-gcm', change: (file) => asRouter(lab, file) }),
    jumbo: false,
    variant: true,
    missing: never,
  },
  {
    id: 'isthmus-scraped',
    label: 'Isthmus, AES-256-GCM, scraped every second',
    start: startScraped,
    jumbo: false,
    variant: true,
    missing: never,
  },
  {
    id: 'isthmus-chacha',
    label: 'Isthmus, ChaCha20-Poly1305',
    start: isthmus('chacha20-poly1305'),
    jumbo: true,
    device: [...ISTHMUS, 'device', '-f'],
    missing: never,
  },
];
