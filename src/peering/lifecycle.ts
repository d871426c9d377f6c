/**
 * What becomes of peerings: by what their operators ask, by what the other side says, and by time. Nothing here knows a
 * clock or keeps anything: each function is given what there is, and gives what it is to become.
 */
import type { Invitation } from './invitation.ts';
import { LOCAL_API, TIMER, peerOf } from './record.ts';
import type { Change, PeeringRecord, Refusal, World } from './record.ts';
import { findOutside, findOverlap } from './overlap.ts';
import { EXPIRES_AFTER, QUOTA, forbidden, isOver, isRouted, transition, visibleFor } from './state.ts';
import type { Action, Actor } from './state.ts';

/** What an operator asks for. */
export interface Request {
  readonly id: string;
  /** What the other side is called here. */
  readonly name: string;
  readonly endpoint: string;
  /** What is offered; of the local VPC. */
  readonly subnets: readonly string[];
  /** What the other side's networks must lie within. */
  readonly bounds: readonly string[];
  readonly cipher: Invitation['cipher'];
  readonly acl: string;
  /** base64url. */
  readonly psk: string;
}

/** What of an invitation an operator takes. */
export interface Acceptance {
  readonly name: string;
  /** Of the requester's networks. */
  readonly subnets: readonly string[];
  readonly acl: string;
  /** The PSK that takes the invitation's place, base64url. */
  readonly nextPsk: string;
}

/** How long a side goes on answering for a peering that is over, for the case that its last answer was lost. */
const LINGER = 120_000;
/** How long the other side is told of a deletion. */
const TELL_FOR = 3_600_000;

/** Makes a request: `pending-acceptance`, or at once `failed`. */
export function request(asked: Request, world: World, now: number): Change[] | Refusal {
  const outstanding = world.records.filter(({ side, state }) => side === 'requester' && state === 'pending-acceptance');
  if (outstanding.length >= QUOTA.outstanding) {
    return { refused: `${QUOTA.outstanding} requests wait to be accepted, which is the most there may be: delete one` };
  }
  const taken = nameTaken(asked.name, world);
  if (taken !== undefined) return { refused: taken };
  const outside = findOutside(asked.subnets, world.subnets);
  if (outside !== undefined)
    return { refused: `${outside} is no part of this gateway's subnets, ${list(world.subnets)}` };
  const { addresses } = world;
  const record: PeeringRecord = {
    ...{ ...asked, side: 'requester', state: 'initiating-request', message: '', createdAt: now, changedAt: now },
    ...{ expiresAt: now + EXPIRES_AFTER, peer: '', nextPsk: '', addresses, peerSubnets: [], peerAddresses: [] },
    ...{ deletedBy: null, isTold: false },
  };
  const begun = noted(record, LOCAL_API, now, { offered: asked.subnets, acl: asked.acl || null });
  const conflict = overlapOf(record.bounds, world);
  if (conflict !== undefined)
    return [begun, moved(record, 'fail', 'gateway', LOCAL_API, now, { message: conflict, psk: '' })];
  return [begun, moved(record, 'submit', 'gateway', LOCAL_API, now)];
}

/** Why an invitation can't be taken up at all, whatever is asked of it; undefined if it can. */
export function unusable(invitation: Invitation, world: World, now: number): string | undefined {
  const known = world.records.find(({ id }) => id === invitation.id);
  if (known?.side === 'requester') return 'the invitation was made by this gateway; it is for the other side';
  if (known !== undefined) return `the invitation was used here before: peering ${known.name} is ${known.state}`;
  if (now >= invitation.expiresAt) return `the invitation expired at ${new Date(invitation.expiresAt).toISOString()}`;
  return undefined;
}

/** The first of the networks here that the invitation's are in the way of, as a text; undefined if there is none. */
export function conflictOf(invitation: Invitation, world: World): string | undefined {
  return overlapOf([...invitation.subnets, ...invitation.addresses], world);
}

