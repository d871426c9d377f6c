/** What a running gateway tells of itself: the JSON of `isthmus status --json`. Counts are since the start. */
import type { Origin, RouteState } from '../routing/route-table.ts';
import { DEFAULT_TIMING } from '../session/constants.ts';
import type { PathState } from '../session/liveness.ts';
import type { RuleStatus } from './rules.ts';

/** A peer whose last handshake is so many seconds old, or older, has no session. */
export const SESSION_LIFE_S = DEFAULT_TIMING.rejectAfterTime / 1000;

/** Whether the peer's last handshake is young enough for a session. */
export function isUp({ last_handshake_s: age }: Pick<PeerStatus, 'last_handshake_s'>): boolean {
  return age !== null && age < SESSION_LIFE_S;
}

/** A path of a bundle. */
export interface PathStatus {
  readonly bundle: string;
  /** `damped`: answers again, but not yet for long enough. */
  readonly state: PathState;
  /** Whether packets take it now. */
  readonly in_use: boolean;
  /** Null without probes, or before the first answer. */
  readonly rtt_ms: number | null;
  readonly jitter_ms: number | null;
  /** Share of the last probes that were not answered, 0 to 1; null without probes. */
  readonly loss: number | null;
}

/** A direction of a peering that is shaped. */
export interface ShapeStatus {
  readonly direction: 'out' | 'in';
  /** Bits per second. */
  readonly rate_bit: number;
  readonly burst_bytes: number;
  readonly classes: readonly ShapeClassStatus[];
}

export interface ShapeClassStatus {
  readonly name: string;
  readonly priority: number;
  readonly weight: number;
  /** Null: as much as the shape. */
  readonly rate_bit: number | null;
  /** What went on, packets and bytes of the overlay. */
  readonly packets: number;
  readonly bytes: number;
  /** Packets that had to wait. */
  readonly delayed: number;
  /** Packets for which there was no room. */
  readonly drops: number;
  /** What waits now. */
  readonly queued_bytes: number;
}

export interface PeerStatus {
  readonly name: string;
  /** `address:port` where it was last seen, or is configured; null while unknown. */
  readonly endpoint: string | null;
  /** How often it was found elsewhere than before. */
  readonly roams: number;
  /** Of the present session; null before the first. */
  readonly cipher: string | null;
  /** Base64, as `wg` shows it. */
  readonly public_key: string;
  /** Which PSK the present session comes from; null before the first, and for a peering by public key. */
  readonly psk: 'current' | 'next' | null;
  /** How long ago the PSK was written where it stands; null where nobody knows, and for a peering by public key. */
  readonly psk_age_s: number | null;
  readonly last_handshake_s: number | null;
  /** Handshakes that succeeded; each after a session's first renews it. */
  readonly handshakes: number;
  /** Handshakes begun here, answered or not. */
  readonly initiations: number;
  /** Whether packets can be sent to the peer now. */
  readonly has_session: boolean;
  /** Handshakes begun here since the last that succeeded. */
  readonly unanswered: number;
  /** Handshakes begun by the peer and answered here since the last that succeeded. */
  readonly unconfirmed: number;
  /** By how much the peer's clock was ahead of ours when it last began a handshake; null if it has not for 15 minutes. */
  readonly clock_skew_s: number | null;
  /** Bytes on the underlay. */
  readonly rx_bytes: number;
  readonly tx_bytes: number;
  /** Packets of the overlay. */
  readonly rx_packets: number;
  readonly tx_packets: number;
  readonly routes: readonly string[];
  /** Learnt from a routing daemon, through the kernel. */
  readonly learnt_routes: readonly string[];
  readonly acl: string | null;
  readonly security_groups: readonly string[];
  readonly network_acl: string | null;
  /** Null for a peering in no bundle. */
  readonly path: PathStatus | null;
  readonly shape: readonly ShapeStatus[];
  /** Packets by drop reason. */
  readonly drops: Readonly<Record<string, number>>;
}

/** What came from the local VPC and went to it, as the kernel counts it at the TUN: a super-packet is one packet. */
export interface LocalStatus {
  readonly rx_bytes: number;
  readonly tx_bytes: number;
  readonly rx_packets: number;
  readonly tx_packets: number;
}

/** Handshake messages from one source that were dropped for one reason. */
export interface RefusalStatus {
  /** `address:port` of the last. */
  readonly from: string;
  /** Whose they were, so far as is known. */
  readonly peering: string | null;
  readonly reason: string;
  readonly count: number;
  /** Age of the last. */
  readonly last_s: number;
}

/** A data-plane thread. */
export interface ThreadStatus {
  readonly name: 'outbound' | 'inbound';
  /** CPU time used. */
  readonly cpu_s: number;
  /** Batches carried, and what they held: packets or super-packets read, or receive buffers. */
  readonly batches: number;
  readonly batch_entries: number;
}

export interface FlowsStatus {
  /** Flows that live now; in a table of more than 131,072 an estimate. */
  readonly tracked: number;
  readonly capacity: number;
  /** Flows that were forgotten to make room: never answered, or ended. */
  readonly displaced: number;
  /** TCP packets that lay outside their connection's window; they passed. */
  readonly out_of_window: number;
}

export interface GatewayStatus {
  readonly gateway: string;
  readonly interface: string;
  readonly port: number;
  readonly mtu: number;
  readonly addresses: readonly string[];
  readonly subnets: readonly string[];
  readonly uptime_s: number;
  /** What seals and opens: `ipsec-mb` with its instruction set, or `openssl`. */
  readonly aead: string;
  readonly peers: readonly PeerStatus[];
  readonly rules: readonly RuleStatus[];
  /** Whether the interface is up and the UDP port open. */
  readonly listening: boolean;
  /** Null while the interface can't be found. */
  readonly local: LocalStatus | null;
  /** What waits on its way from peer to peer. */
  readonly transit_queue_bytes: number;
  readonly flows: FlowsStatus;
  readonly threads: readonly ThreadStatus[];
  /** The latest sources of handshake messages that were dropped, the latest first. */
  readonly refused: readonly RefusalStatus[];
  /** All drops, by each reason there is; those of peers that are gone among them. */
  readonly all_drops: Readonly<Record<string, number>>;
  /** What no peer can be blamed for. */
  readonly drops: Readonly<Record<string, number>>;
}

/** The JSON of `isthmus routes --json`. Attachments are `local` and peerings by their names. */
export interface RoutesStatus {
  readonly mode: 'peering' | 'hub';
  readonly tables: readonly RouteTableStatus[];
}

export interface RouteTableStatus {
  readonly name: string;
  /** The attachments whose packets are looked up in the table. */
  readonly associated: readonly string[];
  /** The attachments that propagate their networks to it. */
  readonly propagating: readonly string[];
  /** By address, enclosing ones before those within, winners before those they hide. */
  readonly routes: readonly RouteStatus[];
}

export interface RouteStatus {
  readonly destination: string;
  /** An attachment, or `blackhole`. */
  readonly target: string;
  readonly origin: Origin;
  /** Of a `prefix-list` route, the list. */
  readonly prefix_list: string | null;
  readonly state: RouteState;
  /** Where the configuration has the route; null of one that was propagated. */
  readonly line: number | null;
}
