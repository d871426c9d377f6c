/**
 * Probes of a path: ICMP echoes (RFC 792, RFC 4443 §4) of one size, told from all others by their identifier and by what
 * they carry. Any host answers one; a gateway of ours knows it and answers it on the path that it came by.
 */
import { IPV4_HEADER, IPV6_HEADER, sumIcmp, writeIcmpHeader } from './ip-header.ts';
import { FRAGMENT, ICMP, ICMPV6 } from './packet.ts';
import type { Packet } from './packet.ts';

/** One end of a probe: four big-endian words, IPv4 in word 3, as in `Packet`. */
export type ProbeAddress = readonly [number, number, number, number];

/** What `probeKind` finds. */
export const PROBE = { none: 0, request: 1, answer: 2 } as const;

const PROBE_ID = 0x6973;
const MAGIC_HI = 0x69737468; // "isth"
const MAGIC_LO = 0x6d757321; // "mus!"
/** Echo header, magic, token. */
const UPPER = 8 + 8 + 4;
const SEQUENCE = 6;
const MAGIC = 8;
const TOKEN = 16;

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
  const bytes = new Uint8Array((family === 4 ? IPV4_HEADER : IPV6_HEADER) + UPPER);
  const view = new DataView(bytes.buffer);
  const header = writeIcmpHeader(bytes, family, UPPER, source, ...destination);
  bytes[header] = family === 4 ? ICMP.echo : ICMPV6.echo;
  view.setUint16(header + 4, PROBE_ID);
  view.setUint16(header + SEQUENCE, sequence & 0xffff);
  view.setInt32(header + MAGIC, MAGIC_HI);
  view.setInt32(header + MAGIC + 4, MAGIC_LO);
  view.setInt32(header + TOKEN, token);
  sumIcmp(bytes, family, UPPER);
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
  sumIcmp(answer, family, UPPER);
  return answer;
}

function int32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