/** Accepts all or a part of an invitation: `provisioning`, or at once `failed`. */
export function accept(invitation: Invitation, asked: Acceptance, world: World, now: number): Change[] | Refusal {
  const reason = unusable(invitation, world, now) ?? nameTaken(asked.name, world) ?? overQuota(world);
  if (reason !== undefined) return { refused: reason };
  const outside = findOutside(asked.subnets, invitation.subnets);
  if (outside !== undefined)
    return { refused: `${outside} is not offered; wanted some of ${list(invitation.subnets)}` };
  const pending = invited(invitation, asked.name, world, now);
  const conflict = conflictOf(invitation, world);
  if (conflict !== undefined) {
    return [noted(pending, LOCAL_API, now), moved(pending, 'fail', 'gateway', LOCAL_API, now, { message: conflict })];
  }
  const { subnets: peerSubnets, acl, nextPsk } = asked;
  const message = `waits until ${invitation.from} has confirmed`;
  const parts = { peerSubnets, peerAddresses: invitation.addresses, acl, nextPsk, message };
  return [noted(pending, LOCAL_API, now), moved(pending, 'accept', 'accepter', LOCAL_API, now, parts)];
}

export function reject(invitation: Invitation, name: string, world: World, now: number): Change[] | Refusal {
  const reason = unusable(invitation, world, now);
  if (reason !== undefined) return { refused: reason };
  const pending = invited(invitation, name, world, now);
  return [noted(pending, LOCAL_API, now), moved(pending, 'reject', 'accepter', LOCAL_API, now)];
}

/** Deletes at the wish of this side. */
export function remove(record: PeeringRecord, now: number): Change[] | Refusal {
  const to = transition(record.state, 'delete', record.side);
  if (to === undefined) return { refused: forbidden(record.state, 'delete', record.side) };
  // Of a request that is pending nobody has to be told: who has it may hear nothing from us.
  const parts = to === 'deleted' ? { psk: '' } : { message: `waits until ${record.peer} has confirmed`, isTold: false };
  return [moved(record, 'delete', record.side, LOCAL_API, now, { deletedBy: record.side, ...parts })];
}

/** Another ACL, or, with an empty name, none. */
export function useAcl(record: PeeringRecord, acl: string, now: number): Change[] | Refusal {
  if (isOver(record.state) || record.state === 'deleting') {
    return { refused: `a peering that is ${record.state} can't be changed` };
  }
  return [noted({ ...record, acl }, LOCAL_API, now, { acl: acl || null })];
}

/** The gateway leads packets by it from now on. */
export function complete(record: PeeringRecord, now: number): Change[] {
  return [moved(record, 'complete', 'gateway', peerOf(record), now, { message: '' })];
}

/** The gateway found that it can't be. */
export function fail(record: PeeringRecord, message: string, who: string, now: number): Change[] {
  return [moved(record, 'fail', 'gateway', who, now, { message })];
}

/** A session has come of the PSK that takes the invitation's place: whoever else has the invitation has nothing now. */
export function settle(record: PeeringRecord, now: number): Change[] {
  return [noted({ ...record, psk: record.nextPsk, nextPsk: '' }, peerOf(record), now, { psk: 'replaced' })];
}

/** What time brings about. */
export function due(records: readonly PeeringRecord[], now: number): Change[] {
  return records.flatMap((record): Change[] => {
    const { state, side, changedAt, expiresAt, psk, isTold } = record;
    if (state === 'pending-acceptance' && now >= expiresAt) {
      return [moved(record, 'expire', 'gateway', TIMER, now, { psk: '' })];
    }
    if (state === 'provisioning' && side === 'accepter' && now >= expiresAt) {
      const message = `${record.peer} did not confirm before the invitation expired`;
      return [moved(record, 'fail', 'gateway', TIMER, now, { message, psk: '', nextPsk: '', isTold: true })];
    }
    if (state === 'deleting' && now >= changedAt + TELL_FOR) {
      const message = `${record.peer} could not be told`;
      return [moved(record, 'finish', 'gateway', TIMER, now, { message, psk: '', nextPsk: '' })];
    }
    if (!isOver(state) || psk === '') return [];
    const isHeard = mustTell(record) && !isTold ? now >= expiresAt : now >= changedAt + LINGER;
    if (!isHeard) return [];
    return [{ record: { ...record, psk: '', nextPsk: '' }, who: TIMER, at: now, what: undefined }];
  });
}

