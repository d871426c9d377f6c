import { ENDPOINT, isMapped, type Endpoint } from '../wire/endpoint.ts';
import { RATE_BURST, RATE_PER_SECOND, RATE_SOURCES } from './constants.ts';

interface Bucket {
  tokens: number;
  /** When `tokens` was right. */
  at: number;
}

/** How long an empty bucket takes to fill, in ms: one untouched for so long tells nothing, and is swept. */
const FILL_TIME = (RATE_BURST * 1000) / RATE_PER_SECOND;
const SWEEP_INTERVAL = 1000;

/**
 * A token bucket for each source: an IPv4 address, or the /64 of an IPv6 one, which one host can have the whole of.
 * While the table is full, sources that are not in it are refused.
 */
export class RateLimiter {
  readonly #buckets = new Map<number | string, Bucket>();
  #sweptAt = 0;

  /** Whether one more message from there is within its rate. `now` in ms. */
  allow(from: Endpoint, now: number): boolean {
    const source = sourceOf(from);
    const bucket = this.#buckets.get(source);
    if (bucket === undefined) {
      if (this.#buckets.size >= RATE_SOURCES) return false;
      this.#buckets.set(source, { tokens: RATE_BURST - 1, at: now });
      return true;
    }
    const gained = ((now - bucket.at) * RATE_PER_SECOND) / 1000;
    bucket.tokens = Math.min(RATE_BURST, bucket.tokens + gained);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Forgets, at most once a second, the sources whose buckets are full again. */
  sweep(now: number): void {
    if (this.#buckets.size === 0 || now - this.#sweptAt < SWEEP_INTERVAL) return;
    this.#sweptAt = now;
    for (const [source, bucket] of this.#buckets) {
      if (now - bucket.at >= FILL_TIME) this.#buckets.delete(source);
    }
  }

  /** How many sources are remembered. */
  get size(): number {
    return this.#buckets.size;
  }
}

/** What sources are told apart by: a host, or what one host can have the whole of. */
export function sourceOf(from: Endpoint): number | string {
  if (isMapped(from)) return from[ENDPOINT.address + 3];
  return `${from[ENDPOINT.address]}:${from[ENDPOINT.address + 1]}`;
}
