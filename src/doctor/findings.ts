/** What a doctor finds: every check by its id, in the order of cause. */

/** `warning`: it works, and may not for long. `hint`: nothing is wrong, and it could be better, or is not known. */
export type Severity = 'fault' | 'warning' | 'hint' | 'ok';

export interface Finding {
  readonly id: CheckId;
  readonly severity: Severity;
  /** The peering that it is about; null if it is about the gateway. */
  readonly peering: string | null;
  /** What was seen. */
  readonly seen: string;
  /** What comes of it; empty when all is well. */
  readonly why: string;
  /** The command, or else the deed, that mends it; null when there is nothing to mend. */
  readonly fix: string | null;
  /** Other faults found that explain this one. */
  readonly because: readonly CheckId[];
}

interface Check {
  readonly meaning: string;
  /** A fault of one of these can be the whole cause. */
  readonly follows?: readonly string[];
}

/** In the order of cause: what stands first explains what comes after it. docs/troubleshooting.md shows this table. */
export const CHECKS = {
  config: { meaning: 'The configuration file and the secrets it names can be read and have no fault.' },
  privileges: { meaning: 'There is CAP_NET_ADMIN, which interfaces, routes and forwarding need.' },
  'tun-device': { meaning: '/dev/net/tun is there and may be opened.' },
  iproute2: { meaning: 'The command `ip` is there, by which the gateway sets its addresses and routes.' },
  kernel: { meaning: 'The kernel has the offloads that make a gateway fast.' },
  clock: { meaning: "The host's clock is not behind what it has already stamped." },
  'interface-name': { meaning: 'No other program or link has the name of the interface.' },
  'udp-port': { meaning: "No other program has the UDP port, and the address to listen on is this host's." },
  'gateway-process': { meaning: 'The gateway runs and answers on its socket.' },
  'config-changed': { meaning: 'The gateway runs by the file as it is now.' },
  link: { meaning: 'The interface is up and the UDP port open.', follows: ['gateway-process'] },
  addresses: { meaning: 'The interface has the overlay addresses of the file.', follows: ['link', 'config-changed'] },
  mtu: { meaning: "The interface's MTU fits into the packets of the underlay.", follows: ['config-changed'] },
  forwarding: { meaning: "The host's kernel forwards packets between the VPC and the tunnel." },
  'kernel-routes': {
    meaning: "The host's routes lead the peers' subnets into the tunnel.",
    follows: ['link', 'config-changed'],
  },
  'route-elsewhere': { meaning: "No other route or network of the host takes a part of the peers' subnets away." },
  'local-subnets': { meaning: 'The host has a way to the local subnets.' },
  'reverse-path-filter': {
    meaning: 'The reverse-path filter does not drop what comes out of the tunnel.',
    follows: ['kernel-routes', 'route-elsewhere'],
  },
  'firewall-input': { meaning: "The host's firewall lets the peers' datagrams in." },
  'firewall-output': { meaning: "The host's firewall lets datagrams for the peers out." },
  'firewall-forward': { meaning: "The host's firewall lets packets pass between the VPC and the tunnel." },
  'source-dest-check': { meaning: "EC2's source/destination check is off at the network interface." },
  'vpc-routes': { meaning: "The VPC's route tables lead the peers' subnets to this instance." },
  'vpc-security-group': { meaning: 'A security group lets the UDP port in.' },
  'vpc-subnets': { meaning: 'The local subnets of the file are those of the VPC.' },
  'endpoint-name': { meaning: "The peer's endpoint has an address." },
  'endpoint-self': { meaning: "The peer's endpoint is not this host itself." },
  'endpoint-route': { meaning: 'There is a route to the endpoint, and not through the tunnel itself.' },
  'path-mtu': { meaning: 'Datagrams of full size get to the endpoint.', follows: ['mtu'] },
  'peer-port': { meaning: 'A program listens at the endpoint.' },
  role: { meaning: 'The two ends have opposite roles.', follows: ['endpoint-self'] },
  cipher: { meaning: 'The two ends may use the same cipher.', follows: ['endpoint-self'] },
  psk: { meaning: 'The two ends have the same PSK.', follows: ['role', 'cipher'] },
  'peer-key': { meaning: "The caller's public key is one of the file." },
  'peer-clock': { meaning: "The peer's clock agrees with this host's and was not set back." },
  session: {
    meaning: 'There is a session with the peer, or it can be had.',
    follows: [
      ...['gateway-process', 'link', 'route-elsewhere', 'firewall-input', 'firewall-output', 'vpc-security-group'],
      ...['endpoint-name', 'endpoint-self', 'endpoint-route', 'peer-port', 'role', 'cipher', 'psk', 'peer-key'],
      'peer-clock',
    ],
  },
  'peer-subnets': { meaning: 'What the peer sends comes from its subnets, as this file has them.' },
  'local-source': { meaning: 'What this host sends into the tunnel comes from the local subnets.' },
  'access-list': { meaning: 'Something may pass: the peering has an access list or security groups.' },
  'peer-kind': { meaning: 'What the peer is, so far as it shows: Isthmus, or any WireGuard.' },
} as const satisfies Record<string, Check>;

export type CheckId = keyof typeof CHECKS;

const ORDER = Object.keys(CHECKS) as CheckId[];
const SEVERITIES: readonly Severity[] = ['fault', 'warning', 'hint', 'ok'];

/** What a check says; the peering and the causes are filled in. */
export type Said = Omit<Finding, 'because' | 'peering'> & { readonly peering?: string };

type Say = (id: CheckId, seen: string, why: string, fix: string, peering?: string) => Said;

const saying =
  (severity: Severity): Say =>
  (id, seen, why, fix, peering) => ({
    ...{ id, severity, seen, why, fix },
    ...(peering === undefined ? {} : { peering }),
  });

export const fault = saying('fault');
export const warning = saying('warning');
export const hint = saying('hint');

/** All is well with a check. */
export function ok(id: CheckId, seen: string, peering?: string): Said {
  return { id, severity: 'ok', seen, why: '', fix: null, ...(peering === undefined ? {} : { peering }) };
}

/** Puts causes first: faults before warnings, and among them what explains others before these. */
export function arrange(said: readonly Said[]): Finding[] {
  const faults = new Set(said.filter(({ severity }) => severity === 'fault').map(({ id }) => id));
  const becauseOf = ({ id, severity, peering }: Said): CheckId[] => {
    if (severity === 'ok' || severity === 'hint') return [];
    const { follows = [] }: Check = CHECKS[id];
    return ORDER.filter((cause) => follows.includes(cause) && faults.has(cause) && concerns(cause, peering));
  };
  // A fault of one peering explains none of another.
  const concerns = (cause: CheckId, peering: string | undefined): boolean =>
    said.some((each) => each.id === cause && each.severity === 'fault' && (!each.peering || each.peering === peering));
  return said
    .map((each) => ({ ...each, peering: each.peering ?? null, because: becauseOf(each) }))
    .sort(
      (a, b) =>
        SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || ORDER.indexOf(a.id) - ORDER.indexOf(b.id),
    );
}
