/** Handshake messages that were dropped, by where they came from: what tells a wrong PSK from a port that nothing reaches. */
import type { Peer } from '../session/peer.ts';
import { sourceOf } from '../session/rate-limiter.ts';
import { DROP_REASONS } from '../wire/drop.ts';
import { formatEndpoint, type Endpoint } from '../wire/endpoint.ts';
import type { PeerStatus, RefusalStatus } from './status.ts';

/** How many are remembered: the latest, as anybody can send some. */
const REMEMBERED = 64;

interface Refusal {
  readonly from: Endpoint;
  readonly slot: number;
  readonly reason: number;
  readonly count: number;
  /** ms on a monotonic clock. */
  readonly at: number;
}

export class Refusals {
  /** By source and reason, the latest last. */
  readonly #refusals = new Map<string, Refusal>();

  /** `slot`: the peer whose message it was, so far as is known, or -1. `reason`: a `DROP` number. */
  note(from: Endpoint, slot: number, reason: number, now: number): void {
    const key = `${sourceOf(from)} ${reason}`;
    const count = (this.#refusals.get(key)?.count ?? 0) + 1;
    this.#refusals.delete(key);
    this.#refusals.set(key, { from, slot, reason, count, at: now });
    if (this.#refusals.size <= REMEMBERED) return;
    const [oldest] = this.#refusals.keys();
    this.#refusals.delete(oldest);
  }

  /** The latest first. `nameOf`: the peering of a slot. */
  status(nameOf: (slot: number) => string | undefined, now: number): RefusalStatus[] {
    return Array.from(this.#refusals.values(), ({ from, slot, reason, count, at }) => ({
      from: formatEndpoint(from),
      peering: nameOf(slot) ?? null,
      reason: DROP_REASONS[reason],
      count,
      last_s: Math.round((now - at) / 1000),
    })).reverse();
  }
}

/** How the peer's handshakes fare. `now`: ms on the clock of the sessions. */
export function troubleOf(
  peer: Peer,
  now: number,
): Pick<PeerStatus, 'has_session' | 'unanswered' | 'unconfirmed' | 'clock_skew_s'> {
  const { hasSession, unanswered, unconfirmed } = peer;
  const clockSkew = peer.clockSkew(now);
  const skew = clockSkew === null ? null : Math.round(clockSkew / 100) / 10;
  return { has_session: hasSession, unanswered, unconfirmed, clock_skew_s: skew };
}
