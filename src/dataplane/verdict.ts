/**
 * What becomes of a packet, decided in one place for both threads and for a trace, in this order:
 *
 *   1. source     the source must be the attachment's that the packet came in by
 *   2. route      the destination's longest match in the table that this attachment is associated with; of a bundle the path
 *                 that the flow is on
 *   3. judge      flow table and rules, of the peering that the packet came from and of the one that it goes to
 *   4. hops       between two peerings the gateway is a router, and takes one
 *   5. size       between two peerings; what goes to the TUN is the kernel's to measure, and it knew our MTU before
 *
 * A plain device has no policy: allowed IPs are its source check inbound and its route outbound, and there is no more.
 */
import { IN, OUT } from '../policy/direction.ts';
import type { Policy } from '../policy/policy.ts';
import { Routing } from '../routing/routing.ts';
import { BLACKHOLE, LOCAL, bundleOf } from '../routing/target.ts';
import { DROP } from '../wire/drop.ts';
import { mayFragment } from '../wire/fragments.ts';
import { hopsLeft } from '../wire/hops.ts';
import type { Packet } from '../wire/packet.ts';
import { Bundles } from './bundle.ts';
import { MAX_PEERS } from './counters.ts';

/** The slot of what comes from the local VPC, as `Routing` has it. */
const FROM_LOCAL = -1;

export class Verdict {
  routing = new Routing();
  readonly bundles = new Bundles();
  /** Undefined: a plain device. */
  policy: Policy | undefined;
  mtu = 1420;
  /** By peer slot: its ACL, -1 for none. */
  readonly acls = new Int32Array(MAX_PEERS).fill(-1);
  /** After a decision: where the route leads, -1 if there is none or it was not looked for. */
  target = -1;
  /** After a decision: whose the source is, -1 if nobody's or it was not looked for. */
  owner = -1;
  /** After a decision: the number of the rule that decided, or -1, as `Policy.rule` has it. */
  rule = -1;
  /** After a decision to let pass: the packet is too big for where it goes, and may be cut (IPv4). */
  isTooBig = false;

  /**
   * Decides for a packet from the TUN, parsed at `offset` of `bytes`, that stands for `count` datagrams. `seconds` as
   * `Policy.judge` has it. Returns a `DROP` number, 0 to send the packet to the peer in slot `target`.
   */
  outbound(packet: Packet, bytes: Uint8Array, offset: number, seconds: number, count: number): number {
    this.owner = -1;
    this.rule = -1;
    this.isTooBig = false;
    const target = this.#route(FROM_LOCAL, packet);
    const { policy } = this;
    this.target = target;
    if (policy === undefined) return target < 0 || target === LOCAL ? DROP['no-route'] : DROP.none;
    this.owner = this.routing.owner(packet.version, packet.src0, packet.src1, packet.src2, packet.src3);
    if (this.owner !== LOCAL) return DROP['source-not-local'];
    if (target < 0 || target === LOCAL) return DROP['no-route'];
    if (target === BLACKHOLE) return DROP['blackhole-route'];
    const peer = this.bundles.flowPeer(target);
    const reason = policy.judge(packet, bytes, offset, peer, this.acls[target], OUT, seconds, count);
    this.rule = policy.rule;
    return reason;
  }

  /**
   * The same for a packet from the peer in slot `from`. 0 to let it pass: to the TUN if `target` is `LOCAL`, or in a plain
   * device; else to the peer in slot `target`, with one hop less.
   */
  inbound(packet: Packet, bytes: Uint8Array, offset: number, from: number, seconds: number, count: number): number {
    this.target = LOCAL;
    this.rule = -1;
    this.isTooBig = false;
    if (!this.isSource(packet, from)) return DROP['source-not-allowed'];
    const { policy } = this;
    if (policy === undefined) return DROP.none;
    const target = this.#route(from, packet);
    const { bundles } = this;
    const peer = bundles.flowPeer(from);
    this.target = target;
    if (target === LOCAL) {
      const reason = policy.judge(packet, bytes, offset, peer, this.acls[from], IN, seconds, count);
      this.rule = policy.rule;
      return reason;
    }
    if (target === BLACKHOLE) return DROP['blackhole-route'];
    if (target < 0 || bundles.flowPeer(target) === peer) return DROP['destination-not-local'];
    const reason = policy.judgeTransit(
      packet,
      bytes,
      offset,
      peer,
      this.acls[from],
      bundles.flowPeer(target),
      this.acls[target],
      seconds,
      count,
    );
    this.rule = policy.rule;
    return reason === DROP.none ? this.#forward(packet, bytes, offset) : reason;
  }

  /** Whether the packet's source is that of the peer in slot `from`, or of a bundle that the peering is in. */
  isSource(packet: Packet, from: number): boolean {
    this.owner = this.routing.owner(packet.version, packet.src0, packet.src1, packet.src2, packet.src3);
    const bundle = bundleOf(this.owner);
    return this.owner === from || (bundle >= 0 && this.bundles.holds(bundle, from));
  }

  /** Where the packet goes: a bundle's route leads to one of its peerings. */
  #route(from: number, packet: Packet): number {
    const target = this.routing.route(from, packet.version, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
    const bundle = bundleOf(target);
    return bundle < 0 ? target : this.bundles.pick(bundle, packet);
  }

  /** Hops and size of what goes from peer to peer. */
  #forward(packet: Packet, bytes: Uint8Array, offset: number): number {
    if (hopsLeft(packet.version, bytes, offset) <= 1) return DROP['ttl-expired'];
    if (packet.length <= this.mtu) return DROP.none;
    this.isTooBig = this.isToBeCut(bytes, offset, packet.length);
    return this.isTooBig ? DROP.none : DROP['packet-too-big'];
  }

  /** Whether the IP packet of `length` bytes at `offset` is too big for where peers are, and may be cut. */
  isToBeCut(bytes: Uint8Array, offset: number, length: number): boolean {
    return length > this.mtu && bytes[offset] >>> 4 === 4 && mayFragment(bytes, offset);
  }
}
