/** Where the peers are: by the configuration, by its names' addresses as they change, and by memory across restarts. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { DEFAULT_TIMING } from '../session/constants.ts';
import type { Peer } from '../session/peer.ts';
import type { Endpoint } from '../wire/endpoint.ts';
import type { PeeringConfig, RemoteHost } from './config.ts';
import { credentialOf } from './credentials.ts';
import type { LastSeen, Sighting } from './last-seen.ts';
import { endpointFrom, formatEndpoint, readRemote } from './text.ts';
import type { Log, Tunnel } from './tunnel.ts';

/** How often names are resolved again for peers that don't answer, in ms. */
const RESOLVE_AGAIN = 30_000;

/** A peering as it is looked for. */
export interface Located {
  readonly config: PeeringConfig;
  readonly peer: Peer;
  /** When its endpoint was last looked up: ms since 1970. */
  resolvedAt: number;
  /** Where it was when it was last looked at, `address:port`; empty before. */
  seenAt: string;
  /** How often it was elsewhere than before. */
  roams: number;
}

export class Locating {
  readonly #tunnel: Tunnel;
  readonly #lastSeen: LastSeen;
  readonly #log: Log;

  constructor(tunnel: Tunnel, lastSeen: LastSeen, log: Log) {
    this.#tunnel = tunnel;
    this.#lastSeen = lastSeen;
    this.#log = log;
  }

  /** Where a peer is, as far as that is known without asking for the address of a name. */
  known(config: PeeringConfig): Endpoint | undefined {
    const known = this.#host(config);
    return known === undefined || isIP(known.host) === 0 ? undefined : endpointFrom(known.host, known.port);
  }

  /** Finds the peer's endpoint, by its configuration or by memory, and calls it. */
  async locate(peering: Located): Promise<void> {
    const { config, peer } = peering;
    peering.resolvedAt = Date.now();
    const known = this.#host(config);
    if (known === undefined) return;
    try {
      const address = isIP(known.host) === 0 ? (await lookup(known.host)).address : known.host;
      this.#tunnel.setEndpoint(peer, endpointFrom(address, known.port));
      this.#tunnel.connect(peer);
    } catch (error) {
      this.#log.warn(`peering ${config.name}: ${known.host} has no address yet: ${(error as Error).message}`);
    }
  }

  /** By the configuration, or where the peer was last seen. */
  #host({ endpoint, name }: PeeringConfig): RemoteHost | undefined {
    return endpoint ?? readRemote(this.#lastSeen.get(name).endpoint ?? '');
  }

  /** Remembers where the peers are, and resolves again the names of those that don't answer. */
  async keepHouse(peerings: ReadonlyMap<string, Located>): Promise<void> {
    const seen = new Map<string, Sighting>();
    for (const peering of peerings.values()) {
      const { config, peer } = peering;
      const endpoint = this.#tunnel.endpoint(peer);
      if (endpoint === undefined || peer.lastHandshakeAt === 0) continue;
      const place = formatEndpoint(endpoint);
      if (peering.seenAt !== '' && peering.seenAt !== place) peering.roams++;
      peering.seenAt = place;
      seen.set(config.name, { endpoint: place, cipher: credentialOf(peer).cipher });
    }
    this.#lastSeen.update(seen);
    const now = Date.now();
    for (const peering of peerings.values()) {
      const { endpoint } = peering.config;
      if (endpoint === undefined || isIP(endpoint.host) !== 0) continue;
      const answers = now - peering.peer.lastHandshakeAt < DEFAULT_TIMING.rejectAfterTime;
      if (answers || now - peering.resolvedAt < RESOLVE_AGAIN) continue;
      await this.locate(peering);
    }
  }
}
