/**
 * The states of a peering that is requested by one gateway and accepted by another, as Amazon's guide to VPC peering has
 * them, and who may do what in each. Times are ms since 1970, and come in.
 *
 * Where this departs from Amazon's: there, both networks are known when the request is made. Here the other side's are
 * known with its answer, so that a request that is pending, or being set up, can still fail by an overlap; and one that is
 * being set up, and finds no answer, can be deleted.
 */

export const STATES = [
  'initiating-request',
  'failed',
  'pending-acceptance',
  'expired',
  'rejected',
  'provisioning',
  'active',
  'deleting',
  'deleted',
] as const;
export type State = (typeof STATES)[number];

/** Which end of the peering a gateway is. */
export type Side = 'requester' | 'accepter';

export const ACTIONS = ['submit', 'fail', 'accept', 'reject', 'expire', 'complete', 'delete', 'finish'] as const;
export type Action = (typeof ACTIONS)[number];

/** `gateway`: what the program does by itself, with nobody's leave. */
export const ACTORS = ['requester', 'accepter', 'gateway'] as const;
export type Actor = (typeof ACTORS)[number];

interface Transition {
  readonly from: State;
  readonly action: Action;
  readonly by: readonly Actor[];
  readonly to: State;
}

/** All there are. */
const TRANSITIONS: readonly Transition[] = [
  { from: 'initiating-request', action: 'submit', by: ['gateway'], to: 'pending-acceptance' },
  { from: 'initiating-request', action: 'fail', by: ['gateway'], to: 'failed' },
  { from: 'pending-acceptance', action: 'accept', by: ['accepter'], to: 'provisioning' },
  { from: 'pending-acceptance', action: 'reject', by: ['accepter'], to: 'rejected' },
  { from: 'pending-acceptance', action: 'expire', by: ['gateway'], to: 'expired' },
  { from: 'pending-acceptance', action: 'delete', by: ['requester'], to: 'deleted' },
  { from: 'pending-acceptance', action: 'fail', by: ['gateway'], to: 'failed' },
  { from: 'provisioning', action: 'complete', by: ['gateway'], to: 'active' },
  { from: 'provisioning', action: 'fail', by: ['gateway'], to: 'failed' },
  { from: 'provisioning', action: 'delete', by: ['requester', 'accepter'], to: 'deleting' },
  { from: 'active', action: 'delete', by: ['requester', 'accepter'], to: 'deleting' },
  { from: 'deleting', action: 'finish', by: ['gateway'], to: 'deleted' },
];

/** Where an action leads from a state, or undefined: it is not permitted. */
export function transition(from: State, action: Action, by: Actor): State | undefined {
  return TRANSITIONS.find((each) => each.from === from && each.action === action && each.by.includes(by))?.to;
}

/** Why not, and what would be wanted. */
export function forbidden(from: State, action: Action, by: Actor): string {
  const own = TRANSITIONS.filter((each) => each.action === action && each.by.includes(by)).map((each) => each.from);
  const others = TRANSITIONS.find((each) => each.from === from && each.action === action)?.by;
  if (others !== undefined) return `only the ${others.join(' or the ')} can ${action} a peering that is ${from}`;
  const wanted = own.length === 0 ? '' : `; wanted one that is ${own.join(' or ')}`;
  return `a peering that is ${from} can't be ${PAST[action]}${wanted}`;
}

const PAST: Readonly<Record<Action, string>> = {
  submit: 'submitted',
  fail: 'failed',
  accept: 'accepted',
  reject: 'rejected',
  expire: 'expired',
  complete: 'completed',
  delete: 'deleted',
  finish: 'finished',
};

/** States that nothing leads out of. */
export function isOver(state: State): boolean {
  return !TRANSITIONS.some(({ from }) => from === state);
}

/** States in which packets go by the peering's routes. */
export function isRouted(state: State): boolean {
  return state === 'provisioning' || state === 'active';
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** How long a request waits to be accepted. */
export const EXPIRES_AFTER = 7 * DAY;

/**
 * How long a peering that is over is still shown to a side. `isDeleter`: it was this side that deleted it.
 * A failed one is shown to the accepter too, as it may be the one whose gateway found why.
 */
export function visibleFor(state: State, side: Side, isDeleter: boolean): number {
  switch (state) {
    case 'failed':
      return 2 * HOUR;
    case 'expired':
      return 2 * DAY;
    case 'rejected':
      return side === 'requester' ? 2 * DAY : 2 * HOUR;
    case 'deleted':
      return isDeleter ? 2 * HOUR : 2 * DAY;
    default:
      return Infinity;
  }
}

/** What one gateway may have. */
export const QUOTA = {
  /** Peerings that are active or being set up; a configuration can go up to `activeMost`. */
  active: 50,
  activeMost: 125,
  /** Requests that wait to be accepted. */
  outstanding: 25,
} as const;
