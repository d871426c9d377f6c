/** What a gateway knows of one peering that was requested, by it or of it. Plain data; JSON keeps it as it is. */
import type { Invitation } from './invitation.ts';
import type { Side, State } from './state.ts';

export interface PeeringRecord {
  /** The same at both sides. */
  readonly id: string;
  /** What this side calls the peering. */
  readonly name: string;
  readonly side: Side;
  readonly state: State;
  /** Why it is in its state, for people. May be empty. */
  readonly message: string;
  /** ms since 1970, as are the others. */
  readonly createdAt: number;
  /** When it came into its state. */
  readonly changedAt: number;
  /** When the request does, if nobody has accepted it. */
  readonly expiresAt: number;
  /** The other gateway's name; empty while unknown. */
  readonly peer: string;
  /** Where the requester is called. */
  readonly endpoint: string;
  readonly cipher: Invitation['cipher'];
  /** base64url; empty: none any more. */
  readonly psk: string;
  /** The PSK that takes its place once a session has come of it; empty: none. */
  readonly nextPsk: string;
  /** What lies behind this side, as the other is told. */
  readonly subnets: readonly string[];
  readonly addresses: readonly string[];
  /** What of the other side is led to it. */
  readonly peerSubnets: readonly string[];
  readonly peerAddresses: readonly string[];
  /** The requester's: what the other side's networks must lie within. */
  readonly bounds: readonly string[];
  /** Name of an ACL; empty: nothing passes. */
  readonly acl: string;
  /** Once it is deleted. */
  readonly deletedBy: Side | null;
  /** The other side has answered to what became of the peering here. */
  readonly isTold: boolean;
}

/** A record as it has become, and who made it so. */
export interface Change {
  readonly record: PeeringRecord;
  /** `local api`, `peer NAME` or `timer`. */
  readonly who: string;
  readonly at: number;
  /** What is to be remembered of it for good. Undefined: nothing that anybody decided. */
  readonly what: object | undefined;
}

/** Why something is not done, for people. Nothing was changed. */
export interface Refusal {
  readonly refused: string;
}

/** What there is beside the peering. */
export interface World {
  /** The gateway's name. */
  readonly name: string;
  /** The local VPC. */
  readonly subnets: readonly string[];
  /** The gateway's overlay addresses, each with its full length. */
  readonly addresses: readonly string[];
  /** Of the configuration file. */
  readonly filed: readonly { readonly name: string; readonly networks: readonly string[] }[];
  readonly records: readonly PeeringRecord[];
  /** Peerings that may be active at once. */
  readonly quota: number;
}

export const LOCAL_API = 'local api';
export const TIMER = 'timer';

export function peerOf({ peer, name }: PeeringRecord): string {
  return `peer ${peer === '' ? name : peer}`;
}
