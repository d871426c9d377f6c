import { FRAGMENT, ICMP, ICMPV6, PROTOCOL, type Packet } from '../wire/packet.ts';

/**
 * What a flow is known by, made from a packet of either of its directions: the two ends are put in order, so that a
 * packet and its reply give the same words. One `FlowKey` is reused for all packets of a thread.
 */

/**
 * Words of a key: what kind of flow, the peer, the ports of both ends, then both addresses, word 3 of each first. Of an
 * IPv4 key only the first six mean anything, which word 0 tells.
 */
export const KEY_WORDS = 12;
export const KEY_PEER = 1;
const KEY_WORDS_IPV4 = 6;

// Word 0: the protocol in its low 8 bits, then
const IPV6 = 1 << 8;
/** … the direction, IN or OUT, of what goes from the first end to the second: no end is met on both sides, … */
const DIRECTION_SHIFT = 9;
/** … and whether this is a datagram in fragments. */
const FRAGMENTS = 1 << 10;

/** Stand in for the port of an end that has none; no real port, so that neither is taken for the other end's. */
const ECHO_PORT = 0x10000;
const FRAGMENT_PORT = 0x20000;

/** How many words of a key count. */
export function keyLength(words: Int32Array): number {
  return (words[0] & IPV6) === 0 ? KEY_WORDS_IPV4 : KEY_WORDS;
}

export class FlowKey {
  readonly words = new Int32Array(KEY_WORDS);
  /** How many of the words count. */
  length = 0;
  /** Whether the packet goes from the second end to the first. */
  swapped = false;

  /**
   * The flow that a packet belongs to, going to or coming from `peer` in `direction`. A later fragment is known by its
   * datagram instead. False for ICMP that isn't an echo: it has no flow of its own.
   */
  aim(packet: Packet, peer: number, direction: number): boolean {
    if (packet.fragment === FRAGMENT.later) {
      this.aimFragments(packet, peer, direction);
      return true;
    }
    const protocol = packet.protocol;
    if (protocol !== PROTOCOL.icmp && protocol !== PROTOCOL.icmpv6) {
      this.#set(packet, peer, direction, protocol, packet.srcPort, packet.dstPort);
      return true;
    }
    // The end that asks has the identifier: an allowed echo lets replies pass, not echoes the other way.
    if (isEchoRequest(packet)) this.#set(packet, peer, direction, protocol, packet.icmpId, ECHO_PORT);
    else if (isEchoReply(packet)) this.#set(packet, peer, direction, protocol, ECHO_PORT, packet.icmpId);
    else return false;
    return true;
  }

  /**
   * The datagram that a fragment is part of (RFC 791 §3.2; RFC 8200 §4.5, where the protocol is not in each fragment).
   */
  aimFragments(packet: Packet, peer: number, direction: number): void {
    const protocol = packet.version === 4 ? packet.protocol : 0;
    this.#set(packet, peer, direction, FRAGMENTS | protocol, packet.fragmentId, FRAGMENT_PORT);
  }

  #set(packet: Packet, peer: number, direction: number, kind: number, srcPort: number, dstPort: number): void {
    const words = this.words;
    const swapped = sourceIsSecond(packet, srcPort, dstPort);
    this.swapped = swapped;
    const firstToSecond = swapped ? direction ^ 1 : direction;
    words[0] = kind | (firstToSecond << DIRECTION_SHIFT);
    words[KEY_PEER] = peer;
    const source = swapped ? 1 : 0;
    const destination = source ^ 1;
    words[2 + source] = srcPort;
    words[2 + destination] = dstPort;
    words[4 + source] = packet.src3;
    words[4 + destination] = packet.dst3;
    this.length = KEY_WORDS_IPV4;
    if (packet.version === 4) return;
    words[0] |= IPV6;
    words[6 + source] = packet.src2;
    words[6 + destination] = packet.dst2;
    words[8 + source] = packet.src1;
    words[8 + destination] = packet.dst1;
    words[10 + source] = packet.src0;
    words[10 + destination] = packet.dst0;
    this.length = KEY_WORDS;
  }
}

export function isEchoRequest(packet: Packet): boolean {
  return packet.protocol === PROTOCOL.icmp
    ? packet.icmpType === ICMP.echo
    : packet.protocol === PROTOCOL.icmpv6 && packet.icmpType === ICMPV6.echo;
}

function isEchoReply(packet: Packet): boolean {
  return packet.protocol === PROTOCOL.icmp
    ? packet.icmpType === ICMP.echoReply
    : packet.protocol === PROTOCOL.icmpv6 && packet.icmpType === ICMPV6.echoReply;
}

/** Any total order will do; word 3 decides nearly always. */
function sourceIsSecond(packet: Packet, srcPort: number, dstPort: number): boolean {
  if (packet.src3 !== packet.dst3) return packet.src3 > packet.dst3;
  if (packet.src2 !== packet.dst2) return packet.src2 > packet.dst2;
  if (packet.src1 !== packet.dst1) return packet.src1 > packet.dst1;
  if (packet.src0 !== packet.dst0) return packet.src0 > packet.dst0;
  return srcPort > dstPort;
}
