import { DROP } from '../wire/drop.ts';
import { FRAGMENT, ICMP, ICMPV6, Packet, PROTOCOL, TCP_FLAG } from '../wire/packet.ts';
import { Acl, type AclProgram } from './acl.ts';
import { POLICY_EVENT, type PolicyCounters } from './counters.ts';
import { IN, OUT } from './direction.ts';
import { FlowKey, isEchoRequest } from './flow-key.ts';
import { advanceState, beginState, FRAGMENTS_STATE, isClosing } from './flow-state.ts';
import { FlowTable, type FlowTableData } from './flow-table.ts';
import { forgetEnd, noteSegment, noteVerdict, verdictNoted, WINDOW_WORDS } from './tcp-window.ts';

/** The lists asked about a packet at one attachment, each with what it said, as `Policy` notes it when it only explains. */
export interface Decisions {
  /** Ids of rules, `BY_DEFAULT`, or `NOT_ASKED`. */
  networkAcl: number;
  localNetworkAcl: number;
  list: number;
  localList: number;
}
export const BY_DEFAULT = -1;
export const NOT_ASKED = -2;

const PASS = 0;
const DENIED_BY_DEFAULT = DROP['acl-default'];
const FLOW_TABLE_FULL = DROP['flow-table-full'];
const SOURCE_ROUTED = DROP['source-routed'];
const FRAGMENT_WITHOUT_FIRST = DROP['fragment-without-first'];
const FRAGMENT_OVERLAP = DROP['fragment-overlap'];
/** Before the packet that an ICMP error quotes stand its type, code, checksum and one more word. */
const ICMP_ERROR_HEADER = 8;

/** A packet at one attachment: what was found out about it, until it is known whether it passes everywhere. */
class Passage {
  readonly key = new FlowKey();
  readonly decisions: Decisions = {
    networkAcl: NOT_ASKED,
    localNetworkAcl: NOT_ASKED,
    list: NOT_ASKED,
    localList: NOT_ASKED,
  };
  peer = 0;
  direction = 0;
  /** What network ACLs said, to be kept with the flow; 0 for nothing. */
  note = 0;
  /** The flow, or -1, its state as it was found, and the rule that let it begin, or does now. */
  slot = -1;
  state = 0;
  rule = -1;
  begins = false;
}

/**
 * Decides what may go through an attachment, in this order:
 *
 * 1. a packet with a source route does not pass: rules would judge a destination that it does not stay at;
 * 2. a later fragment passes if the first of its datagram did, and if it leaves alone what that one holds;
 * 3. the network ACLs, of the peering and of the local VPC, must each allow it;
 * 4. a packet of a tracked flow passes, whichever end began it, and keeps the flow alive;
 * 5. an ICMP error passes if the packet it quotes went the other way in a tracked flow;
 * 6. for anything else the access list or the security groups decide, of the peering and of the local VPC: there must be
 *    one, and all there are must allow it. What they allow begins a flow.
 *
 * A flow outlives the rule that allowed it, and a `Policy` of new rules goes on with the flows of the old one. TCP that
 * is met in mid-stream begins a flow as a SYN does: the gateway may have been started again. One `Policy` belongs to one
 * thread; the flow table is shared.
 */
export class Policy {
  /** After a judgement: the id of the rule that decided, or -1: a flow, a list's default, or no list did. */
  rule = -1;
  /**
   * After a judgement that lets pass: the id of the rule that let the packet's flow begin, be it now or before, or -1.
   * Where rules of two lists did it is the peering's rather than the local VPC's, unless only the latter has a rate; in
   * transit, the first peering's.
   */
  begunBy = -1;
  /** After a judgement that lets pass: the slot of the packet's flow, or -1. In transit, the first peering's. */
  flow = -1;
  readonly #acl: Acl;
  readonly #attachments: Int32Array;
  readonly #notes: Int32Array;
  readonly #hasNetworkAcls: boolean;
  readonly #flows: FlowTable;
  readonly #counters: PolicyCounters;
  readonly #tracks: boolean;
  readonly #first = new Passage();
  readonly #second = new Passage();
  readonly #quotedKey = new FlowKey();
  readonly #quoted = new Packet();

