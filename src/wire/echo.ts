/**
 * Probes of a path: ICMP echoes (RFC 792, RFC 4443 §4) of one size, told from all others by their identifier and by what
 * they carry. Any host answers one; a gateway of ours knows it and answers it on the path that it came by.
 */
import { addWords, checksumOf, putWord } from './checksum.ts';
import { FRAGMENT, ICMP, ICMPV6, PROTOCOL } from './packet.ts';
import type { Packet } from './packet.ts';

/** One end of a probe: four big-endian words, IPv4 in word 3, as in `Packet`. */
export type ProbeAddress = readonly [number, number, number, number];

/** What `probeKind` finds. */
export const PROBE = { none: 0, request: 1, answer: 2 } as const;

const PROBE_ID = 0x6973;
const MAGIC_HI = 0x69737468; // "isth"
const MAGIC_LO = 0x6d757321; // "mus!"
const HOP_LIMIT = 64;
/** Echo header, magic, token. */
const UPPER = 8 + 8 + 4;
const SEQUENCE = 6;
const MAGIC = 8;
const TOKEN = 16;
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/**
 * A probe from `source` to `destination`. `sequence` is 16 bits; `token`, an int32, is for the asker to know the answers
 * to its own questions by.
 */
export function writeProbe(
  family: 4 | 6,
  source: ProbeAddress,
  destination: ProbeAddress,
  sequence: number,
  token: number,
): Uint8Array {
  const header = family === 4 ? IPV4_HEADER : IPV6_HEADER;
  const bytes = new Uint8Array(header + UPPER);
  const view = new DataView(bytes.buffer);
  if (family === 4) {
    bytes[0] = 0x45;
    view.setUint16(2, bytes.length);
    bytes[8] = HOP_LIMIT;
    bytes[9] = PROTOCOL.icmp;
    view.setInt32(12, source[3]);
    view.setInt32(16, destination[3]);
    view.setUint16(10, checksumOf(addWords(0, bytes, 0, IPV4_HEADER)));
  } else {
    bytes[0] = 0x60;
    view.setUint16(4, UPPER);
    bytes[6] = PROTOCOL.icmpv6;
    bytes[7] = HOP_LIMIT;
    for (let word = 0; word < 4; word++) {
      view.setInt32(8 + 4 * word, source[word]);
      view.setInt32(24 + 4 * word, destination[word]);
    }
  }
  bytes[header] = family === 4 ? ICMP.echo : ICMPV6.echo;
  view.setUint16(header + 4, PROBE_ID);
  view.setUint16(header + SEQUENCE, sequence & 0xffff);
  view.setInt32(header + MAGIC, MAGIC_HI);
  view.setInt32(header + MAGIC + 4, MAGIC_LO);
  view.setInt32(header + TOKEN, token);
  sumEcho(bytes, family, header);
  return bytes;
}

/** Whether the packet, parsed at `offset`, is a probe or the answer to one: a `PROBE`. Hot path. */
export function probeKind(packet: Packet, bytes: Uint8Array, offset: number): number {
  if (packet.icmpId !== PROBE_ID || packet.fragment !== FRAGMENT.whole) return PROBE.none;
  const at = offset + packet.upperOffset;
  const header = packet.version === 4 ? IPV4_HEADER : IPV6_HEADER;
  if (packet.upperOffset !== header || packet.length !== header + UPPER) return PROBE.none;
  if (int32(bytes, at + MAGIC) !== MAGIC_HI || int32(bytes, at + MAGIC + 4) !== MAGIC_LO) return PROBE.none;
  return packet.icmpType === (packet.version === 4 ? ICMP.echo : ICMPV6.echo) ? PROBE.request : PROBE.answer;
}

/** The sequence number of what `probeKind` knows. */
export function probeSequence(packet: Packet, bytes: Uint8Array, offset: number): number {
  const at = offset + packet.upperOffset + SEQUENCE;
  return (bytes[at] << 8) | bytes[at + 1];
}

/** The token of what `probeKind` knows. */
export function probeToken(packet: Packet, bytes: Uint8Array, offset: number): number {
  return int32(bytes, offset + packet.upperOffset + TOKEN);
}

/** The answer to a probe that was parsed at `offset`, as a packet of its own. */
export function answerProbe(packet: Packet, bytes: Uint8Array, offset: number): Uint8Array {
  const family = packet.version === 4 ? 4 : 6;
  const { src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = packet;
  const sequence = probeSequence(packet, bytes, offset);
  const token = probeToken(packet, bytes, offset);
  const answer = writeProbe(family, [dst0, dst1, dst2, dst3], [src0, src1, src2, src3], sequence, token);
  answer[packet.upperOffset] = family === 4 ? ICMP.echoReply : ICMPV6.echoReply;
  sumEcho(answer, family, packet.upperOffset);
  return answer;
}

/** Sets the checksum of the echo at `at`, ICMPv6's over a pseudo-header too (RFC 8200 §8.1). */
function sumEcho(bytes: Uint8Array, family: 4 | 6, at: number): void {
  putWord(bytes, at + 2, 0);
  const pseudo = family === 6 ? addWords(UPPER + PROTOCOL.icmpv6, bytes, 8, IPV6_HEADER - 8) : 0;
  putWord(bytes, at + 2, checksumOf(addWords(pseudo, bytes, at, UPPER)));
}

function int32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
