/** The two gateways' conversation about a peering: what one has to say, and what the other makes of it and answers. */
import { complete, moved, mustTell, overlapOf, overQuota } from './lifecycle.ts';
import type { Asked, Message } from './message.ts';
import { shortened } from './message.ts';
import { findOutside, PRIVATE_NETWORKS } from './overlap.ts';
import { peerOf } from './record.ts';
import type { Change, PeeringRecord, World } from './record.ts';
import { forbidden, isRouted, transition } from './state.ts';

/** What comes of a message: changes, in order, and what is answered. */
export interface Heard {
  readonly changes: readonly Change[];
  readonly answer: Message | undefined;
}

const NOTHING: Heard = { changes: [], answer: undefined };

/** What the other side has still to be told, again and again until it has answered. */
export function toTell(record: PeeringRecord, own: string): Message | undefined {
  const { id, side, state, psk, isTold, subnets, addresses, nextPsk, message } = record;
  if (psk === '') return undefined;
  if (state === 'deleting') return { type: 'delete', id };
  if (side === 'requester') return undefined;
  if (state === 'provisioning') {
    return { type: 'accept', id, from: own, subnets: [...subnets], addresses: [...addresses], psk: nextPsk };
  }
  if (!mustTell(record) || isTold) return undefined;
  return state === 'rejected'
    ? { type: 'reject', id, from: own }
    : { type: 'fail', id, from: own, reason: shortened(message) };
}

/**
 * What comes of a message about the peering. A request that was accepted is `provisioning` after it, and has no answer yet:
 * that is `accepted`, once the gateway leads packets by it.
 */
export function hear(record: PeeringRecord, message: Message, world: World, now: number): Heard {
  if (message.id !== record.id) return NOTHING;
  switch (message.type) {
    case 'accept':
      return hearAcceptance(record, message, world, now);
    case 'reject':
      return hearEnd(record, 'reject', 'accepter', { peer: message.from, message: `${message.from} rejected it` }, now);
    case 'fail':
      return hearEnd(record, 'fail', 'gateway', { peer: message.from, message: message.reason }, now);
    case 'delete':
      return hearDeletion(record, now);
    case 'done':
      return { changes: hearDone(record, message.of, now), answer: undefined };
    case 'refused':
      return { changes: hearRefusal(record, message.of, message.reason, now), answer: undefined };
  }
}

/** The requester's gateway leads packets by the peering: it is active, and the accepter is to know. */
export function accepted(record: PeeringRecord, now: number): Heard {
  return { changes: complete(record, now), answer: { type: 'done', id: record.id, of: 'accept' } };
}

function hearAcceptance(
  record: PeeringRecord,
  message: Extract<Message, { type: 'accept' }>,
  world: World,
  now: number,
): Heard {
  const { id, state, side } = record;
  if (isRouted(state) && side === 'requester') {
    if (message.psk !== record.nextPsk && message.psk !== record.psk)
      return refuse(id, 'accept', 'it was accepted before');
    return { changes: [], answer: state === 'active' ? { type: 'done', id, of: 'accept' } : undefined };
  }
  if (side === 'accepter' || transition(state, 'accept', 'accepter') === undefined) {
    return refuse(id, 'accept', forbidden(state, 'accept', 'accepter'));
  }
  const { from: peer, subnets: peerSubnets, addresses: peerAddresses, psk: nextPsk } = message;
  const who = `peer ${peer}`;
  const conflict = unfit(record, peerSubnets, peerAddresses, world) ?? overQuota(world);
  if (conflict !== undefined) {
    const failed = moved(record, 'fail', 'gateway', who, now, { peer, message: conflict });
    return { changes: [failed], answer: { type: 'refused', id, of: 'accept', reason: shortened(conflict) } };
  }
  const parts = { peer, peerSubnets, peerAddresses, nextPsk };
  return { changes: [moved(record, 'accept', 'accepter', who, now, parts)], answer: undefined };
}

/** Why the other side can't have these networks, or undefined. Its overlay addresses may be private ones in any case. */
function unfit(
  { bounds, id }: PeeringRecord,
  subnets: readonly string[],
  addresses: readonly string[],
  world: World,
): string | undefined {
  const limits = bounds.length > 0 ? bounds : PRIVATE_NETWORKS;
  const outside = findOutside(subnets, limits) ?? findOutside(addresses, [...limits, ...PRIVATE_NETWORKS]);
  if (outside === undefined) return overlapOf([...subnets, ...addresses], world, id);
  const wanted =
    bounds.length > 0 ? 'what the request allows for' : 'the private networks, and the request allows for no other';
  return `${outside} there is outside ${wanted} (--peer-subnets)`;
}

function hearEnd(
  record: PeeringRecord,
  action: 'reject' | 'fail',
  by: 'accepter' | 'gateway',
  parts: Partial<PeeringRecord>,
  now: number,
): Heard {
  const { id, state, side } = record;
  const done: Message = { type: 'done', id, of: action };
  if (state === (action === 'reject' ? 'rejected' : 'failed')) return { changes: [], answer: done };
  if (side === 'accepter' || state !== 'pending-acceptance') return refuse(id, action, forbidden(state, action, by));
  return { changes: [moved(record, action, by, `peer ${parts.peer ?? record.name}`, now, parts)], answer: done };
}

function hearDeletion(record: PeeringRecord, now: number): Heard {
  const { id, state, side } = record;
  const done: Message = { type: 'done', id, of: 'delete' };
  const other = side === 'requester' ? 'accepter' : 'requester';
  const who = peerOf(record);
  const isGone = transition(state, 'delete', other) === undefined && state !== 'deleting';
  // A request that was accepted and deleted while nobody heard is as good as deleted by the accepter.
  if (state === 'pending-acceptance' && side === 'requester') {
    const parts = { message: 'the other side accepted it and then deleted it' };
    return { changes: [moved(record, 'reject', 'accepter', who, now, parts)], answer: done };
  }
  if (isGone) return { changes: [], answer: done };
  const begun = state === 'deleting' ? [] : [moved(record, 'delete', other, who, now, { deletedBy: other })];
  const last = begun[0]?.record ?? record;
  const message = begun.length > 0 ? `${record.peer} deleted it` : '';
  return { changes: [...begun, moved(last, 'finish', 'gateway', who, now, { message })], answer: done };
}

function hearDone(record: PeeringRecord, of: Asked, now: number): Change[] {
  const { state, side } = record;
  if (of === 'accept' && state === 'provisioning' && side === 'accepter') return complete(record, now);
  if (of === 'delete' && state === 'deleting') return [moved(record, 'finish', 'gateway', peerOf(record), now)];
  return told(record, of, now);
}

function hearRefusal(record: PeeringRecord, of: Asked, reason: string, now: number): Change[] {
  const { state, side, peer } = record;
  const who = peerOf(record);
  if (of === 'accept' && state === 'provisioning' && side === 'accepter') {
    return [moved(record, 'fail', 'gateway', who, now, { message: `${peer}: ${reason}`, isTold: true })];
  }
  if (of === 'delete' && state === 'deleting') return [moved(record, 'finish', 'gateway', who, now)];
  return told(record, of, now);
}

/** The other side knows what became of it: nothing that anybody decides. */
function told(record: PeeringRecord, of: Asked, at: number): Change[] {
  if (record.isTold || !mustTell(record) || (of !== 'reject' && of !== 'fail')) return [];
  return [{ record: { ...record, isTold: true }, who: peerOf(record), at, what: undefined }];
}

function refuse(id: string, of: Asked, reason: string): Heard {
  return { changes: [], answer: { type: 'refused', id, of, reason: shortened(reason) } };
}