  /**
   * The counters have a place for each rule of `program`: see `createPolicyCounters`. A policy that does not track only
   * explains: it reads the flow table and changes nothing there, asks every list anew, and notes what each said.
   */
  constructor(program: AclProgram, flows: FlowTableData, counters: PolicyCounters, tracks = true) {
    this.#acl = new Acl(program);
    this.#attachments = program.attachments;
    this.#notes = program.notes;
    this.#hasNetworkAcls = program.attachments.some((list, place) => place % 2 === 1 && list >= 0);
    this.#flows = new FlowTable(flows);
    this.#counters = counters;
    this.#tracks = tracks;
  }

  /** What each list said of the last packet, by a policy that only explains; `second`: at the second peering of a transit. */
  decisions(second = false): Decisions {
    return second ? this.#second.decisions : this.#first.decisions;
  }

  /**
   * Judges a packet between the local VPC and a peering: 0 to let it pass, else a `DROP` number. Hot path: allocates
   * nothing, throws nothing.
   *
   * `bytes` and `offset` are where `packet` was parsed. `peer` is the peering's number, which no two share; `lists` its
   * place among the program's attachments, -1 if it has none. `seconds` is monotonic, whole, and of the same clock for
   * all threads. `count` is how many datagrams the packet stands for: outbound one that holds them all, a super-packet;
   * inbound the first of a coalesced run.
   */
  judge(
    packet: Packet,
    bytes: Uint8Array,
    offset: number,
    peer: number,
    lists: number,
    direction: number,
    seconds: number,
    count: number,
  ): number {
    this.rule = -1;
    this.begunBy = -1;
    this.flow = -1;
    const passage = this.#first;
    if (!this.#tracks) this.#flows.releaseRoom();
    passage.peer = peer;
    passage.direction = direction;
    const verdict = this.#check(passage, packet, bytes, offset, lists, 1, seconds, count);
    if (verdict !== PASS) return verdict;
    return this.#commit(passage, packet, bytes, offset, seconds, direction === OUT ? 1 : count);
  }

  /**
   * Judges a packet that comes in from one peering and goes out to another, the arguments being as in `judge`: it must
   * be allowed at both. What the second denies leaves no flow at the first. A run is given by its first datagram.
   */
  judgeTransit(
    packet: Packet,
    bytes: Uint8Array,
    offset: number,
    from: number,
    fromLists: number,
    to: number,
    toLists: number,
    seconds: number,
    count: number,
  ): number {
    this.rule = -1;
    this.begunBy = -1;
    this.flow = -1;
    const first = this.#first;
    const second = this.#second;
    if (!this.#tracks) this.#flows.releaseRoom();
    first.peer = from;
    first.direction = IN;
    second.peer = to;
    second.direction = OUT;
    let verdict = this.#check(first, packet, bytes, offset, fromLists, 0, seconds, count);
    if (verdict !== PASS) return verdict;
    const rule = this.rule;
    verdict = this.#check(second, packet, bytes, offset, toLists, 0, seconds, count);
    if (verdict !== PASS) return verdict;
    verdict = this.#commit(second, packet, bytes, offset, seconds, count);
    if (verdict !== PASS) return verdict;
    const { flow } = this;
    const { begins, state } = second;
    verdict = this.#commit(first, packet, bytes, offset, seconds, count);
    if (verdict !== PASS && begins && flow >= 0) this.#flows.remove(flow, state);
    this.rule = rule;
    return verdict;
  }

  /**
   * The verdict at one attachment, with what is to be done if the packet passes everywhere left in `passage`. `local` is
   * 1 if the other end is in the local VPC, whose lists then have a say.
   */
  #check(
    passage: Passage,
    packet: Packet,
    bytes: Uint8Array,
    offset: number,
    lists: number,
    local: number,
    seconds: number,
    count: number,
  ): number {
    const { peer, direction, key } = passage;
    const flows = this.#flows;
    passage.slot = -1;
    passage.rule = -1;
    passage.begins = false;
    if (!this.#tracks) forget(passage.decisions);
    if (packet.sourceRouted !== 0) return SOURCE_ROUTED;
    if (packet.fragment === FRAGMENT.later) return this.#checkFragment(passage, packet, seconds);
    const hasFlow = key.aim(packet, peer, direction);
    let slot = hasFlow ? flows.find(key, seconds) : -1;
    const { state } = flows;
    if (slot >= 0 && isClosing(state) && isTcpOpening(packet)) {
      if (this.#tracks) flows.remove(slot, state);
      slot = -1;
    }
    passage.note = 0;
    if (this.#hasNetworkAcls) {
      // The paths of a bundle share its flows, and may have network ACLs of their own.
      const note = (this.#notes[lists + 1] << 1) | local;
      const end = key.swapped ? 1 : 0;
      const isKnown = slot >= 0 && this.#tracks && verdictNoted(flows.windows, slot * WINDOW_WORDS, end) === note;
      const verdict = isKnown ? PASS : this.#askNetworkAcls(passage, packet, lists, local, count);
      if (verdict !== PASS) return verdict;
      // An echo's code may differ from packet to packet.
      if (!isKnown && packet.icmpType === -1) passage.note = note;
    }
    if (slot >= 0) {
      passage.slot = slot;
      passage.state = state;
      passage.rule = flows.ruleOf(slot);
      return PASS;
    }
    if (!hasFlow && this.#isRelated(packet, bytes, offset, peer, direction, seconds)) return PASS;
    const verdict = this.#askLists(passage, packet, lists, local, count);
    if (verdict === PASS) passage.begins = beginsFlow(packet, hasFlow);
    return verdict;
  }

  #checkFragment(passage: Passage, packet: Packet, seconds: number): number {
    const flows = this.#flows;
    passage.key.aimFragments(packet, passage.peer, passage.direction);
    const slot = flows.find(passage.key, seconds);
    if (slot < 0) return FRAGMENT_WITHOUT_FIRST;
    passage.rule = flows.ruleOf(slot);
    // What the first one held was judged, and stays as it was judged.
    return packet.fragmentOffset < flows.windows[slot * WINDOW_WORDS] ? FRAGMENT_OVERLAP : PASS;
  }

  #askNetworkAcls(passage: Passage, packet: Packet, lists: number, local: number, count: number): number {
    const attachments = this.#attachments;
    const peering = lists < 0 ? -1 : attachments[2 * lists + 3];
    if (peering >= 0) {
      const verdict = this.#ask(peering, packet, passage.direction, count);
      if (!this.#tracks) passage.decisions.networkAcl = this.rule;
      if (verdict !== PASS) return verdict;
    }
    if (local === 1 && attachments[1] >= 0) {
      const verdict = this.#ask(attachments[1], packet, passage.direction, count);
      if (!this.#tracks) passage.decisions.localNetworkAcl = this.rule;
      if (verdict !== PASS) return verdict;
    }
    this.rule = -1;
    return PASS;
  }

  #askLists(passage: Passage, packet: Packet, lists: number, local: number, count: number): number {
    const acl = this.#acl;
    const attachments = this.#attachments;
    const peering = lists < 0 ? -1 : attachments[2 * lists + 2];
    const own = local === 1 ? attachments[0] : -1;
    if (peering < 0 && own < 0) return DENIED_BY_DEFAULT;
    if (peering >= 0) {
      const verdict = this.#ask(peering, packet, passage.direction, count);
      if (!this.#tracks) passage.decisions.list = this.rule;
      if (verdict !== PASS) return verdict;
      passage.rule = this.rule;
    }
    if (own < 0) return PASS;
    const verdict = this.#ask(own, packet, passage.direction, count);
    if (!this.#tracks) passage.decisions.localList = this.rule;
    if (verdict !== PASS) return verdict;
    // One rule can be remembered: a rate holds whichever of the two lists has it.
    if (passage.rule < 0 || (this.rule >= 0 && acl.hasRate(this.rule) && !acl.hasRate(passage.rule)))
      passage.rule = this.rule;
    this.rule = passage.rule;
    return PASS;
  }

  /** What one list says, counted. Sets `rule`. */
  #ask(list: number, packet: Packet, direction: number, count: number): number {
    const acl = this.#acl;
    const rule = acl.judge(list, direction, packet);
    const id = acl.idOf(rule);
    this.rule = id;
    if (id >= 0) this.#counters.hits[id] += count;
    if (acl.allows(list, rule)) return PASS;
    if (id >= 0) this.#counters.denied[id] += count;
    return acl.denial(list, rule);
  }

  /** Does what is left to do for a packet that passes. `runs`: how many segments like it there are. */
  #commit(passage: Passage, packet: Packet, bytes: Uint8Array, offset: number, seconds: number, runs: number): number {
    const flows = this.#flows;
    this.begunBy = passage.rule;
    this.flow = passage.slot;
    if (!this.#tracks) return this.#hasRoom(passage, packet, seconds) ? PASS : FLOW_TABLE_FULL;
    if (passage.slot >= 0) {
      this.#goOn(passage, packet, bytes, offset, seconds, runs);
    } else if (passage.begins) {
      const { key } = passage;
      const state = beginState(packet, key.swapped);
      const slot = flows.insert(key, state, seconds, passage.rule);
      if (slot < 0) return FLOW_TABLE_FULL;
      if (flows.displaced) this.#counters.events[POLICY_EVENT.displaced]++;
      passage.state = flows.state;
      this.flow = slot;
      const windows = slot * WINDOW_WORDS;
      if (passage.note !== 0) noteVerdict(flows.windows, windows, key.swapped ? 1 : 0, passage.note);
      if (packet.protocol === PROTOCOL.tcp) this.#isInWindow(slot, key.swapped, packet, bytes, offset, runs);
    }
    if (packet.fragment !== FRAGMENT.first) return PASS;
    return this.#admitFragments(passage, packet, seconds);
  }

  /** For a policy that only explains: whether what would begin has room, beside what begins at the other peering. */
  #hasRoom({ key, begins, peer, direction }: Passage, packet: Packet, seconds: number): boolean {
    const flows = this.#flows;
    if (begins && !flows.hasRoom(key, seconds, false)) return false;
    if (packet.fragment !== FRAGMENT.first) return true;
    key.aimFragments(packet, peer, direction);
    return flows.find(key, seconds) >= 0 || flows.hasRoom(key, seconds, true);
  }

  /** One more packet of a flow. */
  #goOn(passage: Passage, packet: Packet, bytes: Uint8Array, offset: number, seconds: number, runs: number): void {
    const flows = this.#flows;
    const { slot, state, key } = passage;
    if (passage.note !== 0) noteVerdict(flows.windows, slot * WINDOW_WORDS, key.swapped ? 1 : 0, passage.note);
    let next = state;
    if (packet.protocol !== PROTOCOL.tcp || this.#isInWindow(slot, key.swapped, packet, bytes, offset, runs)) {
      next = advanceState(state, packet, key.swapped);
    } else {
      this.#counters.events[POLICY_EVENT.outOfWindow] += runs;
    }
    flows.refresh(slot, state, next, seconds);
  }

  #isInWindow(
    slot: number,
    swapped: boolean,
    packet: Packet,
    bytes: Uint8Array,
    offset: number,
    runs: number,
  ): boolean {
    const windows = this.#flows.windows;
    const end = swapped ? 1 : 0;
    if (packet.fragment !== FRAGMENT.whole) {
      // How long the segment is the last of its fragments would tell.
      forgetEnd(windows, slot * WINDOW_WORDS, end);
      return true;
    }
    const header = offset + packet.upperOffset;
    const size = packet.length - packet.upperOffset - ((bytes[header + 12] >>> 4) << 2);
    const payload = size > 0 ? Math.imul(size, runs) : 0;
    return noteSegment(windows, slot * WINDOW_WORDS, end, packet, bytes, header, payload);
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
      this.#quotedKey.aim(quoted, peer, direction ^ 1) &&
      this.#flows.find(this.#quotedKey, seconds) >= 0
    );
  }

  /** Lets the later fragments of a first one's datagram pass, from where that one ends. */
  #admitFragments(passage: Passage, first: Packet, seconds: number): number {
    const flows = this.#flows;
    const { key } = passage;
    key.aimFragments(first, passage.peer, passage.direction);
    let slot = flows.find(key, seconds);
    if (slot < 0) slot = flows.insert(key, FRAGMENTS_STATE, seconds, passage.rule);
    else flows.refresh(slot, flows.state, flows.state, seconds);
    if (slot < 0) return FLOW_TABLE_FULL;
    const end = first.fragmentSize;
    const at = slot * WINDOW_WORDS;
    if (end > flows.windows[at]) flows.windows[at] = end;
    return PASS;
  }
}

function forget(decisions: Decisions): void {
  decisions.networkAcl = NOT_ASKED;
  decisions.localNetworkAcl = NOT_ASKED;
  decisions.list = NOT_ASKED;
  decisions.localList = NOT_ASKED;
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
