/** What happened to a gateway lately: `GET /v1/events`. A ring in memory, which a restart empties. */
import { SESSION_LIFE_S, isUp } from './status.ts';
import type { PeerStatus } from './status.ts';
import type { Log } from './tunnel.ts';

export type EventLevel = 'info' | 'warn' | 'error';

export interface GatewayEvent {
  /** Counted from 1, without a gap. */
  readonly id: number;
  /** Unix seconds, to the millisecond. */
  readonly at: number;
  readonly level: EventLevel;
  /** Null for what is about none. */
  readonly peering: string | null;
  /** For people; holds no secret. */
  readonly text: string;
}

/** The JSON of `GET /v1/events`: those that are still known, oldest first. */
export interface EventsAnswer {
  readonly events: readonly GatewayEvent[];
}

/** Events that are remembered, and characters of each: a bound on the memory. */
const CAPACITY = 200;
const LONGEST = 500;

/** What is compared of a peer. */
interface Sight {
  readonly isUp: boolean;
  readonly endpoint: string | null;
}

export class Events {
  readonly #now: () => number;
  readonly #ring: GatewayEvent[] = [];
  #last = 0;
  #seen: Map<string, Sight> | undefined;

  /** `now`: ms since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(level: EventLevel, text: string, peering: string | null = null): void {
    const short = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
    this.#ring.push({ id: ++this.#last, at: this.#now() / 1000, level, peering, text: short });
    if (this.#ring.length > CAPACITY) this.#ring.shift();
  }

  /** Those with a greater id; all, if no event had that id yet: then it is from before a restart. */
  after(id: number): EventsAnswer {
    return { events: id > this.#last ? [...this.#ring] : this.#ring.filter((event) => event.id > id) };
  }

  /** A log that writes to `log`, and notes here what is not for debugging. */
  noting(log: Log): Log {
    const noting =
      (level: EventLevel) =>
      (text: string): void => {
        log[level](text);
        this.add(level, text);
      };
    return { debug: (text) => log.debug(text), info: noting('info'), warn: noting('warn'), error: noting('error') };
  }

  /** Notes what is different of the peers since the time before: sessions that began or ended, and roaming. */
  see(peers: readonly Pick<PeerStatus, 'name' | 'endpoint' | 'last_handshake_s' | 'cipher'>[]): void {
    const before = this.#seen;
    const seen = new Map<string, Sight>();
    for (const peer of peers) {
      const { name, endpoint, cipher } = peer;
      const sight = { isUp: isUp(peer), endpoint };
      seen.set(name, sight);
      const last = before?.get(name);
      if (sight.isUp && !last?.isUp)
        this.add('info', `session with ${endpoint ?? 'an unknown endpoint'}, ${cipher}`, name);
      if (!sight.isUp && last?.isUp) this.add('warn', `session lost: no handshake for ${SESSION_LIFE_S} s`, name);
      if (sight.isUp && last?.isUp && endpoint !== null && last.endpoint !== null && endpoint !== last.endpoint) {
        this.add('info', `roamed from ${last.endpoint} to ${endpoint}`, name);
      }
    }
    this.#seen = seen;
  }
}
