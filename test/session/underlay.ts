import { formatEndpoint, type Endpoint } from '../../src/wire/endpoint.ts';

const LATENCY = 1;
const TICK = 100;
const KINDS = ['?', 'initiation', 'response', 'cookie', 'data'];

export interface Datagram {
  readonly at: number;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
  /** `initiation`, `response`, `cookie`, `data`, `keepalive`, or `?`. */
  readonly kind: string;
}

/** What is on the underlay. */
export interface Host {
  readonly endpoint: Endpoint;
  arrive(bytes: Uint8Array, from: Endpoint): void;
  /** Deals with all that has arrived. */
  work(): void;
  tick(): void;
}

/** Virtual time and a network of 1 ms, whose every datagram is seen by `log` and may be dealt with by `fault`. */
export class Underlay {
  now = 1000;
  readonly log: Datagram[] = [];
  /** What becomes of a datagram: nothing, itself, copies, others; each may be given a delay in ms. */
  fault: (datagram: Datagram) => readonly { datagram: Datagram; delay?: number }[] = (datagram) => [{ datagram }];
  readonly hosts: Host[] = [];
  #inFlight: { datagram: Datagram; arrival: number }[] = [];

  /** Sends a datagram, as if from anywhere. */
  carry(from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    const kind = bytes[0] === 4 && bytes.length === 32 ? 'keepalive' : (KINDS[bytes[0]] ?? '?');
    const sent = { at: this.now, from, to, bytes, kind };
    this.log.push(sent);
    for (const { datagram, delay = 0 } of this.fault(sent)) {
      this.#inFlight.push({ datagram, arrival: this.now + LATENCY + delay });
    }
  }

  /** Lets `duration` ms go by. */
  run(duration: number): void {
    const end = this.now + duration;
    while (this.now < end) {
      const tick = (Math.floor(this.now / TICK) + 1) * TICK;
      this.now = this.#inFlight.reduce((soonest, { arrival }) => Math.min(soonest, arrival), Math.min(end, tick));
      const arrived = this.#inFlight.filter(({ arrival }) => arrival <= this.now);
      this.#inFlight = this.#inFlight.filter(({ arrival }) => arrival > this.now);
      for (const { datagram } of arrived) {
        const to = formatEndpoint(datagram.to);
        this.hosts.find((host) => formatEndpoint(host.endpoint) === to)?.arrive(datagram.bytes, datagram.from);
      }
      if (arrived.length > 0) for (const host of this.hosts) host.work();
      if (this.now === tick) for (const host of this.hosts) host.tick();
    }
  }

  /** The kinds of datagram seen, in order; from the `since`th on. */
  kinds(since = 0): string[] {
    return this.log.slice(since).map(({ kind }) => kind);
  }

  of(kind: string): Datagram[] {
    return this.log.filter((datagram) => datagram.kind === kind);
  }
}
