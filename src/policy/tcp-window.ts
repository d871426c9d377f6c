import { TCP_FLAG, type Packet } from '../wire/packet.ts';

/**
 * Whether TCP segments lie where their connection is (Rooij, Real stateful TCP packet filtering in IP Filter): between
 * what the receiver has acknowledged and what it has offered room for. Each end has three words, written only for
 * packets that it sent, so by one thread:
 *
 * - SENT: the sequence number behind the furthest byte that it sent,
 * - RIGHT: its acknowledgement and window together: how far the other end may send,
 * - SHAPE: its window scale, the largest window it offered as a power of two, and what is known of it.
 *
 * A connection met in mid-stream is believed: nothing is known of its scales, so the largest is assumed.
 *
 * The words also serve what is no TCP: of a datagram in fragments, SENT is where the first one ends; and the upper bits
 * of SHAPE belong to whoever asks, see `verdictNoted`.
 */
export const WINDOW_WORDS = 6;
const END_WORDS = 3;
const SENT = 0;
const RIGHT = 1;
const SHAPE = 2;

const SCALE_MASK = 15;
const LARGEST_SHIFT = 4;
const LARGEST_MASK = 31 << LARGEST_SHIFT;
/** SENT says something. */
const MET = 1 << 9;
/** Its SYN was seen, and so its scale is known. */
const SCALE_KNOWN = 1 << 10;
/** RIGHT says something. */
const OFFERED = 1 << 11;
const SHAPE_MASK = 0xfff;
const NOTE_SHIFT = 12;

const SCALE_MAX = 14;
/** How far behind an acknowledgement may be, however small the window (conntrack has the same). */
const BEHIND_LEAST = 66_000;
const OPTION = { end: 0, nothing: 1, windowScale: 3 } as const;

/**
 * Takes note of a segment that `end` (0 or 1) sent, of the connection whose words begin at `at`. The TCP header is at
 * `header` in `bytes`; `payload` is how many bytes follow it, in all segments that the packet stands for. False if it is
 * out of window: it then changes nothing. Hot path.
 */
export function noteSegment(
  words: Int32Array,
  at: number,
  end: number,
  packet: Packet,
  bytes: Uint8Array,
  header: number,
  payload: number,
): boolean {
  const own = at + end * END_WORDS;
  const other = at + (end ^ 1) * END_WORDS;
  const flags = packet.tcpFlags;
  const isSyn = (flags & TCP_FLAG.syn) !== 0;
  const hasAck = (flags & TCP_FLAG.ack) !== 0;
  const sequence = word(bytes, header + 4);
  const acknowledged = word(bytes, header + 8);
  const behind = (sequence + payload + (isSyn ? 1 : 0) + ((flags & TCP_FLAG.fin) !== 0 ? 1 : 0)) | 0;
  const before = words[own + SHAPE];
  const isMet = (before & MET) !== 0;
  const otherShape = words[other + SHAPE];
  if ((otherShape & MET) !== 0) {
    if (hasAck) {
      const ahead = (acknowledged - words[other + SENT]) | 0;
      if (ahead > 0 || ahead < -Math.max(largest(before), BEHIND_LEAST)) return false;
    }
    // One byte beyond the room is a probe of a closed window.
    if ((otherShape & OFFERED) !== 0 && ((sequence - words[other + RIGHT]) | 0) > 1) return false;
    if (isMet && ((behind - words[own + SENT]) | 0) < -largest(otherShape) - 1) return false;
  }
  let shape = isSyn ? (before & ~SCALE_MASK) | SCALE_KNOWN | scaleOffered(bytes, header) : before;
  const scale = isSyn ? 0 : (shape & SCALE_KNOWN) !== 0 ? shape & SCALE_MASK : SCALE_MAX;
  const window = ((bytes[header + 14] << 8) | bytes[header + 15]) << scale;
  const power = 32 - Math.clz32(window);
  if (power > (shape & LARGEST_MASK) >>> LARGEST_SHIFT) shape = (shape & ~LARGEST_MASK) | (power << LARGEST_SHIFT);
  // A SYN that has had no answer may be followed by one that begins elsewhere.
  const beginsAnew = !isMet || (isSyn && (otherShape & MET) === 0);
  if (beginsAnew || ((behind - words[own + SENT]) | 0) > 0) words[own + SENT] = behind;
  const right = (acknowledged + window) | 0;
  if (hasAck && ((before & OFFERED) === 0 || ((right - words[own + RIGHT]) | 0) > 0)) words[own + RIGHT] = right;
  // A SYN says where its end begins, but not yet where the other may write to.
  if (hasAck) shape |= MET | OFFERED;
  else if (isSyn) shape |= MET;
  if (shape !== before) words[own + SHAPE] = shape;
  return true;
}

/** Lets an end be met anew, where it can't be followed. */
export function forgetEnd(words: Int32Array, at: number, end: number): void {
  words[at + end * END_WORDS + SHAPE] &= ~(MET | OFFERED);
}

/** What `noteVerdict` noted last of packets from this end; 0 at first. */
export function verdictNoted(words: Int32Array, at: number, end: number): number {
  return words[at + end * END_WORDS + SHAPE] >>> NOTE_SHIFT;
}

/** Keeps 20 bits for packets from this end. */
export function noteVerdict(words: Int32Array, at: number, end: number, note: number): void {
  const shape = at + end * END_WORDS + SHAPE;
  words[shape] = (words[shape] & SHAPE_MASK) | (note << NOTE_SHIFT);
}

/** At least the largest window that an end has offered. */
function largest(shape: number): number {
  return 2 ** ((shape & LARGEST_MASK) >>> LARGEST_SHIFT);
}

/** The scale that a SYN offers for its sender's windows (RFC 7323 §2.2), 0 without. Options that run over their end stop it. */
function scaleOffered(bytes: Uint8Array, header: number): number {
  const end = header + ((bytes[header + 12] >>> 4) << 2);
  for (let at = header + 20; at + 2 < end && at + 2 < bytes.length;) {
    const kind = bytes[at];
    if (kind === OPTION.end) return 0;
    if (kind === OPTION.windowScale) return Math.min(bytes[at + 2], SCALE_MAX);
    at += kind === OPTION.nothing ? 1 : Math.max(2, bytes[at + 1]);
  }
  return 0;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
