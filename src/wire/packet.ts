import { DROP } from './drop.ts';

/**
 * One IP packet, looked at once.
 *
 * `Packet.parse` does every length check; after it has returned true the fields are total and no reader touches the
 * bytes again. One `Packet` is reused for every packet of a thread, so nothing is allocated. All numbers are signed
 * 32-bit (`| 0`), which V8 keeps unboxed.
 *
 * Addresses are four big-endian words; an IPv4 address stands in word 3 with words 0 to 2 zero.
 */

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132, dccp: 33, udplite: 136 } as const;

/** Whether a protocol is the one that was asked for: ICMP stands for that of either family. */
export function isProtocol(asked: number, protocol: number): boolean {
  return asked === protocol || (asked === PROTOCOL.icmp && protocol === PROTOCOL.icmpv6);
}

export const TCP_FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

/** The ICMP types that a flow's state looks at (RFC 792, RFC 4443). */
export const ICMP = { echoReply: 0, unreachable: 3, echo: 8, timeExceeded: 11, parameterProblem: 12 } as const;
export const ICMPV6 = { unreachable: 1, parameterProblem: 4, echo: 128, echoReply: 129 } as const;

/** What part of a datagram the packet holds (RFC 791 §3.2, RFC 8200 §4.5). */
export const FRAGMENT = { whole: 0, first: 1, later: 2 } as const;

/** IPv4 options that lead a packet over other hosts than the one it names (RFC 791 §3.1). */
const LOOSE_SOURCE_ROUTE = 131;
const STRICT_SOURCE_ROUTE = 137;
const OPTIONS_END = 0;
const OPTION_NOP = 1;

const IPV6_HOP_BY_HOP = 0;
const IPV6_ROUTING = 43;
const IPV6_FRAGMENT = 44;
const IPV6_AUTHENTICATION = 51;
const IPV6_DESTINATION = 60;
/** Extension headers looked through before a packet counts as malformed. */
const IPV6_EXTENSIONS_MAX = 8;
/** Bytes of TCP's header without options. */
export const TCP_HEADER = 20;
/** Bytes of the longest IP packet. */
export const MAX_PACKET = 65535;
/** Where a fragment begins that holds TCP's flags but not its ports: no sender makes one, an attacker does. */
const TCP_FLAGS_FRAGMENT = 8;
/** What an ICMP error is sure to quote of the upper-layer header (RFC 792): enough for the ports. */
const QUOTED_UPPER = 8;
/** No datagram is longer once it is put together. */
const DATAGRAM_MAX = 65_535;

export class Packet {
  /** 4 or 6. */
  version = 0;
  /** Bytes of the IP packet by its own header; never more than were given. */
  length = 0;
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  /** The upper-layer protocol, behind any IPv6 extension headers. */
  protocol = 0;
  /** Offset of the upper-layer header from the packet's first byte. */
  upperOffset = 0;
  /** Ports of TCP, UDP, UDP-Lite, SCTP and DCCP; 0 for other protocols and for a later fragment. */
  srcPort = 0;
  dstPort = 0;
  /** `TCP_FLAG` bits; 0 unless TCP. */
  tcpFlags = 0;
  /** ICMP and ICMPv6; -1 for other protocols and for a later fragment. */
  icmpType = -1;
  icmpCode = -1;
  /** Identifier of an ICMP echo (request or reply), else 0. */
  icmpId = 0;
  /** A `FRAGMENT`. */
  fragment = 0;
  /** Identification, meaningful unless `fragment` is whole. */
  fragmentId = 0;
  /** Where a fragment's data belong among those of its datagram, in bytes; 0 unless `fragment` is later. */
  fragmentOffset = 0;
  /** How many bytes of those data a fragment holds. */
  fragmentSize = 0;
  /**
   * 1 if the packet has a source route: its destination is then not who it is for in the end, or was not at the start. IPv4
   * options, or an IPv6 routing header with segments left (RFC 8200 §4.4, RFC 5095).
   */
  sourceRouted = 0;
  /** The `DROP` number of what made the last parse fail; 0 if nothing did. */
  fault = 0;

