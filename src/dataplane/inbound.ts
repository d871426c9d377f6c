/**
 * UDP to TUN. What happens to a datagram, in order:
 *
 *   1. receive    a batch of buffers, each one datagram or a run of them
 *   2. sort       handshake messages go to the main thread; a transport message's index names its key
 *   3. open       the batch, in place
 *   4. replay     the counter must be new; then the sender is who it says, and may have moved (roaming)
 *   5. unpad      a keepalive ends here
 *   6. coalesce   runs of one flow of one peer become one super-packet
 *   7. decide     probes of the path and what its gateway says of the peering end here; else where it goes and whether it may (verdict.ts); some senders are told why not (answers.ts)
 *   8. clamp      in a gateway, a SYN's segment size is lowered to what the tunnel carries
 *   9. shape      what is beyond the peering's rate waits, and is coalesced and goes on when its turn comes
 *  10. write      to the TUN, or hand on to the outbound thread what goes to another peer
 *
 * This thread alone writes the replay windows, and the counters of its direction.
 */
import { DROP } from '../wire/drop.ts';
import { ENDPOINT_WORDS } from '../wire/endpoint.ts';
import { MESSAGE, TRANSPORT, TRANSPORT_OVERHEAD, handshakeSize } from '../wire/messages.ts';
import { takeHop } from '../wire/hops.ts';
import { clampMss } from '../wire/mss.ts';
import { Packet, innerLength } from '../wire/packet.ts';
import type { EndpointStore, InboundQueue } from '../nic/index.ts';
import { BUFFER, GROUP, HAND_ON, NO_ROOM, ROW, STATUS } from '../nic/layout.ts';
import { IN } from '../policy/direction.ts';
import { LOCAL } from '../routing/target.ts';
import { Answers } from './answers.ts';
import { COUNTER, countDrop, rowOf } from './counters.ts';
import type { Counters } from './counters.ts';
import { CONTROLLED, ControlReader } from './control.ts';
import { MAX_QUEUED_HANDSHAKES, SHARED } from './messages.ts';
import type { InboundOrder, Report } from './messages.ts';
import type { LiveTrace } from './live.ts';
import { callsForLull } from './moderation.ts';
import { PROBED, ProbeReader } from './probes.ts';
import type { Pacing } from './pacing.ts';
import { ReceiveKeys } from './receive-keys.ts';
import type { InboundPeer, ReceiveKey } from './receive-keys.ts';
import type { Seen } from './seen.ts';
import type { Shaping } from './shaping.ts';
import { Stages } from './stages.ts';
import type { Verdict } from './verdict.ts';

/** The row word that holds, inbound, the buffer that the datagram is in. */
const ROW_BUFFER = ROW.receiver;
/** The one that holds, of a packet that is held back, where it goes: `LOCAL` or a slot. */
const ROW_TARGET = ROW.endpoint;
/** The verdict of a group that is not written now. It is no drop reason. */
const HELD = -1;

export class Inbound {
  readonly #queue: InboundQueue;
  readonly #counters: Counters;
  readonly #endpoints: EndpointStore;
  readonly #shared: Int32Array;
  readonly #report: (report: Report) => void;
  readonly #packet = new Packet();
  readonly #view: DataView;
  readonly #keys = new ReceiveKeys();
  /** The key of each row of the batch. */
  readonly #rowKeys: (ReceiveKey | undefined)[];
  /** The buffer of the batch whose sender was last compared with its peer's endpoint, and that peer. */
  #placedBuffer = -1;
  #placedPeer: InboundPeer | undefined;
  readonly #stages: Stages;
  readonly #verdict: Verdict;
  readonly #seen: Seen;
  readonly #live: LiveTrace;
  /** Undefined: a plain device, to which all packets are the user's. */
  #control: ControlReader | undefined;
  readonly #pacing: Pacing;
  readonly #shaping: Shaping;
  readonly #answers: Answers;
  #probes: ProbeReader | undefined;
  /** Groups of the batch that go to another peer. */
  #inTransit = 0;