/** Until when a record is shown. */
export function visibleUntil({ state, side, changedAt, deletedBy }: PeeringRecord): number {
  return changedAt + visibleFor(state, side, deletedBy === side);
}

export function isVisible(record: PeeringRecord, now: number): boolean {
  return now < visibleUntil(record);
}

/** A record that has no more use: it is shown no longer, and its invitation can't be used a second time. */
export function isForgotten(record: PeeringRecord, now: number): boolean {
  return !isVisible(record, now) && now >= record.expiresAt;
}

/** Whether the other side is to hear of how it ended here. */
export function mustTell({ state, side, deletedBy }: PeeringRecord): boolean {
  return side === 'accepter' && (state === 'rejected' || state === 'failed') && deletedBy === null;
}

/** Why no peering can have this name, or undefined. */
export function nameTaken(name: string, world: World): string | undefined {
  if (world.filed.some((peering) => peering.name === name))
    return `the configuration file has a peering ${name}: give another name`;
  const holder = world.records.find((record) => record.name === name && !isOver(record.state));
  return holder === undefined ? undefined : `there is a peering ${name}, which is ${holder.state}: give another name`;
}

export function overQuota({ records, quota }: World): string | undefined {
  if (records.filter(({ state }) => isRouted(state)).length < quota) return undefined;
  return `${quota} peerings are active, which is the most there may be (gateway.peering_quota)`;
}

/** The first pair of networks that are in each other's way, said; `theirs` are the other side's. */
export function overlapOf(theirs: readonly string[], world: World, besides?: string): string | undefined {
  const own = findOverlap([...world.subnets, ...world.addresses], theirs);
  if (own !== undefined) return `${own.theirs} there overlaps ${own.ours} here`;
  const routed = world.records.filter(({ state, id }) => isRouted(state) && id !== besides);
  const others = [
    ...world.filed,
    ...routed.map(({ name, peerSubnets, peerAddresses }) => ({ name, networks: [...peerSubnets, ...peerAddresses] })),
  ];
  for (const { name, networks } of others) {
    const pair = findOverlap(networks, theirs);
    if (pair !== undefined) return `${pair.theirs} there overlaps ${pair.ours} of peering ${name}`;
  }
  return undefined;
}

/** A change of state. `parts`: what else is changed. */
export function moved(
  record: PeeringRecord,
  action: Action,
  by: Actor,
  who: string,
  now: number,
  parts: Partial<PeeringRecord> = {},
): Change {
  const state = transition(record.state, action, by);
  if (state === undefined) throw new RangeError(forbidden(record.state, action, by));
  const next = { ...record, message: '', ...parts, state, changedAt: now };
  const { peer, peerSubnets, acl, message } = next;
  const details = isRouted(state) ? { peer, peer_subnets: peerSubnets, acl: acl || null } : {};
  return noted(next, who, now, { from: record.state, ...details, ...(message === '' ? {} : { message }) });
}

function noted(record: PeeringRecord, who: string, at: number, more: object = {}): Change {
  const { id, name, side, state } = record;
  return { record, who, at, what: { id, peering: name, side, state, ...more } };
}

/** The accepter's record of an invitation that it has just been given. */
function invited(invitation: Invitation, name: string, world: World, now: number): PeeringRecord {
  const { id, from, endpoint, cipher, psk, expiresAt } = invitation;
  return {
    ...{ id, name, side: 'accepter', state: 'pending-acceptance', message: '', createdAt: now, changedAt: now },
    ...{ expiresAt, peer: from, endpoint, cipher, psk: Buffer.from(psk).toString('base64url'), nextPsk: '' },
    ...{ subnets: world.subnets, addresses: world.addresses, peerSubnets: [], peerAddresses: [], bounds: [] },
    ...{ acl: '', deletedBy: null, isTold: false },
  };
}

function list(networks: readonly string[]): string {
  return networks.length === 0 ? 'of which there are none' : networks.join(', ');
}
