import type { ClassSpec, ShapeSpec } from '../policy/shaper.ts';
import type { Prefix } from '../routing/prefix.ts';
import type { FlowField } from './flow-fields.ts';
import type { TableSpec } from '../routing/route-tables.ts';

// Control checks addresses by these and may import nothing below the gateway.
export {
  canonical,
  formatPrefix,
  hasHostBits,
  overlaps,
  parsePrefix,
  prefixContains as contains,
} from '../routing/prefix.ts';
export { takesTheRest } from '../policy/shaper.ts';
export { DOWN_AFTER_PROBES, PROBE_INTERVAL, UP_AFTER } from '../session/liveness.ts';
export { QUOTA } from '../peering/state.ts';
export { comparePrefixes } from '../routing/route-table.ts';
export { BLACKHOLE, BUNDLE, LOCAL } from '../routing/target.ts';

/** What a gateway runs by: everything resolved, checked and in the units that the name says. Plain data. */
export interface GatewayConfig {
  /** What people call this gateway. */
  readonly name: string;
  /** Name of the TUN. */
  readonly interface: string;
  /** Overlay addresses of this gateway, each with the length of its network: host bits are set. */
  readonly addresses: readonly Prefix[];
  readonly listen: Listen;
  /** Where other gateways call this one, for the invitations that it makes. */
  readonly endpoint: RemoteHost | undefined;
  /** Requested peerings that may be active at once. */
  readonly peeringQuota: number;
  /** Where metrics are served, if they are. */
  readonly metrics: MetricsConfig | undefined;
  /** Bytes of an overlay packet, or `auto`. */
  readonly mtu: number | 'auto';
  /** The local VPC. */
  readonly subnets: readonly Prefix[];
  /** Age at which a session is renewed. */
  readonly rekeyAfterMs: number;
  /** Flows that the flow table holds; a power of two. */
  readonly flows: number;
  /** Idle time after which an established TCP connection is forgotten. */
  readonly tcpEstablishedTimeoutMs: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly flowLogs: readonly FlowLogConfig[];
  /** What stands ready without route tables of one's own. */
  readonly mode: Mode;
  /** Every table that is written down or used. Targets: `LOCAL`, `BLACKHOLE`, a peering's index, or `BUNDLE` and a bundle's. */
  readonly routeTables: readonly TableSpec[];
  /** The local VPC's association. */
  readonly routeTable: string;
  /** The tables that the local VPC propagates its networks to. */
  readonly propagateTo: readonly string[];
  readonly peerings: readonly PeeringConfig[];
  readonly bundles: readonly BundleConfig[];
  /** In the order of the file; a peering names one by its index. */
  readonly acls: readonly AclConfig[];
  /** In the order of the file. */
  readonly securityGroups: readonly SecurityGroupConfig[];
  /** In the order of the file; with the default one, if it is named and not there. */
  readonly networkAcls: readonly NetworkAclConfig[];
  /** The groups of the local VPC, by name: none is no filter. */
  readonly localGroups: readonly string[];
  /** The network ACL of the local VPC's subnets that have none of their own. */
  readonly localNetworkAcl: string | undefined;
}

export interface Listen {
  /** A local address, or undefined for all of them. */
  readonly address: string | undefined;
  readonly port: number;
}

/** What the HTTP listener serves beside the metrics. */
export interface MetricsConfig {
  readonly listen: MetricsListen;
  /** Whether the status page is served too. */
  readonly page: boolean;
  /** Names by which browsers may call the page, beside `localhost` and addresses. */
  readonly hosts: readonly string[];
  /** Who has it may reload by the page; without one the page only shows. */
  readonly token: Uint8Array | undefined;
}

/** An IP address of this host and a TCP port. */
export interface MetricsListen {
  readonly address: string;
  readonly port: number;
}

/** What is recorded of the flows that went by, and where it goes. */
export interface FlowLogConfig {
  readonly to: FlowLogTarget;
  /** The fields of a record, in order. */
  readonly format: readonly FlowField[];
  /** Length of the aggregation interval in seconds. */
  readonly interval: 60 | 600;
  readonly traffic: 'accept' | 'reject' | 'all';
  /** Names of peerings; empty for all, and what belongs to none. */
  readonly peerings: readonly string[];
  /** Of fields that say where a record was made. */
  readonly values: Readonly<Partial<Record<FlowField, string>>>;
}

export type FlowLogTarget =
  /** A file, which at `maxBytes` becomes `path.1`; `keep` of those are kept. */
  | { readonly kind: 'file'; readonly path: string; readonly maxBytes: number; readonly keep: number }
  | { readonly kind: 'stdout' }
  /** A program and its arguments, which reads records from its standard input. */
  | { readonly kind: 'command'; readonly argv: readonly string[] };

