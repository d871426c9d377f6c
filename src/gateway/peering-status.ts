/** Peerings as `isthmus peering list` shows them: those that were requested and those of the file. */
import { visibleUntil } from '../peering/lifecycle.ts';
import type { PeeringRecord } from '../peering/record.ts';
import { isOver, isRouted } from '../peering/state.ts';
import type { Side, State } from '../peering/state.ts';
import { formatPrefix } from '../routing/prefix.ts';
import type { GatewayConfig, PeeringConfig } from './config.ts';
import { isUp } from './status.ts';
import type { PeerStatus } from './status.ts';
import { formatRemote } from './text.ts';

export interface PeeringStatus {
  readonly name: string;
  /** Null for one of the file, as are `side`, `peer` and the times. */
  readonly id: string | null;
  readonly origin: 'requested' | 'file';
  readonly side: Side | null;
  readonly state: State;
  /** Why it is in its state; may be empty. */
  readonly message: string;
  /** The other gateway's name; null while unknown. */
  readonly peer: string | null;
  /** What is led to the other side. */
  readonly peer_subnets: readonly string[];
  /** What the other side was told of this one. */
  readonly subnets: readonly string[];
  /** Null: nothing passes. */
  readonly acl: string | null;
  /** Where the one that is called is called. */
  readonly endpoint: string | null;
  /** ISO 8601, as are the others. */
  readonly created_at: string | null;
  /** When it came into its state. */
  readonly changed_at: string | null;
  /** Of a request that nobody has accepted. */
  readonly expires_at: string | null;
  /** Of one that is over. */
  readonly visible_until: string | null;
  /** Whether packets can go now, whatever the state says: `none` where they are not to. */
  readonly data_path: 'up' | 'down' | 'none';
  readonly last_handshake_s: number | null;
}

/** What an invitation holds, and what would come of it here. The PSK is not shown. */
export interface InvitationStatus {
  readonly id: string;
  readonly from: string;
  readonly endpoint: string;
  readonly subnets: readonly string[];
  readonly addresses: readonly string[];
  readonly cipher: string;
  readonly expires_at: string;
  /** Why it can't be accepted here; null if it can. */
  readonly obstacle: string | null;
}

export function requestedStatus(record: PeeringRecord, peer: PeerStatus | undefined): PeeringStatus {
  const { id, name, side, state, message, acl, endpoint, subnets } = record;
  const isPending = state === 'pending-acceptance' || (state === 'provisioning' && side === 'accepter');
  return {
    ...{ name, id, origin: 'requested', side, state, message, subnets, endpoint },
    peer: record.peer === '' ? null : record.peer,
    peer_subnets: record.peerSubnets,
    acl: acl === '' ? null : acl,
    created_at: iso(record.createdAt),
    changed_at: iso(record.changedAt),
    expires_at: isPending ? iso(record.expiresAt) : null,
    visible_until: isOver(state) ? iso(visibleUntil(record)) : null,
    ...pathOf(isRouted(state) ? peer : undefined),
  };
}

export function filedStatus(peering: PeeringConfig, file: GatewayConfig, peer: PeerStatus | undefined): PeeringStatus {
  const { name, subnets, acl, endpoint } = peering;
  return {
    ...{ name, id: null, origin: 'file', side: null, state: 'active', message: '', peer: null },
    peer_subnets: subnets.map(formatPrefix),
    subnets: file.subnets.map(formatPrefix),
    acl: acl < 0 ? null : file.acls[acl].name,
    endpoint: endpoint === undefined ? null : formatRemote(endpoint),
    ...{ created_at: null, changed_at: null, expires_at: null, visible_until: null },
    ...pathOf(peer),
  };
}

function pathOf(peer: PeerStatus | undefined): Pick<PeeringStatus, 'data_path' | 'last_handshake_s'> {
  if (peer === undefined) return { data_path: 'none', last_handshake_s: null };
  return { data_path: isUp(peer) ? 'up' : 'down', last_handshake_s: peer.last_handshake_s };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
