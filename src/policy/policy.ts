import { DROP } from '../wire/drop.ts';
import { IN, OUT } from './direction.ts';
import { FRAGMENT, ICMP, ICMPV6, Packet, PROTOCOL, TCP_FLAG } from '../wire/packet.ts';
import { Acl, type AclProgram } from './acl.ts';
import { FlowKey, isEchoRequest } from './flow-key.ts';
import { advanceState, beginState, FRAGMENTS_STATE, isClosing } from './flow-state.ts';
import { FlowTable, type FlowTableData } from './flow-table.ts';

export { IN, OUT };

/** Datagrams by rule number, counted by one thread: it alone writes here, others read. */
export interface PolicyCounters {
  /** Those that the rule decided. An allow rule decides what begins a flow, and ICMP that isn't an echo. */
  readonly hits: Float64Array;
  /** Those among them that the rule denied. */
  readonly denied: Float64Array;
}

const PASS = 0;
const DENIED_BY_RULE = DROP['acl-rule'];
const DENIED_BY_DEFAULT = DROP['acl-default'];
const FLOW_TABLE_FULL = DROP['flow-table-full'];
const FRAGMENT_WITHOUT_FIRST = DROP['fragment-without-first'];
/** Before the packet that an ICMP error quotes stand its type, code, checksum and one more word. */
const ICMP_ERROR_HEADER = 8;

/**
 * Decides what may go through a peering, in this order:
 *
 * 1. a later fragment passes if the first of its datagram did;
 * 2. a packet of a tracked flow passes, whichever end began it, and keeps the flow alive;
 * 3. an ICMP error passes if the packet it quotes went the other way in a tracked flow;
 * 4. for anything else the ACL decides, and what it allows begins a flow.
 *
 * A flow outlives the rule that allowed it, and a `Policy` of new rules goes on with the flows of the old one. TCP that
 * is met in mid-stream begins a flow as a SYN does: the gateway may have been started again. One `Policy` belongs to one
 * thread; the flow table is shared.
 */
export class Policy {
  /** After `judge`: the number of the rule that decided, or -1: a flow, an ACL's default, or no ACL did. */
  rule = -1;
  readonly #acl: Acl;
  readonly #flows: FlowTable;
  readonly #counters: PolicyCounters;
  readonly #key = new FlowKey();
  readonly #quoted = new Packet();
  /** What the last `judge` began: a flow and a track of fragments, -1 for none, each with its state then. */
  #begunFlow = -1;
  #begunFlowState = 0;
  #begunFragments = -1;
  #begunFragmentsState = 0;

  /** The counters have a place for each rule of `program`: see `ruleCount`. */
  constructor(program: AclProgram, flows: FlowTableData, counters: PolicyCounters) {
    this.#acl = new Acl(program);
    this.#flows = new FlowTable(flows);
    this.#counters = counters;
  }

  /**
   * 0 to let the packet pass, else a `DROP` number. Hot path: allocates nothing, throws nothing.
   *
   * `bytes` and `offset` are where `packet` was parsed. `peer` is the peering's number, which no two share; `acl` its ACL,
   * -1 if none is set, which allows nothing. `seconds` is monotonic, whole,
   * and of the same clock for all threads.
   * `count` is how many datagrams the packet stands for (a super-packet, a coalesced run).
   */
  judge(
    packet: Packet,
    bytes: Uint8Array,
    offset: number,
    peer: number,
    acl: number,
    direction: number,
    seconds: number,
    count: number,
  ): number {
    this.rule = -1;
    this.#begunFlow = -1;
    this.#begunFragments = -1;
    if (packet.fragment === FRAGMENT.later) {
      this.#key.aimFragments(packet, peer, direction);
      return this.#flows.find(this.#key, seconds) < 0 ? FRAGMENT_WITHOUT_FIRST : PASS;
    }
    const verdict = this.#judgeWhole(packet, bytes, offset, peer, acl, direction, seconds, count);
    if (verdict !== PASS || packet.fragment === FRAGMENT.whole) return verdict;
    return this.#admitFragments(packet, peer, direction, seconds);
  }

  /**
   * The same for a packet that comes from the peering `from` and goes on to the peering `to`: it is judged as coming in at
   * the one and going out at the other, and what the second refuses leaves no flow at the first.
   */
  judgeTransit(
    packet: Packet,
    bytes: Uint8Array,
    offset: number,
    from: number,
    fromAcl: number,
    to: number,
    toAcl: number,
    seconds: number,
    count: number,
  ): number {
    const first = this.judge(packet, bytes, offset, from, fromAcl, IN, seconds, count);
    if (first !== PASS) return first;
    const flow = this.#begunFlow;
    const flowState = this.#begunFlowState;
    const fragments = this.#begunFragments;
    const fragmentsState = this.#begunFragmentsState;
    const second = this.judge(packet, bytes, offset, to, toAcl, OUT, seconds, count);
    if (second !== PASS) {
      if (flow >= 0) this.#flows.remove(flow, flowState);
      if (fragments >= 0) this.#flows.remove(fragments, fragmentsState);
    }
    return second;
  }

