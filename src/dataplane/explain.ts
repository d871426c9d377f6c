/** Asks the data plane's own verdict about a packet that is not there, and changes nothing: no flow, no counter. */
import type { AclProgram } from '../policy/acl.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import { createPolicyCounters } from '../policy/counters.ts';
import { Policy } from '../policy/policy.ts';
import type { Decisions } from '../policy/policy.ts';
import { Routing } from '../routing/routing.ts';
import type { RoutingProgram } from '../routing/routing.ts';
import { Packet } from '../wire/packet.ts';
import type { BundleData } from './bundle.ts';
import { Verdict } from './verdict.ts';

/** What the data plane decides by, as it was told. */
export interface Programs {
  readonly routing: RoutingProgram;
  readonly bundles: BundleData;
  readonly program: AclProgram;
  readonly flows: FlowTableData;
  readonly mtu: number;
  /** By peer slot: the place of its lists, as `Policy.judge` takes it. */
  readonly lists: Iterable<readonly [slot: number, lists: number]>;
}

export class Explainer {
  /** After `explain`: whose the source is, where the route leads, and whether the packet is cut, as `Verdict` has them. */
  readonly verdict = new Verdict();
  readonly packet = new Packet();
  readonly #policy: Policy;

  constructor({ routing, bundles, program, flows, mtu, lists }: Programs) {
    this.#policy = new Policy(program, flows, createPolicyCounters(program), false);
    this.verdict.routing = new Routing(routing);
    this.verdict.bundles.use(bundles);
    this.verdict.policy = this.#policy;
    this.verdict.mtu = mtu;
    for (const [slot, place] of lists) this.verdict.acls[slot] = place;
  }

  /**
   * What would become of the packet now if it came from the local VPC (`from` -1) or from the peer in slot `from`: a
   * `DROP` number, 0 if it would pass. `seconds` is of the data plane's clock, whole.
   */
  explain(bytes: Uint8Array, from: number, seconds: number): number {
    const { packet, verdict } = this;
    if (!packet.parse(bytes, 0, bytes.length)) return packet.fault;
    return from < 0
      ? verdict.outbound(packet, bytes, 0, seconds, 1)
      : verdict.inbound(packet, bytes, 0, from, seconds, 1);
  }

  /** After `explain` that lets pass: the id of the rule that let the packet's flow begin, now or before; -1: none did. */
  get begunBy(): number {
    return this.#policy.begunBy;
  }

  /** After `explain`: what each list said, at the first peering of the packet's way, or at the `second`. */
  decisions(second = false): Decisions {
    return this.#policy.decisions(second);
  }
}
