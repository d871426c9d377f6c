/**
 * Probes between gateways, by which they know their paths. Who asks and who is answered is the main thread's to say; when
 * a probe went and when its answer came is noted here by the two threads, in shared memory: no message is needed for it,
 * so that no peer can make messages gather.
 */
import { PROBES_OUT } from '../session/liveness.ts';
import { PROBE, answerProbe, probeKind, probeSequence, probeToken } from '../wire/echo.ts';
import type { Packet } from '../wire/packet.ts';
import { MAX_PEERS } from './counters.ts';

/** Words of a peer's row. Each place among the `PROBES_OUT` is a probe's, by its sequence number. */
const ROW = {
  /** By which the answers to our probes are known; the main thread writes it, and all sequence numbers. */
  token: 0,
  /** 1 while an answer of ours to a probe of the peer's waits for the main thread. */
  answering: 1,
  /** Plus 1, so that 0 is none. */
  sequence: 2,
  /** Boot-clock ms, 0 never; the outbound thread writes it. */
  sentAt: 2 + PROBES_OUT,
  /** The inbound thread writes it. */
  answeredAt: 2 + 2 * PROBES_OUT,
  words: 2 + 3 * PROBES_OUT,
} as const;

/** Row by slot. Rows that were never touched take no memory. */
export type ProbeMemory = Float64Array<SharedArrayBuffer>;

export function createProbeMemory(): ProbeMemory {
  return new Float64Array(new SharedArrayBuffer(MAX_PEERS * ROW.words * Float64Array.BYTES_PER_ELEMENT));
}

/** For the main thread: a new path in this slot, whose probes bear this token (an int32). */
export function clearProbes(memory: ProbeMemory, slot: number, token: number): void {
  memory.fill(0, slot * ROW.words, (slot + 1) * ROW.words);
  memory[slot * ROW.words + ROW.token] = token;
}

/** For the main thread, before it orders a probe: from now on its answer is waited for. */
export function expectAnswer(memory: ProbeMemory, slot: number, sequence: number): void {
  const at = slot * ROW.words + (sequence % PROBES_OUT);
  memory[at + ROW.sentAt] = 0;
  memory[at + ROW.answeredAt] = 0;
  memory[at + ROW.sequence] = sequence + 1;
}

/** For the main thread: takes the answers that came, each with its round trip and its time of arrival in ms. */
export function takeAnswers(
  memory: ProbeMemory,
  slot: number,
  take: (sequence: number, rtt: number, at: number) => void,
): void {
  const row = slot * ROW.words;
  for (let at = row; at < row + PROBES_OUT; at++) {
    const answeredAt = memory[at + ROW.answeredAt];
    const sentAt = memory[at + ROW.sentAt];
    if (answeredAt === 0 || sentAt === 0) continue;
    const sequence = memory[at + ROW.sequence] - 1;
    memory[at + ROW.sequence] = 0;
    memory[at + ROW.answeredAt] = 0;
    take(sequence, Math.max(0, answeredAt - sentAt), answeredAt);
  }
}

/** For the main thread: it has taken the peer's probe; the next may come. */
export function answerTaken(memory: ProbeMemory, slot: number): void {
  memory[slot * ROW.words + ROW.answering] = 0;
}

/** For the outbound thread: the probe went out. */
export function noteSent(memory: ProbeMemory, slot: number, sequence: number, now: number): void {
  memory[slot * ROW.words + (sequence % PROBES_OUT) + ROW.sentAt] = now;
}

/** From one question of a peer's to its next that is answered, in ms: no gateway of ours asks as often. */
const ASKED_INTERVAL = 20;

/** What became of a packet that may be a probe. */
export const PROBED = {
  /** It is none of ours: an ordinary packet. */
  no: 0,
  /** It ends here. */
  taken: 1,
  /** It ends here, and `answer` is to be sent back. */
  asked: 2,
  /** It asks too soon after the last, or while an answer still waits: it is dropped. */
  limited: 3,
} as const;

/** For the inbound thread. */
export class ProbeReader {
  readonly #memory: ProbeMemory;
  /** The gateway's own overlay addresses, four words each, IPv4 in word 3. */
  readonly #addresses: Int32Array;
  /** When each peer last asked and was answered. */
  readonly #askedAt = new Float64Array(MAX_PEERS).fill(-Infinity);
  /** After `read` gave `PROBED.asked`. */
  answer: Uint8Array = new Uint8Array(0);

  constructor(memory: ProbeMemory, addresses: Int32Array) {
    this.#memory = memory;
    this.#addresses = addresses;
  }

  /** A `PROBED` for a packet of the peer's, whose source is the peer's. Allocates for a probe that is answered. */
  read(packet: Packet, bytes: Uint8Array, offset: number, slot: number, now: number): number {
    const kind = probeKind(packet, bytes, offset);
    if (kind === PROBE.none || !this.#isOurs(packet)) return PROBED.no;
    const row = slot * ROW.words;
    const memory = this.#memory;
    if (kind === PROBE.request) {
      if (memory[row + ROW.answering] !== 0 || now - this.#askedAt[slot] < ASKED_INTERVAL) return PROBED.limited;
      this.#askedAt[slot] = now;
      memory[row + ROW.answering] = 1;
      this.answer = answerProbe(packet, bytes, offset);
      return PROBED.asked;
    }
    const sequence = probeSequence(packet, bytes, offset);
    const at = row + (sequence % PROBES_OUT);
    if (memory[row + ROW.token] !== probeToken(packet, bytes, offset)) return PROBED.no;
    if (memory[at + ROW.sequence] === sequence + 1 && memory[at + ROW.answeredAt] === 0) {
      memory[at + ROW.answeredAt] = now;
    }
    return PROBED.taken;
  }

  #isOurs(packet: Packet): boolean {
    const own = this.#addresses;
    for (let at = 0; at < own.length; at += 4) {
      if (own[at + 3] !== packet.dst3 || own[at + 2] !== packet.dst2) continue;
      if (own[at + 1] === packet.dst1 && own[at] === packet.dst0) return true;
    }
    return false;
  }
}
