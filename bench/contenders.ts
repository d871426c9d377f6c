/** What is measured against what. */
import { existsSync } from 'node:fs';
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
import { execute } from '../test/lab/process.ts';

export interface Contender {
  readonly id: string;
  readonly label: string;
  /** `mtu`: the tunnel's, where it is not to follow from a link of 1500 bytes. */
  readonly start: (lab: Lab, mtu?: number) => Promise<Tunnel>;
  /** Whether it makes use of a link of 9001 bytes. */
  readonly jumbo: boolean;
  /** The program that is a WireGuard device: arguments up to the interface's name. */
  readonly device?: readonly string[];
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
    id: 'isthmus-chacha',
    label: 'Isthmus, ChaCha20-Poly1305',
    start: isthmus('chacha20-poly1305'),
    jumbo: true,
    device: [...ISTHMUS, 'device', '-f'],
    missing: never,
  },
];