  #judgeWhole(
    packet: Packet,
    bytes: Uint8Array,
    offset: number,
    peer: number,
    acl: number,
    direction: number,
    seconds: number,
    count: number,
  ): number {
    const hasFlow = this.#key.aim(packet, peer, direction);
    if (
      hasFlow ? this.#continuesFlow(packet, seconds) : this.#isRelated(packet, bytes, offset, peer, direction, seconds)
    ) {
      return PASS;
    }
    if (acl < 0) return DENIED_BY_DEFAULT;
    const rule = this.#acl.judge(acl, direction, packet);
    this.rule = rule;
    if (rule >= 0) this.#counters.hits[rule] += count;
    if (!this.#acl.allows(acl, rule)) {
      if (rule < 0) return DENIED_BY_DEFAULT;
      this.#counters.denied[rule] += count;
      return DENIED_BY_RULE;
    }
    return beginsFlow(packet, hasFlow) ? this.#beginFlow(packet, seconds) : PASS;
  }

  /** Whether the packet belongs to a tracked flow, which it then keeps alive. */
  #continuesFlow(packet: Packet, seconds: number): boolean {
    const flows = this.#flows;
    const slot = flows.find(this.#key, seconds);
    if (slot < 0) return false;
    const state = flows.state;
    if (isClosing(state) && isTcpOpening(packet)) {
      flows.remove(slot, state);
      return false;
    }
    flows.refresh(slot, state, advanceState(state, packet, this.#key.swapped), seconds);
    return true;
  }

  /**
   * Whether the packet is an ICMP error about a packet that its receiver sent in a tracked flow (RFC 5508 §4). It does
   * not keep the flow alive.
   */
  #isRelated(
    error: Packet,
    bytes: Uint8Array,
    offset: number,
    peer: number,
    direction: number,
    seconds: number,
  ): boolean {
    if (!isIcmpError(error)) return false;
    const quotedAt = error.upperOffset + ICMP_ERROR_HEADER;
    const quoted = this.#quoted;
    return (
      quoted.parseQuoted(bytes, offset + quotedAt, error.length - quotedAt) &&
      quoted.version === error.version &&
      quoted.src3 === error.dst3 &&
      quoted.src2 === error.dst2 &&
      quoted.src1 === error.dst1 &&
      quoted.src0 === error.dst0 &&
      this.#key.aim(quoted, peer, direction ^ 1) &&
      this.#flows.find(this.#key, seconds) >= 0
    );
  }

  #beginFlow(packet: Packet, seconds: number): number {
    const state = beginState(packet, this.#key.swapped);
    this.#begunFlow = this.#flows.insert(this.#key, state, seconds);
    this.#begunFlowState = this.#flows.state;
    return this.#begunFlow < 0 ? FLOW_TABLE_FULL : PASS;
  }

  /** Lets the later fragments of a first one's datagram pass. */
  #admitFragments(first: Packet, peer: number, direction: number, seconds: number): number {
    this.#key.aimFragments(first, peer, direction);
    const slot = this.#flows.find(this.#key, seconds);
    if (slot < 0) {
      this.#begunFragments = this.#flows.insert(this.#key, FRAGMENTS_STATE, seconds);
      this.#begunFragmentsState = this.#flows.state;
      return this.#begunFragments < 0 ? FLOW_TABLE_FULL : PASS;
    }
    this.#flows.refresh(slot, this.#flows.state, this.#flows.state, seconds);
    return PASS;
  }
}

/** An echo reply that nobody asked for may be allowed, but does not let an echo pass the other way. */
function beginsFlow(packet: Packet, hasFlow: boolean): boolean {
  return hasFlow && (packet.icmpType === -1 || isEchoRequest(packet));
}

function isTcpOpening(packet: Packet): boolean {
  return packet.protocol === PROTOCOL.tcp && (packet.tcpFlags & (TCP_FLAG.syn | TCP_FLAG.ack)) === TCP_FLAG.syn;
}

function isIcmpError(packet: Packet): boolean {
  const type = packet.icmpType;
  return packet.protocol === PROTOCOL.icmp
    ? type === ICMP.unreachable || type === ICMP.timeExceeded || type === ICMP.parameterProblem
    : packet.protocol === PROTOCOL.icmpv6 && type >= ICMPV6.unreachable && type <= ICMPV6.parameterProblem;
}
