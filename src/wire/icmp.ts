/**
 * What a router tells the sender of a packet that it could not forward: ICMP errors (RFC 792, RFC 1812 §4.3; RFC 4443 for
 * IPv6), and how many of them it may send.
 */
import { putWord } from './checksum.ts';
import { IPV4_HEADER, IPV6_HEADER, sumIcmp, writeIcmpHeader } from './ip-header.ts';
import { FRAGMENT, ICMP, ICMPV6, PROTOCOL } from './packet.ts';
import type { Packet } from './packet.ts';

/** The errors that are told. */
export const ICMP_ERROR = { timeExceeded: 0, noRoute: 1, tooBig: 2 } as const;

/** Type and code of each, by number. */
const IPV4_ERRORS = [
  [ICMP.timeExceeded, 0],
  [ICMP.unreachable, 0],
  [ICMP.unreachable, 4],
] as const;
const IPV6_ERRORS = [
  [3, 0],
  [ICMPV6.unreachable, 0],
  [2, 0],
] as const;

/** An error is no longer than this: as much of the packet is quoted as then fits (RFC 1812 §4.3.2.3, RFC 4443 §3). */
const IPV4_MAX = 576;
const IPV6_MAX = 1280;

const ICMP_HEADER = 8;
/** ICMPv4 types that tell of an error, source quench and redirect among them. */
const IPV4_ERROR_TYPES: readonly number[] = [ICMP.unreachable, 4, 5, ICMP.timeExceeded, ICMP.parameterProblem];
/** ICMPv6: types below tell of an error, and a redirect is not answered either. */
const IPV6_FIRST_INFORMATION = 128;
const IPV6_REDIRECT = 137;

/** The addresses that errors are sent from, as `Packet` has addresses; four zero words where there is none. */
export interface GatewayAddresses {
  readonly ipv4: Int32Array;
  readonly ipv6: Int32Array;
}

/**
 * Whether the packet's sender may be told of an error: never about an ICMP error, a fragment other than the first, or a
 * packet from or to an address that is not one host's (RFC 1812 §4.3.2.7, RFC 4443 §2.4).
 */
export function mayBeAnswered(packet: Packet): boolean {
  if (packet.fragment === FRAGMENT.later) return false;
  if (packet.version === 4) {
    const isError = packet.protocol === PROTOCOL.icmp && IPV4_ERROR_TYPES.includes(packet.icmpType);
    return !isError && isIpv4Host(packet.src3) && packet.dst3 >>> 28 < 14;
  }
  const isError =
    packet.protocol === PROTOCOL.icmpv6 &&
    (packet.icmpType < IPV6_FIRST_INFORMATION || packet.icmpType === IPV6_REDIRECT);
  return !isError && isIpv6Host(packet) && packet.dst0 >>> 24 !== 0xff;
}

/** Neither in 0.0.0.0/8 nor loopback, multicast, reserved or broadcast. */
function isIpv4Host(word: number): boolean {
  const first = word >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** Neither unspecified nor loopback nor multicast. */
function isIpv6Host(packet: Packet): boolean {
  if (packet.src0 >>> 24 === 0xff) return false;
  return (packet.src0 | packet.src1 | packet.src2) !== 0 || packet.src3 >>> 1 !== 0;
}

/**
 * Writes to `out` the ICMP error `error` (an `ICMP_ERROR`) about the packet parsed at `offset` of `bytes`, to its sender.
 * `mtu`: what would have fit, told by `tooBig`. Returns the bytes written, or 0 if there is no address to send it from.
 */
export function writeIcmpError(
  out: Uint8Array,
  error: number,
  packet: Packet,
  bytes: Uint8Array,
  offset: number,
  from: GatewayAddresses,
  mtu: number,
): number {
  const ipv4 = packet.version === 4;
  const own = ipv4 ? from.ipv4 : from.ipv6;
  if ((own[0] | own[1] | own[2] | own[3]) === 0) return 0;
  const header = ipv4 ? IPV4_HEADER : IPV6_HEADER;
  const quoted = Math.min(packet.length, (ipv4 ? IPV4_MAX : IPV6_MAX) - header - ICMP_HEADER);
  const body = ICMP_HEADER + quoted;
  const [type, code] = (ipv4 ? IPV4_ERRORS : IPV6_ERRORS)[error];
  out.fill(0, header, header + ICMP_HEADER);
  for (let at = 0; at < quoted; at++) out[header + ICMP_HEADER + at] = bytes[offset + at];
  out[header] = type;
  out[header + 1] = code;
  if (error === ICMP_ERROR.tooBig) putWord(out, header + 6, mtu);
  writeIcmpHeader(out, packet.version, body, own, packet.src0, packet.src1, packet.src2, packet.src3);
  sumIcmp(out, packet.version, body);
  return header + body;
}

/** Errors a second that one peer is told of at most, and how many at once (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f). */
const RATE = 100;
const BURST = 50;

/** A token bucket for each peer, so that none uses up what is another's. Touched memory grows with the peers that use it. */
export class AnswerLimiter {
  readonly #tokens: Float64Array;
  readonly #filledAt: Float64Array;

  constructor(peers: number) {
    this.#tokens = new Float64Array(peers);
    this.#filledAt = new Float64Array(peers).fill(-Infinity);
  }

  /** Whether an error may be sent to the peer at `now` (ms), which is then counted. */
  take(slot: number, now: number): boolean {
    const filled = this.#tokens[slot] + ((now - this.#filledAt[slot]) * RATE) / 1000;
    const tokens = filled < BURST ? filled : BURST;
    this.#filledAt[slot] = now;
    this.#tokens[slot] = tokens < 1 ? tokens : tokens - 1;
    return tokens >= 1;
  }
}