  /**
   * Reads the packet at `offset`; at most `available` bytes are there.
   * False, with the reason in `fault`: too short for its headers, a length that isn't there, not IP, options that can't be
   * read, extension headers without end, a fragment of a fragment, a first fragment that leaves a part of the upper-layer header to the next (RFC 1858 §3), or a later one
   * that begins within TCP's header (RFC 3128).
   * A super-packet from the TUN (GSO) parses as the one packet that it looks like.
   */
  parse(bytes: Uint8Array, offset: number, available: number): boolean {
    return this.#parse(bytes, offset, available, false);
  }

  /**
   * Reads what an ICMP error quotes of the packet it is about, which may be cut after 8 bytes of the upper-layer
   * header: `length` is then what there is, and `tcpFlags` stays 0.
   */
  parseQuoted(bytes: Uint8Array, offset: number, available: number): boolean {
    return this.#parse(bytes, offset, available, true);
  }

  #parse(bytes: Uint8Array, offset: number, available: number, quoted: boolean): boolean {
    this.fault = DROP['malformed-packet'];
    if (available < 20) return false;
    this.srcPort = 0;
    this.dstPort = 0;
    this.tcpFlags = 0;
    this.icmpType = -1;
    this.icmpCode = -1;
    this.icmpId = 0;
    this.fragment = FRAGMENT.whole;
    this.fragmentId = 0;
    this.fragmentOffset = 0;
    this.fragmentSize = 0;
    this.sourceRouted = 0;
    this.version = bytes[offset] >>> 4;
    const isWhole =
      this.version === 4
        ? this.#parseIpv4(bytes, offset, available, quoted)
        : this.version === 6 && this.#parseIpv6(bytes, offset, available, quoted);
    if (isWhole) this.fault = 0;
    return isWhole;
  }

  #parseIpv4(bytes: Uint8Array, offset: number, available: number, quoted: boolean): boolean {
    const headerLength = (bytes[offset] & 15) << 2;
    let length = u16(bytes, offset + 2);
    if (quoted && length > available) length = available;
    if (headerLength < 20 || length < headerLength || length > available) return false;
    this.length = length;
    this.src0 = this.src1 = this.src2 = 0;
    this.dst0 = this.dst1 = this.dst2 = 0;
    this.src3 = u32(bytes, offset + 12);
    this.dst3 = u32(bytes, offset + 16);
    this.protocol = bytes[offset + 9];
    this.upperOffset = headerLength;
    if (headerLength > 20 && !quoted && !this.#parseOptions(bytes, offset + 20, offset + headerLength)) return false;
    const fragmentWord = u16(bytes, offset + 6);
    if ((fragmentWord & 0x3fff) !== 0) {
      this.fragment = (fragmentWord & 0x1fff) === 0 ? FRAGMENT.first : FRAGMENT.later;
      this.fragmentId = u16(bytes, offset + 4);
      this.fragmentSize = length - headerLength;
      if (this.fragment === FRAGMENT.later) return this.#parseLater((fragmentWord & 0x1fff) << 3);
    }
    return this.#parseUpper(bytes, offset + headerLength, length - headerLength, quoted);
  }

  #parseOptions(bytes: Uint8Array, from: number, end: number): boolean {
    for (let at = from; at < end && bytes[at] !== OPTIONS_END;) {
      const type = bytes[at];
      if (type === LOOSE_SOURCE_ROUTE || type === STRICT_SOURCE_ROUTE) this.sourceRouted = 1;
      const size = type === OPTION_NOP ? 1 : at + 1 < end ? bytes[at + 1] : 0;
      if (size === 0 || (size === 1 && type !== OPTION_NOP) || at + size > end) return false;
      at += size;
    }
    return true;
  }

  #parseIpv6(bytes: Uint8Array, offset: number, available: number, quoted: boolean): boolean {
    if (available < 40) return false;
    let length = 40 + u16(bytes, offset + 4);
    if (quoted && length > available) length = available;
    if (length > available) return false;
    this.length = length;
    this.src0 = u32(bytes, offset + 8);
    this.src1 = u32(bytes, offset + 12);
    this.src2 = u32(bytes, offset + 16);
    this.src3 = u32(bytes, offset + 20);
    this.dst0 = u32(bytes, offset + 24);
    this.dst1 = u32(bytes, offset + 28);
    this.dst2 = u32(bytes, offset + 32);
    this.dst3 = u32(bytes, offset + 36);
    let next = bytes[offset + 6];
    let at = 40;
    let isFragment = false;
    for (let extensions = 0; extensions <= IPV6_EXTENSIONS_MAX; extensions++) {
      switch (next) {
        case IPV6_HOP_BY_HOP:
        case IPV6_ROUTING:
        case IPV6_DESTINATION:
        case IPV6_AUTHENTICATION: {
          if (at + 8 > length) return false;
          if (next === IPV6_ROUTING && bytes[offset + at + 3] !== 0) this.sourceRouted = 1;
          const size = bytes[offset + at + 1];
          const step = next === IPV6_AUTHENTICATION ? (size + 2) << 2 : (size + 1) << 3;
          next = bytes[offset + at];
          at += step;
          if (at > length) return false;
          break;
        }
        case IPV6_FRAGMENT: {
          if (at + 8 > length || isFragment) return false;
          isFragment = true;
          const fragmentWord = u16(bytes, offset + at + 2);
          next = bytes[offset + at];
          if ((fragmentWord & 0xfff9) !== 0) {
            this.fragment = fragmentWord >>> 3 === 0 ? FRAGMENT.first : FRAGMENT.later;
            this.fragmentId = u32(bytes, offset + at + 4);
          }
          at += 8;
          this.fragmentSize = length - at;
          if (this.fragment === FRAGMENT.later) {
            this.protocol = next;
            this.upperOffset = at;
            return this.#parseLater(fragmentWord & 0xfff8);
          }
          break;
        }
        default:
          this.protocol = next;
          this.upperOffset = at;
          return this.#parseUpper(bytes, offset + at, length - at, quoted);
      }
    }
    return false;
  }

  #parseLater(offset: number): boolean {
    this.fragmentOffset = offset;
    if (offset + this.fragmentSize > DATAGRAM_MAX) return false;
    if (this.protocol !== PROTOCOL.tcp || offset !== TCP_FLAGS_FRAGMENT) return true;
    this.fault = DROP['fragment-tiny'];
    return false;
  }

  #parseUpper(bytes: Uint8Array, at: number, available: number, quoted: boolean): boolean {
    switch (this.protocol) {
      case PROTOCOL.tcp:
        if (available < (quoted ? QUOTED_UPPER : TCP_HEADER)) return this.#tooShort();
        if (!quoted) this.tcpFlags = bytes[at + 13];
        break;
      case PROTOCOL.udp:
      case PROTOCOL.udplite:
        if (available < 8) return this.#tooShort();
        break;
      case PROTOCOL.sctp:
      case PROTOCOL.dccp:
        if (available < (quoted ? QUOTED_UPPER : 12)) return this.#tooShort();
        break;
      case PROTOCOL.icmp:
      case PROTOCOL.icmpv6:
        if (available < 8) return this.#tooShort();
        this.icmpType = bytes[at];
        this.icmpCode = bytes[at + 1];
        if (isEcho(this.protocol, this.icmpType)) this.icmpId = u16(bytes, at + 4);
        return true;
      default:
        return true;
    }
    this.srcPort = u16(bytes, at);
    this.dstPort = u16(bytes, at + 2);
    return true;
  }

  #tooShort(): false {
    if (this.fragment === FRAGMENT.first) this.fault = DROP['fragment-tiny'];
    return false;
  }
}

function isEcho(protocol: number, type: number): boolean {
  return protocol === PROTOCOL.icmp
    ? type === ICMP.echo || type === ICMP.echoReply
    : type === ICMPV6.echo || type === ICMPV6.echoReply;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

/** Bytes of the IP packet inside `available` bytes of plaintext, the rest being padding; 0 if there is none. */
export function innerLength(slab: Uint8Array, offset: number, available: number): number {
  if (available < 20) return 0;
  const version = slab[offset] >>> 4;
  const length =
    version === 4
      ? (slab[offset + 2] << 8) | slab[offset + 3]
      : version === 6
        ? 40 + ((slab[offset + 4] << 8) | slab[offset + 5])
        : 0;
  return length >= 20 && length <= available ? length : 0;
}