  constructor(
    queue: InboundQueue,
    counters: Counters,
    endpoints: EndpointStore,
    shared: Int32Array,
    report: (report: Report) => void,
  ) {
    this.#queue = queue;
    this.#counters = counters;
    this.#endpoints = endpoints;
    this.#shared = shared;
    this.#report = report;
    this.#answers = new Answers(queue);
    this.#stages = new Stages(queue, counters, IN);
    ({
      verdict: this.#verdict,
      seen: this.#seen,
      live: this.#live,
      pacing: this.#pacing,
      shaping: this.#shaping,
    } = this.#stages);
    this.#view = new DataView(queue.slab.buffer, queue.slab.byteOffset, queue.slab.byteLength);
    this.#rowKeys = new Array<ReceiveKey | undefined>(queue.rows.length / ROW.words).fill(undefined);
  }

  /** Whether the last batch was one of few and small datagrams. */
  isLull = false;

  /** Carries one batch. Returns buffers received, or a negative errno if there was none. */
  round(): number {
    const { buffers } = this.#queue;
    const count = this.#queue.receive();
    let rows = 0;
    let datagrams = 0;
    let bytes = 0;
    for (let buffer = 0; buffer < count; buffer++) {
      const at = buffer * BUFFER.words;
      const segment = buffers[at + BUFFER.segment];
      let offset = buffers[at + BUFFER.offset];
      let left = buffers[at + BUFFER.length];
      bytes += left;
      do {
        datagrams++;
        const length = left < segment ? left : segment;
        if (this.#sort(rows, buffer, offset, length) && ++rows === this.#rowKeys.length) rows = this.#carry(rows);
        offset += segment;
        left -= segment;
      } while (left > 0);
    }
    if (rows > 0) this.#carry(rows);
    this.isLull = callsForLull(datagrams, bytes);
    if (this.#pacing.waiting > 0) this.#releasePaced();
    if (this.#shaping.waiting > 0) this.#release();
    return count;
  }

  /** ms until a packet that was held back may go; Infinity if none waits. */
  delay(): number {
    return Math.min(this.#pacing.delay(), this.#shaping.delay());
  }

  apply(order: InboundOrder): void {
    switch (order.type) {
      case 'socket':
        this.#queue.useSocket(order.fd);
        break;
      case 'addresses':
        this.#answers.addresses = order.addresses;
        break;
      case 'probes':
        this.#probes = new ProbeReader(order.memory, order.addresses);
        break;
      case 'control':
        this.#control = new ControlReader();
        break;
      case 'peer':
        this.#stages.apply(order);
        this.#keys.forgetEndpoint(order.slot);
        break;
      case 'peerGone':
        this.#stages.apply(order);
        this.#keys.forgetPeer(order.slot);
        this.#counters.fill(0, rowOf(order.slot), rowOf(order.slot + 1));
        break;
      case 'receiveKey':
        this.#keys.add(order);
        break;
      case 'receiveKeyGone':
        this.#keys.remove(order.index);
        break;
      default:
        this.#stages.apply(order);
    }
  }

  /** Step 2. True if the datagram is a transport message that now stands in row `row`. */
  #sort(row: number, buffer: number, offset: number, length: number): boolean {
    const view = this.#view;
    const type = length >= 4 ? view.getInt32(offset, true) : 0;
    if (type !== MESSAGE.transport) {
      this.#forward(type, buffer, offset, length);
      return false;
    }
    if (length < TRANSPORT_OVERHEAD) {
      countDrop(this.#counters, -1, DROP['malformed-datagram'], 1);
      return false;
    }
    const index = view.getInt32(offset + TRANSPORT.receiver, true);
    const key = this.#keys.find(index);
    if (key === undefined) {
      countDrop(this.#counters, -1, DROP['unknown-index'], 1);
      return false;
    }
    if (this.#queue.clock[0] >= key.expiresAt) {
      countDrop(this.#counters, key.peer.slot, DROP['key-expired'], 1);
      return false;
    }
    const { rows } = this.#queue;
    const at = row * ROW.words;
    rows[at + ROW.offset] = offset;
    rows[at + ROW.length] = length;
    rows[at + ROW.key] = key.key;
    rows[at + ROW.counterLo] = view.getInt32(offset + TRANSPORT.counter, true);
    rows[at + ROW.counterHi] = view.getInt32(offset + TRANSPORT.counter + 4, true);
    rows[at + ROW.peer] = key.peer.slot;
    rows[at + ROW_BUFFER] = buffer;
    this.#rowKeys[row] = key;
    return true;
  }

  /** Gives a handshake message to the main thread, unless too many wait there. */
  #forward(type: number, buffer: number, offset: number, length: number): void {
    if (length !== handshakeSize(type)) {
      return countDrop(this.#counters, -1, DROP['malformed-datagram'], 1);
    }
    if (Atomics.load(this.#shared, SHARED.handshakes) >= MAX_QUEUED_HANDSHAKES) {
      return countDrop(this.#counters, -1, DROP['handshake-queue-full'], 1);
    }
    Atomics.add(this.#shared, SHARED.handshakes, 1);
    const { slab, buffers } = this.#queue;
    const at = buffer * BUFFER.words + BUFFER.endpoint;
    this.#report({
      type: 'handshake',
      message: slab.slice(offset, offset + length),
      from: buffers.slice(at, at + ENDPOINT_WORDS),
    });
  }

  /** Steps 3 to 10 for rows [0, count). Returns 0, the rows then in use. */
  #carry(count: number): number {
    const queue = this.#queue;
    this.#placedBuffer = -1;
    queue.open(count);
    for (let row = 0; row < count; row++) this.#accept(row);
    const groups = queue.coalesce(count);
    this.#inTransit = 0;
    for (let group = 0; group < groups; group++) this.#decide(group * GROUP.words);
    this.#write(groups);
    return 0;
  }

  /** Step 10. */
  #write(groups: number): void {
    const queue = this.#queue;
    queue.writeTun(groups);
    if (queue.status[STATUS.failed] > 0) {
      countDrop(this.#counters, -1, DROP['write-failed'], queue.status[STATUS.failed]);
    }
    if (this.#inTransit > 0) this.#handOn(groups);
  }

  /** Coalesces and passes on what was held back for the rate of a rule or flow and may go now, if the peering's allows. */
  #releasePaced(): void {
    for (let count = this.#pacing.release(); count > 0; count = this.#pacing.release()) {
      this.#resume(count, true);
      this.#pacing.done();
    }
  }

  /** The same for what was held back for the peering's. */
  #release(): void {
    for (let count = this.#shaping.release(); count > 0; count = this.#shaping.release()) {
      this.#resume(count, false);
      this.#shaping.done();
    }
  }

  #resume(count: number, isPaced: boolean): void {
    const { rows, groups, slab } = this.#queue;
    const made = this.#queue.coalesce(count);
    this.#inTransit = 0;
    for (let group = 0; group < made * GROUP.words; group += GROUP.words) {
      const at = groups[group + GROUP.first] * ROW.words;
      const slot = rows[at + ROW.peer];
      const target = rows[at + ROW_TARGET];
      const isTooBig = target !== LOCAL && this.#verdict.isToBeCut(slab, rows[at + ROW.offset], rows[at + ROW.length]);
      if (isPaced) this.#shape(group, slot, target, this.#pacing.ruleOf(at / ROW.words), isTooBig);
      else this.#pass(group, slot, target, isTooBig);
    }
    this.#write(made);
  }

  /** Step 10 for what goes to other peers. */
  #handOn(count: number): void {
    const { groups, rows, status } = this.#queue;
    this.#queue.handOn(count);
    if (status[STATUS.failed] === 0) return;
    for (let group = 0; group < count * GROUP.words; group += GROUP.words) {
      if (groups[group + GROUP.verdict] !== NO_ROOM) continue;
      const from = rows[groups[group + GROUP.first] * ROW.words + ROW.peer];
      countDrop(this.#counters, from, DROP['transit-queue-full'], groups[group + GROUP.count]);
    }
  }

  /** Steps 4 and 5. A row that goes on has verdict 0 and the inner packet's offset and length. */
  #accept(row: number): void {
    const { rows, clock, slab } = this.#queue;
    const at = row * ROW.words;
    const key = this.#rowKeys[row]!;
    const { peer } = key;
    if (rows[at + ROW.verdict] !== 0) return countDrop(this.#counters, peer.slot, DROP['bad-tag'], 1);
    if (!key.window.accept(rows[at + ROW.counterLo], rows[at + ROW.counterHi])) {
      return this.#drop(at, peer.slot, DROP['replayed']);
    }
    if (!key.confirmed) {
      key.confirmed = true;
      this.#report({ type: 'confirmed', slot: peer.slot, index: key.index });
    }
    // Datagrams of one buffer have one sender: the first that is new and true tells for all of that peer.
    const buffer = rows[at + ROW_BUFFER];
    if (buffer !== this.#placedBuffer || peer !== this.#placedPeer) {
      this.#noticeRoaming(peer, buffer);
      this.#placedBuffer = buffer;
      this.#placedPeer = peer;
    }
    const mine = rowOf(peer.slot);
    const length = rows[at + ROW.length];
    this.#counters[mine + COUNTER.bytes] += length;
    this.#counters[mine + COUNTER.anyAt] = clock[0];
    if (length === TRANSPORT_OVERHEAD) {
      rows[at + ROW.length] = 0;
      return;
    }
    const offset = rows[at + ROW.offset] + TRANSPORT.payload;
    const available = length - TRANSPORT_OVERHEAD;
    const inner = innerLength(slab, offset, available);
    if (inner === 0) return this.#drop(at, peer.slot, DROP['malformed-packet']);
    this.#counters[mine + COUNTER.dataAt] = clock[0];
    rows[at + ROW.offset] = offset;
    rows[at + ROW.length] = inner;
  }

  /** Steps 7 to 9, for the group that begins at word `group`. */
  #decide(group: number): void {
    const { rows, groups, slab, clock } = this.#queue;
    const packet = this.#packet;
    const at = groups[group + GROUP.first] * ROW.words;
    const count = groups[group + GROUP.count];
    const slot = rows[at + ROW.peer];
    const offset = rows[at + ROW.offset];
    const verdict = this.#verdict;
    const isParsed = packet.parse(slab, offset, rows[at + ROW.length]);
    let reason = packet.fault;
    if (isParsed) {
      if ((packet.icmpId !== 0 && this.#isProbe(offset, slot)) || this.#isControl(offset, slot, count)) {
        groups[group + GROUP.verdict] = -1;
        return;
      }
      const seconds = (clock[0] / 1000) | 0;
      const bytes = this.#bytesOf(group);
      reason = verdict.inbound(packet, slab, offset, slot, seconds, count);
      if (reason === 0) reason = this.#pacing.limit(verdict.policy, bytes);
      this.#seen.note(packet, slot, reason, verdict.rule, count, bytes, seconds);
      this.#live.note(packet, slot, verdict.target, reason, verdict.rule, count);
      if (reason !== 0) this.#answer(reason, offset, slot);
    }
    groups[group + GROUP.verdict] = reason;
    if (reason !== 0) return countDrop(this.#counters, slot, reason, count);
    if (verdict.policy !== undefined) clampMss(packet, slab, offset, verdict.mtu);
    const rule = verdict.policy === undefined ? -1 : verdict.policy.begunBy;
    if (this.#pacing.isEarly) this.#hold(group, slot, verdict.target, rule, true);
    else this.#shape(group, slot, verdict.target, rule, verdict.isTooBig);
  }

  /** Bytes on the overlay of a group's packets. */
  #bytesOf(group: number): number {
    const { groups } = this.#queue;
    return groups[group + GROUP.length] + (groups[group + GROUP.count] - 1) * groups[group + GROUP.header];
  }

  /** Step 9, and what follows for what may go. */
  #shape(group: number, slot: number, target: number, rule: number, isTooBig: boolean): void {
    const { rows, groups } = this.#queue;
    if (this.#shaping.isUsed) {
      const offset = rows[groups[group + GROUP.first] * ROW.words + ROW.offset];
      if (!this.#shaping.admit(slot, offset, this.#bytesOf(group), groups[group + GROUP.count], rule)) {
        return this.#hold(group, slot, target, rule, false);
      }
    }
    this.#pass(group, slot, target, isTooBig);
  }

  /** Lets a group's packets wait, each by itself: for the rate of their rule or flow, or for the peering's. */
  #hold(group: number, slot: number, target: number, rule: number, isPaced: boolean): void {
    const { rows, groups } = this.#queue;
    groups[group + GROUP.verdict] = HELD;
    for (let row = groups[group + GROUP.first]; row >= 0; row = rows[row * ROW.words + ROW.next]) {
      const at = row * ROW.words;
      rows[at + ROW_TARGET] = target;
      if (isPaced) this.#pacing.hold(slot, at, 1, rule);
      else this.#shaping.hold(slot, at, rows[at + ROW.length], 1, rule);
    }
  }

  /** Sends a group on its way: to the TUN, or to another peer. */
  #pass(group: number, slot: number, target: number, isTooBig: boolean): void {
    const { rows, groups, slab } = this.#queue;
    this.#counters[rowOf(slot) + COUNTER.packets] += groups[group + GROUP.count];
    if (target === LOCAL) return;
    if (isTooBig) return this.#fragment(group, slot, target);
    const offset = rows[groups[group + GROUP.first] * ROW.words + ROW.offset];
    takeHop(slab[offset] >>> 4, slab, offset);
    groups[group + GROUP.peer] = target;
    groups[group + GROUP.verdict] = HAND_ON;
    this.#inTransit++;
  }

  /** Whether the packet was a probe, or the answer to one, and so goes no further. */
  #isProbe(offset: number, slot: number): boolean {
    const packet = this.#packet;
    if (this.#probes === undefined || !this.#verdict.isSource(packet, slot)) return false;
    const { slab, clock } = this.#queue;
    const probed = this.#probes.read(packet, slab, offset, slot, clock[0]);
    if (probed === PROBED.asked) this.#report({ type: 'probed', slot, answer: this.#probes.answer });
    if (probed === PROBED.limited) countDrop(this.#counters, slot, DROP['probe-limited'], 1);
    return probed !== PROBED.no;
  }

  /** Whether the packet was what the peer's gateway says of the peering, which needs no route and no source of the peer's. */
  #isControl(offset: number, slot: number, count: number): boolean {
    const control = this.#control;
    if (control === undefined) return false;
    const { slab, clock } = this.#queue;
    const controlled = control.read(this.#packet, slab, offset, slot, clock[0]);
    if (controlled === CONTROLLED.heard) this.#report({ type: 'control', slot, payload: control.payload });
    if (controlled === CONTROLLED.no) return false;
    // Of a run only the first is heard.
    const limited = controlled === CONTROLLED.limited ? count : count - 1;
    if (limited > 0) countDrop(this.#counters, slot, DROP['control-limited'], limited);
    return true;
  }

  #answer(reason: number, offset: number, slot: number): void {
    const unsent = this.#answers.answer(reason, this.#packet, offset, slot, this.#verdict.mtu);
    if (unsent !== 0) countDrop(this.#counters, slot, unsent, 1);
  }

  /** Sends on the packets of a group that are too big for where they go, each in fragments. */
  #fragment(group: number, slot: number, target: number): void {
    const { rows, groups } = this.#queue;
    const { mtu } = this.#verdict;
    groups[group + GROUP.verdict] = -1;
    for (let row = groups[group + GROUP.first]; row >= 0; row = rows[row * ROW.words + ROW.next]) {
      const at = row * ROW.words;
      const lost = this.#answers.fragment(rows[at + ROW.offset], rows[at + ROW.length], target, mtu);
      if (lost !== 0) countDrop(this.#counters, slot, lost, 1);
    }
  }

  /** An authenticated, new message came from `buffer`'s endpoint: that is where the peer is (white paper §6.5). */
  #noticeRoaming(peer: InboundPeer, buffer: number): void {
    const { buffers } = this.#queue;
    const from = buffer * BUFFER.words + BUFFER.endpoint;
    const { endpoint } = peer;
    let same = true;
    for (let word = 0; word < ENDPOINT_WORDS; word++) if (endpoint[word] !== buffers[from + word]) same = false;
    if (same) return;
    for (let word = 0; word < ENDPOINT_WORDS; word++) endpoint[word] = buffers[from + word];
    this.#endpoints.setEndpoint(peer.slot, endpoint);
  }

  #drop(at: number, slot: number, reason: number): void {
    this.#queue.rows[at + ROW.verdict] = -1;
    countDrop(this.#counters, slot, reason, 1);
  }
}
