/**
 * TUN to UDP. What happens to a packet, in order:
 *
 *   1. read       a batch from the TUN; a super-packet is one row
 *   2. parse      malformed ones are dropped
 *   3. decide     where it goes and whether it may (verdict.ts)
 *   4. clamp      in a gateway, a SYN's segment size is lowered to what the tunnel carries
 *   5. shape      what is beyond the rate of its rule, its flow or the peering waits, and goes on from here when its turn comes
 *   6. key        the peer's current key and the next counters; without a session the packet waits (staged)
 *   7. seal       the batch, cut into segments, padded
 *   8. send       in runs of equal datagrams
 *
 * What the inbound thread hands on, from one peer to another, is decided already and takes steps 5 to 8.
 *
 * This thread alone writes the send counters, and the counters of its direction.
 */
import { DROP } from '../wire/drop.ts';
import { clampMss } from '../wire/mss.ts';
import { Packet } from '../wire/packet.ts';
import type { OutboundQueue } from '../nic/index.ts';
import { ROW, RUN, STATUS } from '../nic/layout.ts';
import { OUT } from '../policy/direction.ts';
import { BLACKHOLE } from '../routing/target.ts';
import { DEFAULT_TIMING, REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES } from '../session/constants.ts';
import { Staging } from '../session/staging.ts';
import { COUNTER, MAX_PEERS, countDrop, rowOf } from './counters.ts';
import type { Counters } from './counters.ts';
import type { LiveTrace } from './live.ts';
import { callsForLull } from './moderation.ts';
import { noteSent } from './probes.ts';
import type { ProbeMemory } from './probes.ts';
import type { OutboundOrder, Report } from './messages.ts';
import type { Pacing } from './pacing.ts';
import type { Seen } from './seen.ts';
import type { Shaping } from './shaping.ts';
import { Stages } from './stages.ts';
import type { Verdict } from './verdict.ts';

/** The counter's limit, as unsigned words. */
const REJECT_HI = REJECT_AFTER_MESSAGES.hi >>> 0;
const REJECT_LO = REJECT_AFTER_MESSAGES.lo >>> 0;
/** Where the packet of a keepalive, and staged ones, are put while no batch is in the slab. */
const SCRATCH_OFFSET = 64;
/** A thread asks for the same peer's session at most this often, in ms. */
const WANT_INTERVAL = 100;
/** A message that went out less than this long ago, in ms, does what a keepalive would. */
const KEEPALIVE_INTERVAL = 500;
/** Packets wait for a session no longer than an attempt to get one lasts, in ms: of one that has to call us, there is none. */
const STAGED_TIME = DEFAULT_TIMING.rekeyAttemptTime;

export class Outbound {
  readonly #queue: OutboundQueue;
  readonly #counters: Counters;
  readonly #report: (report: Report) => void;
  readonly #packet = new Packet();
  readonly #stages: Stages;
  readonly #verdict: Verdict;
  readonly #seen: Seen;
  readonly #live: LiveTrace;
  readonly #pacing: Pacing;
  readonly #shaping: Shaping;
  #probes: ProbeMemory | undefined;

  // By peer slot. A key of 0 is none.
  /** 1: there is a peer. What was handed on to one that has gone meanwhile is not to wait there for the next. */
  readonly #isPeer = new Uint8Array(MAX_PEERS);
  readonly #key = new Int32Array(MAX_PEERS);
  readonly #receiver = new Int32Array(MAX_PEERS);
  readonly #counterLo = new Float64Array(MAX_PEERS);
  readonly #counterHi = new Float64Array(MAX_PEERS);
  readonly #expiresAt = new Float64Array(MAX_PEERS);
  readonly #wantedAt = new Float64Array(MAX_PEERS).fill(-Infinity);
  /** When a message last went out under the key. */
  readonly #keyUsedAt = new Float64Array(MAX_PEERS).fill(-Infinity);
  readonly #staging = new Map<number, Staging>();
  /** When a packet was last staged. */
  readonly #stagedAt = new Float64Array(MAX_PEERS);

