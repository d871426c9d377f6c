/** Following a real flow: what the data plane decides about packets that match, as it does (`isthmus trace --live`). */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLiveTrace, takeLiveEvents } from '../dataplane/live.ts';
import type { LiveEvent, LiveFilter, LiveTraceData } from '../dataplane/live.ts';
import { LOCAL } from '../routing/target.ts';
import { DROP_REASONS } from '../wire/drop.ts';
import { formatAddress } from '../wire/endpoint.ts';
import { IsthmusError } from './errors.ts';
import { addressParameter, numberParameter, protocolParameter } from './parameters.ts';

/** What was decided about a packet, or a run of packets that were carried as one. */
export interface LiveStep {
  /** `local` or a peering. */
  readonly from: string;
  /** The same, `blackhole`, or null if there was no route or it was not looked for. */
  readonly to: string | null;
  readonly protocol: number;
  readonly source: string;
  readonly source_port: number;
  readonly destination: string;
  readonly destination_port: number;
  /** The bits of the TCP header; 0 for other protocols. */
  readonly tcp_flags: number;
  /** -1 unless ICMP. */
  readonly icmp_type: number;
  readonly packets: number;
  /** The drop reason, null if it passed. */
  readonly reason: string | null;
  /** The rule that decided, null if it was a flow, a default or none. */
  readonly rule: string | null;
}

/** The last line: what the trace missed, as more matched than it could hold. */
export interface LiveEnd {
  readonly lost: number;
}

/** What a live trace needs of the gateway. */
export interface LiveSurroundings {
  /** Has the data-plane threads write here from now on; undefined: no more. */
  follow(into: { outbound: LiveTraceData; inbound: LiveTraceData } | undefined): void;
  /** The peering in a slot. */
  name(slot: number): string | undefined;
  /** A rule by its number. */
  rule(number: number): string | undefined;
}

/** A live trace ends by itself after this long, and after so many steps. */
const MOST_SECONDS = 3600;
const MOST_STEPS = 100_000;
/** How often what was written is fetched, in ms. */
const INTERVAL = 50;

/** The gateway's live trace: one at a time, so that it costs the data plane one look at most. */
export class Live {
  #runs = false;

  /**
   * Follows what `parameters` say: `source`, `destination`, `protocol`, `port`, for `seconds` (10) or until so many
   * `steps` (1000) were seen; undefined now and then, so that the caller can stop. Throws an `IsthmusError`, `ISTHMUS_USAGE`, for what can't be, and if another trace runs.
   */
  async *follow(parameters: URLSearchParams, around: LiveSurroundings): AsyncGenerator<LiveStep | LiveEnd | undefined> {
    const filter = readFilter(parameters);
    const end = Date.now() + 1000 * numberParameter(parameters, 'seconds', 10, MOST_SECONDS);
    let left = numberParameter(parameters, 'steps', 1000, MOST_STEPS);
    if (this.#runs) throw new IsthmusError('ISTHMUS_USAGE', 'another live trace runs: wait until it has ended');
    this.#runs = true;
    const rings = { outbound: createLiveTrace(filter), inbound: createLiveTrace(filter) };
    around.follow(rings);
    let lost = 0;
    try {
      while (left > 0 && Date.now() < end) {
        const taken = [takeLiveEvents(rings.inbound), takeLiveEvents(rings.outbound)];
        lost = taken[0].lost + taken[1].lost;
        for (const event of taken.flatMap(({ events }) => events).slice(0, left)) {
          left--;
          yield stepOf(event, around);
        }
        if (left === 0) break;
        await sleep(INTERVAL);
        yield undefined;
      }
      yield { lost };
    } finally {
      around.follow(undefined);
      this.#runs = false;
    }
  }
}

function readFilter(parameters: URLSearchParams): LiveFilter {
  const source = addressParameter(parameters, 'source');
  const destination = addressParameter(parameters, 'destination');
  const family = (source ?? destination)?.family ?? 4;
  return {
    protocol: parameters.has('protocol') ? protocolParameter(parameters, family) : -1,
    port: numberParameter(parameters, 'port', -1, 65535),
    source: source?.words,
    destination: destination?.words,
  };
}

function stepOf(event: LiveEvent, around: LiveSurroundings): LiveStep {
  const attachment = (target: number): string | null => {
    if (target === LOCAL) return 'local';
    return target < 0 ? null : (around.name(target) ?? 'blackhole');
  };
  const address = (words: readonly number[]): string =>
    formatAddress(event.version === 4 ? [0, 0, 0xffff, words[3]] : words);
  return {
    from: event.from < 0 ? 'local' : (around.name(event.from) ?? String(event.from)),
    to: attachment(event.target),
    protocol: event.protocol,
    source: address(event.source),
    source_port: event.sourcePort,
    destination: address(event.destination),
    destination_port: event.destinationPort,
    tcp_flags: event.tcpFlags,
    icmp_type: event.icmpType,
    packets: event.count,
    reason: event.reason === 0 ? null : DROP_REASONS[event.reason],
    rule: event.rule < 0 ? null : (around.rule(event.rule) ?? null),
  };
}