export interface PeeringConfig {
  readonly name: string;
  readonly keys: PskKeys | PlainKeys;
  /** When the PSK was written where it stands, ms since 1970: it is no younger. Undefined where nobody knows. */
  readonly pskWrittenAt?: number | undefined;
  /** Where the peer is called; undefined when it is the one that calls. */
  readonly endpoint: RemoteHost | undefined;
  /** The peer's VPC. */
  readonly subnets: readonly Prefix[];
  /** The peer's overlay addresses, at full length (/32 or /128). Empty when neither given nor derivable. */
  readonly addresses: readonly Prefix[];
  /** Interval of persistent keepalives; 0 for none. */
  readonly keepaliveMs: number;
  /** Index into `GatewayConfig.acls`, or -1: none. */
  readonly acl: number;
  /** How much may go to the peer, and come from it; undefined: as much as will. */
  readonly shape: { readonly out: ShapeConfig | undefined; readonly in: ShapeConfig | undefined };
  /** Index into `GatewayConfig.bundles`, or -1. */
  readonly bundle: number;
  /** The table in which what comes from the peer is looked up. */
  readonly routeTable: string;
  /** The tables that the peering propagates its networks to. */
  readonly propagateTo: readonly string[];
  /** Routes of the kernel whose next hop is the peer are learnt within these bounds; undefined: none are. */
  readonly learn: { readonly accept: readonly Prefix[]; readonly max: number } | undefined;
  /** Those of `subnets` that were learnt, the same objects: no file has them, and routes to them rank behind those to others. */
  readonly learnt?: readonly Prefix[];
  /** Of one that was requested and carries no packets: its session is for what the two gateways say about it. */
  readonly unrouted?: boolean;
  /** By name, instead of an ACL. */
  readonly groups: readonly string[];
  readonly networkAcl: string | undefined;
}

/** Several peerings that carry the same prefixes, each a path of its own. */
export interface BundleConfig {
  readonly name: string;
  /** Flows divided among all paths that are up, or all of them on the first one in the order of the file. */
  readonly mode: 'active-active' | 'active-standby';
  /** Between two probes; 0: none. */
  readonly probeMs: number;
  /** A path that gave no sign of life for so long is out of use. */
  readonly downAfterMs: number;
  /** For so long it must answer before it is used again. */
  readonly upAfterMs: number;
}

export type ShapeConfig = ShapeSpec;
export type ShapeClassConfig = ClassSpec;

export type Mode = 'peering' | 'hub';

/** How an attachment stands to the route tables. */
export interface TableUse {
  readonly routeTable: string;
  readonly propagateTo: readonly string[];
}

/**
 * The tables that a mode makes ready, and how attachments stand to them that say nothing else. `peering`: the local VPC
 * reaches every peering, and a peering the local VPC alone, as in VPC peering. `hub`: each reaches each other, as in a
 * transit gateway left as it is made.
 */
export const READY_MADE: Readonly<Record<Mode, { readonly gateway: TableUse; readonly peering: TableUse }>> = {
  peering: {
    gateway: { routeTable: 'local', propagateTo: ['local', 'peerings'] },
    peering: { routeTable: 'peerings', propagateTo: ['local'] },
  },
  hub: {
    gateway: { routeTable: 'hub', propagateTo: ['hub'] },
    peering: { routeTable: 'hub', propagateTo: ['hub'] },
  },
};

export type Role = 'server' | 'client';
export type CipherChoice = 'auto' | 'aes-256-gcm' | 'chacha20-poly1305';

/** All keys come from one PSK; the role says which of its two identities is ours. */
export interface PskKeys {
  readonly kind: 'psk';
  readonly role: Role;
  readonly cipher: CipherChoice;
  /** At least 32 bytes. */
  readonly psk: Uint8Array;
  /** The PSK that the peering is being moved to. */
  readonly next?: Uint8Array;
}

/** Keys as any WireGuard configuration has them, 32 bytes each. The cipher is always ChaCha20-Poly1305. */
export interface PlainKeys {
  readonly kind: 'plain';
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  /** All zero when none is set. */
  readonly presharedKey: Uint8Array;
}

/** An IP address without brackets or a host name, and a UDP port. */
export interface RemoteHost {
  readonly host: string;
  readonly port: number;
}

export interface AclConfig {
  readonly name: string;
  /** The verdict when no rule matches. */
  readonly otherwise: 'allow' | 'deny';
  /** The first that matches decides. */
  readonly rules: readonly AclRuleConfig[];
}

/** Rules that allow, and nothing else; several groups form a union. */
export interface SecurityGroupConfig {
  readonly name: string;
  /** The addresses that the group stands before; empty for all. Rules have them already. */
  readonly members: readonly Prefix[];
  readonly ingress: readonly AclRuleConfig[];
  readonly egress: readonly AclRuleConfig[];
}

/** Rules by number, each named by it, lowest first; what none matches is denied. */
export interface NetworkAclConfig {
  readonly name: string;
  /** Parts of the local VPC. */
  readonly subnets: readonly Prefix[];
  readonly ingress: readonly AclRuleConfig[];
  readonly egress: readonly AclRuleConfig[];
  readonly line: number;
}

export interface AclRuleConfig {
  readonly name: string;
  readonly action: 'allow' | 'deny';
  readonly direction: 'in' | 'out' | 'both';
  /** IP protocol number; -1 for all. 1 (ICMP) stands for ICMPv6 too. */
  readonly protocol: number;
  /** Empty for any. */
  readonly sources: readonly Prefix[];
  /** Empty for any. */
  readonly destinations: readonly Prefix[];
  /** Ranges of destination ports, ends included. Empty for any. */
  readonly ports: readonly (readonly [from: number, to: number])[];
  /** -1 for any. */
  readonly icmpType: number;
  /** -1 for any. */
  readonly icmpCode: number;
  /** Bytes per second for all flows that the rule lets begin, and for each of them; left out, as much as will. */
  readonly rate?: number;
  readonly perFlow?: number;
  /** Where the file has the rule, counted from 1. */
  readonly line: number;
}