  constructor(queue: OutboundQueue, counters: Counters, report: (report: Report) => void) {
    this.#queue = queue;
    this.#counters = counters;
    this.#report = report;
    this.#stages = new Stages(queue, counters, OUT);
    ({
      verdict: this.#verdict,
      seen: this.#seen,
      live: this.#live,
      pacing: this.#pacing,
      shaping: this.#shaping,
    } = this.#stages);
  }

  /** Whether the last batch was one of few and small packets. */
  isLull = false;

  /** Carries one batch of each kind. Returns packets read, or a negative errno if there was none. */
  round(): number {
    const transit = this.#carryTransit();
    const count = this.#queue.readTun(this.#queue.rows.length / ROW.words);
    this.isLull = false;
    if (count > 0) {
      for (let row = 0; row < count; row++) this.#decide(row * ROW.words);
      this.#transmit(count);
      const { rows } = this.#queue;
      const last = (count - 1) * ROW.words;
      this.isLull = callsForLull(count, rows[last + ROW.offset] + rows[last + ROW.length]);
    }
    if (this.#pacing.waiting > 0) this.#releasePaced();
    if (this.#shaping.waiting > 0) this.#release();
    return transit > 0 ? transit + Math.max(count, 0) : count;
  }

  /** ms until a packet that was held back may go; Infinity if none waits. */
  delay(): number {
    return Math.min(this.#pacing.delay(), this.#shaping.delay());
  }

  /** Sends what the inbound thread handed on. */
  #carryTransit(): number {
    const { rows, slab } = this.#queue;
    const count = this.#queue.readTransit(rows.length / ROW.words);
    if (count <= 0) return count;
    for (let row = 0; row < count * ROW.words; row += ROW.words) {
      const slot = rows[row + ROW.endpoint];
      const segments = rows[row + ROW.segments];
      if (this.#isPeer[slot] !== 1) {
        countDrop(this.#counters, -1, DROP['no-session'], segments);
        continue;
      }
      if (this.#packet.parse(slab, rows[row + ROW.offset], rows[row + ROW.length])) {
        this.#note(row, slot, DROP.none, -1, segments);
      }
      this.#admit(row, slot, segments, -1);
    }
    this.#transmit(count);
    return count;
  }

  apply(order: OutboundOrder): void {
    switch (order.type) {
      case 'socket':
        this.#queue.useSocket(order.fd, order.gso);
        break;
      case 'probes':
        this.#probes = order.memory;
        break;
      case 'peer':
        this.#stages.apply(order);
        this.#isPeer[order.slot] = 1;
        break;
      case 'peerGone':
        this.#stages.apply(order);
        this.#forget(order.slot);
        break;
      case 'sendKey':
        this.#useKey(order);
        break;
      case 'sendKeyGone':
        if (this.#key[order.slot] === order.key) this.#key[order.slot] = 0;
        break;
      case 'keepalive':
        this.#keepalive(order.slot);
        break;
      case 'probe':
        this.#sendProbe(order.slot, order.packet, order.sequence);
        break;
      case 'discardStaged':
        this.#discardStaged(order.slot);
        break;
      default:
        this.#stages.apply(order);
    }
  }

  /** Steps 2 to 6 for the row that begins at word `row`. */
  #decide(row: number): void {
    const { rows, slab, clock } = this.#queue;
    const packet = this.#packet;
    const offset = rows[row + ROW.offset];
    const segments = rows[row + ROW.segments];
    if (segments === 0) return this.#drop(row, -1, DROP['malformed-packet'], 1);
    if (!packet.parse(slab, offset, rows[row + ROW.length])) return this.#drop(row, -1, packet.fault, 1);
    const verdict = this.#verdict;
    let reason = verdict.outbound(packet, slab, offset, (clock[0] / 1000) | 0, segments);
    if (reason === 0) reason = this.#pacing.limit(verdict.policy, this.#bytesOf(row, segments));
    const slot = verdict.target < BLACKHOLE ? verdict.target : -1;
    this.#note(row, slot, reason, verdict.rule, segments);
    this.#live.note(packet, -1, verdict.target, reason, verdict.rule, segments);
    if (reason !== 0) return this.#drop(row, slot, reason, segments);
    if (verdict.policy !== undefined) clampMss(packet, slab, offset, verdict.mtu);
    const rule = verdict.policy === undefined ? -1 : verdict.policy.begunBy;
    if (!this.#pacing.isEarly) return this.#admit(row, slot, segments, rule);
    rows[row + ROW.key] = 0;
    this.#pacing.hold(slot, row, segments, rule);
  }

  /** Bytes on the overlay of a row's packets. */
  #bytesOf(row: number, segments: number): number {
    const { rows } = this.#queue;
    return rows[row + ROW.length] + (segments - 1) * rows[row + ROW.header];
  }

  /** Steps 5 and 6 for a row that goes to the peer in `slot`. */
  #admit(row: number, slot: number, segments: number, rule: number): void {
    if (this.#shaping.isUsed) {
      const { rows } = this.#queue;
      const bytes = this.#bytesOf(row, segments);
      if (!this.#shaping.admit(slot, rows[row + ROW.offset], bytes, segments, rule)) {
        rows[row + ROW.key] = 0;
        return this.#shaping.hold(slot, row, bytes, segments, rule);
      }
    }
    this.#address(row, slot, segments);
  }

  /** Steps 5 to 8 for what was held back for the rate of a rule or flow and may go now. */
  #releasePaced(): void {
    const { rows } = this.#queue;
    for (let count = this.#pacing.release(); count > 0; count = this.#pacing.release()) {
      for (let row = 0; row < count * ROW.words; row += ROW.words) {
        this.#admit(row, rows[row + ROW.peer], rows[row + ROW.segments], this.#pacing.ruleOf(row / ROW.words));
      }
      this.#transmit(count);
      this.#pacing.done();
    }
  }

  /** Steps 6 to 8 for what was held back and may go now. */
  #release(): void {
    const { rows } = this.#queue;
    for (let count = this.#shaping.release(); count > 0; count = this.#shaping.release()) {
      for (let row = 0; row < count * ROW.words; row += ROW.words) {
        this.#address(row, rows[row + ROW.peer], rows[row + ROW.segments]);
      }
      this.#transmit(count);
      this.#shaping.done();
    }
  }

  /** Step 6. */
  #address(row: number, slot: number, segments: number): void {
    if (!this.#takeCounters(row, slot, segments)) return this.#stage(row, slot);
    const mine = rowOf(slot);
    this.#counters[mine + COUNTER.dataAt] = this.#queue.clock[0];
    this.#counters[mine + COUNTER.packets] += segments;
  }

  /** Writes key and counters into the row. False if the peer has no key that may still be used. */
  #takeCounters(row: number, slot: number, segments: number): boolean {
    const { rows, clock } = this.#queue;
    if (this.#key[slot] === 0 || clock[0] >= this.#expiresAt[slot]) return false;
    const lo = this.#counterLo[slot];
    const hi = this.#counterHi[slot];
    if (hi >= REKEY_AFTER_MESSAGES.hi) {
      if (hi === REJECT_HI && lo + segments > REJECT_LO) return false;
      this.#want(slot);
    }
    rows[row + ROW.key] = this.#key[slot];
    rows[row + ROW.counterLo] = lo | 0;
    rows[row + ROW.counterHi] = hi | 0;
    rows[row + ROW.receiver] = this.#receiver[slot];
    rows[row + ROW.endpoint] = slot;
    const next = lo + segments;
    this.#counterLo[slot] = next >= 0x1_0000_0000 ? next - 0x1_0000_0000 : next;
    if (next >= 0x1_0000_0000) this.#counterHi[slot]++;
    this.#keyUsedAt[slot] = clock[0];
    return true;
  }

  /** Steps 7 and 8 for rows [0, count). */
  #transmit(count: number): void {
    const queue = this.#queue;
    for (let from = 0; from < count;) {
      const to = queue.seal(from, count, this.#verdict.mtu);
      if (to < 0) return;
      if (queue.status[STATUS.failed] > 0) this.#countUnsealed(from, to);
      const runs = queue.status[STATUS.runs];
      queue.send();
      this.#countRuns(runs);
      from = to;
    }
  }

  #countRuns(count: number): void {
    const { runs, clock } = this.#queue;
    for (let run = 0; run < count * RUN.words; run += RUN.words) {
      const slot = runs[run + RUN.endpoint];
      const mine = rowOf(slot);
      const unsent = runs[run + RUN.unsent];
      this.#counters[mine + COUNTER.anyAt] = clock[0];
      this.#counters[mine + COUNTER.bytes] += runs[run + RUN.length];
      if (unsent === 0) continue;
      this.#counters[mine + COUNTER.bytes] -= Math.min(runs[run + RUN.length], unsent * runs[run + RUN.segment]);
      countDrop(this.#counters, slot, DROP['send-failed'], unsent);
    }
  }

  /** A key that was freed since the row was decided. */
  #countUnsealed(from: number, to: number): void {
    const { rows } = this.#queue;
    for (let row = from * ROW.words; row < to * ROW.words; row += ROW.words) {
      if (rows[row + ROW.key] === 0 || rows[row + ROW.verdict] === 0) continue;
      countDrop(this.#counters, rows[row + ROW.endpoint], DROP['key-expired'], rows[row + ROW.segments]);
    }
  }

  #note(row: number, slot: number, reason: number, rule: number, count: number): void {
    const seconds = (this.#queue.clock[0] / 1000) | 0;
    this.#seen.note(this.#packet, slot, reason, rule, count, this.#bytesOf(row, count), seconds);
  }

  #drop(row: number, slot: number, reason: number, count: number): void {
    this.#queue.rows[row + ROW.key] = 0;
    countDrop(this.#counters, slot, reason, count);
  }

  #want(slot: number): void {
    const now = this.#queue.clock[0];
    if (now - this.#wantedAt[slot] < WANT_INTERVAL) return;
    this.#wantedAt[slot] = now;
    this.#report({ type: 'wanted', slot });
  }

  /** Keeps a packet until there is a session, and asks for one. */
  #stage(row: number, slot: number): void {
    const { rows, slab } = this.#queue;
    const offset = rows[row + ROW.offset];
    rows[row + ROW.key] = 0;
    this.#discardStale(slot);
    this.#stagedAt[slot] = this.#queue.clock[0];
    let staging = this.#staging.get(slot);
    if (staging === undefined) this.#staging.set(slot, (staging = new Staging()));
    const dropped = staging.push(
      slab.subarray(offset, offset + rows[row + ROW.length]),
      rows.subarray(row, row + ROW.words),
    );
    if (dropped > 0) countDrop(this.#counters, slot, DROP['staging-full'], dropped);
    this.#want(slot);
  }

  #useKey({ slot, key, receiver, expiresAt, first }: Extract<OutboundOrder, { type: 'sendKey' }>): void {
    this.#key[slot] = key;
    this.#receiver[slot] = receiver;
    this.#counterLo[slot] = (first?.lo ?? 0) >>> 0;
    this.#counterHi[slot] = (first?.hi ?? 0) >>> 0;
    this.#expiresAt[slot] = expiresAt;
    this.#wantedAt[slot] = -Infinity;
    this.#keyUsedAt[slot] = -Infinity;
    this.#discardStale(slot);
    const staging = this.#staging.get(slot);
    if (staging === undefined) return;
    this.#staging.delete(slot);
    staging.drain((bytes, descriptor) => this.#sendStaged(slot, bytes, descriptor));
  }

  #sendStaged(slot: number, bytes: Uint8Array, descriptor: Int32Array): void {
    const { rows, slab, clock } = this.#queue;
    rows.set(descriptor);
    rows[ROW.offset] = SCRATCH_OFFSET;
    slab.set(bytes, SCRATCH_OFFSET);
    const segments = rows[ROW.segments];
    if (!this.#takeCounters(0, slot, segments)) return this.#drop(0, slot, DROP['no-session'], segments);
    const mine = rowOf(slot);
    this.#counters[mine + COUNTER.dataAt] = clock[0];
    this.#counters[mine + COUNTER.packets] += segments;
    this.#transmit(1);
  }

  #keepalive(slot: number): void {
    const { rows, clock } = this.#queue;
    if (clock[0] - this.#keyUsedAt[slot] < KEEPALIVE_INTERVAL) return;
    rows.fill(0, 0, ROW.words);
    rows[ROW.offset] = SCRATCH_OFFSET;
    rows[ROW.segments] = 1;
    if (this.#takeCounters(0, slot, 1)) this.#transmit(1);
    else this.#want(slot);
  }

  /** Probes are no traffic of the overlay's hosts: they are sealed and counted in bytes, and nothing else. */
  #sendProbe(slot: number, packet: Uint8Array, sequence: number): void {
    const { rows, slab, clock } = this.#queue;
    rows.fill(0, 0, ROW.words);
    rows[ROW.offset] = SCRATCH_OFFSET;
    rows[ROW.length] = packet.length;
    rows[ROW.segments] = 1;
    slab.set(packet, SCRATCH_OFFSET);
    if (!this.#takeCounters(0, slot, 1)) return this.#want(slot);
    this.#counters[rowOf(slot) + COUNTER.dataAt] = clock[0];
    if (this.#probes !== undefined && sequence >= 0) noteSent(this.#probes, slot, sequence, clock[0]);
    this.#transmit(1);
  }

  #discardStale(slot: number): void {
    if (this.#queue.clock[0] - this.#stagedAt[slot] > STAGED_TIME) this.#discardStaged(slot);
  }

  #discardStaged(slot: number): void {
    const staging = this.#staging.get(slot);
    if (staging === undefined) return;
    this.#staging.delete(slot);
    countDrop(this.#counters, slot, DROP['no-session'], staging.clear());
  }

  #forget(slot: number): void {
    this.#discardStaged(slot);
    this.#isPeer[slot] = 0;
    this.#key[slot] = 0;
    this.#wantedAt[slot] = -Infinity;
    this.#counters.fill(0, rowOf(slot), rowOf(slot + 1));
  }
}
