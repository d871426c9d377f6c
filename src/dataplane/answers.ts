/**
 * What the inbound direction does for few packets only: telling a sender that its packet could not be forwarded, and
 * cutting one that is too big. Both write packets of their own, which go to a peer like those in transit.
 */
import type { InboundQueue } from '../nic/index.ts';
import { DROP } from '../wire/drop.ts';
import { fragmentData, writeFragment } from '../wire/fragments.ts';
import { takeHop } from '../wire/hops.ts';
import { AnswerLimiter, ICMP_ERROR, mayBeAnswered, writeIcmpError } from '../wire/icmp.ts';
import type { GatewayAddresses } from '../wire/icmp.ts';
import { MAX_PACKET } from '../wire/packet.ts';
import type { Packet } from '../wire/packet.ts';
import { MAX_PEERS } from './counters.ts';

const NOWHERE: GatewayAddresses = { ipv4: new Int32Array(4), ipv6: new Int32Array(4) };

export class Answers {
  /** What answers come from. Without an address of its family a packet has no answer. */
  addresses = NOWHERE;
  readonly #queue: InboundQueue;
  readonly #limiter = new AnswerLimiter(MAX_PEERS);
  readonly #scratch = new Uint8Array(MAX_PACKET);

  constructor(queue: InboundQueue) {
    this.#queue = queue;
  }

  /**
   * Tells the peer in `slot` why its packet, parsed at `offset`, was dropped, if that is a reason to tell: no route, no
   * hops left, too big. What a rule or a blackhole route drops vanishes in silence, as with AWS. Returns 0, or the `DROP`
   * number for which the answer itself was dropped.
   */
  answer(reason: number, packet: Packet, offset: number, slot: number, mtu: number): number {
    const error = errorFor(reason);
    if (error < 0 || !mayBeAnswered(packet)) return DROP.none;
    const length = writeIcmpError(this.#scratch, error, packet, this.#queue.slab, offset, this.addresses, mtu);
    if (length === 0) return DROP.none;
    if (!this.#limiter.take(slot, this.#queue.clock[0])) return DROP['answer-limited'];
    return this.#queue.handOnPacket(this.#scratch, length, slot) ? DROP.none : DROP['transit-queue-full'];
  }

  /**
   * Sends the IPv4 packet of `length` bytes at `offset` to the peer in `target`, in fragments of at most `mtu` bytes, with
   * one hop less. Returns 0, or the `DROP` number for which a fragment, and so all of the packet, is lost.
   */
  fragment(offset: number, length: number, target: number, mtu: number): number {
    const { slab } = this.#queue;
    const header = (slab[offset] & 15) << 2;
    takeHop(4, slab, offset);
    for (let from = 0; from < length - header; from += fragmentData(this.#scratch)) {
      const size = writeFragment(this.#scratch, slab, offset, length, from, mtu);
      if (!this.#queue.handOnPacket(this.#scratch, size, target)) return DROP['transit-queue-full'];
    }
    return DROP.none;
  }
}

function errorFor(reason: number): number {
  switch (reason) {
    case DROP['ttl-expired']:
      return ICMP_ERROR.timeExceeded;
    case DROP['destination-not-local']:
      return ICMP_ERROR.noRoute;
    case DROP['packet-too-big']:
      return ICMP_ERROR.tooBig;
    default:
      return -1;
  }
}
