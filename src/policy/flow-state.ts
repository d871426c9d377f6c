import { PROTOCOL, TCP_FLAG, type Packet } from '../wire/packet.ts';

/**
 * What a flow has come to, in the low bits of a word: its kind, which end began it, and what was seen since. Bits are
 * only ever added, so that two threads can add theirs in any order. The time-outs follow from them.
 */

/** Idle seconds until a tracked flow is forgotten; those that AWS publishes are AWS's. */
export const IDLE_SECONDS = {
  tcpOpening: 60,
  /** Where nothing else is configured. */
  tcpEstablished: 432_000,
  tcpClosing: 30,
  udp: 30,
  /** UDP with more than one request and response. */
  udpStream: 180,
  icmp: 30,
  other: 600,
  /** From the first fragment of a datagram on; later ones don't add to it. */
  fragments: 30,
} as const;

/** The bits a state may use; a flow table keeps the others for itself. */
export const STATE_MASK = 0xfff;

const KIND_MASK = 7;
const TCP = 1;
const UDP = 2;
const ICMP_ECHO = 3;
const OTHER = 4;
const FRAGMENTS = 5;
/** The second end of the key began the flow. */
const BEGUN_BY_SECOND = 1 << 3;
const REPLIED = 1 << 4;
/** The end that began it went on after a reply. */
const WENT_ON = 1 << 5;
/** TCP: the reply was acknowledged. UDP: there was a second reply. */
const ESTABLISHED = 1 << 6;
const FIN_SENT = 1 << 7;
const FIN_RECEIVED = 1 << 8;
const RESET = 1 << 9;
const BOTH_FINS = FIN_SENT | FIN_RECEIVED;

/** A datagram in fragments: the first one passed. */
export const FRAGMENTS_STATE = FRAGMENTS;

/** The state of a flow that `packet` begins; `swapped` as in `FlowKey`. */
export function beginState(packet: Packet, swapped: boolean): number {
  return advanceState(kindOf(packet.protocol) | (swapped ? BEGUN_BY_SECOND : 0), packet, swapped);
}

/** The state after one more packet; equal to `state` if that taught nothing new. */
export function advanceState(state: number, packet: Packet, swapped: boolean): number {
  const forward = swapped === ((state & BEGUN_BY_SECOND) !== 0);
  switch (state & KIND_MASK) {
    case TCP:
      return forward ? sentTcp(state, packet.tcpFlags) : receivedTcp(state, packet.tcpFlags);
    case UDP:
      if (forward) return (state & REPLIED) !== 0 ? state | WENT_ON : state;
      return (state & WENT_ON) !== 0 ? state | REPLIED | ESTABLISHED : state | REPLIED;
    default:
      return forward ? state : state | REPLIED;
  }
}

/**
 * Whether a flow of this state may be forgotten to make room for another, if need be: it has had no answer, or not yet
 * the third step of TCP's opening, or has ended. Whoever floods a gateway makes only such.
 */
export function isDisplaceable(state: number): boolean {
  switch (state & KIND_MASK) {
    case TCP:
      return (state & ESTABLISHED) === 0 || isClosing(state);
    case FRAGMENTS:
      return true;
    default:
      return (state & REPLIED) === 0;
  }
}

/** Whether a TCP connection has ended, so that a SYN with the same addresses and ports begins another. */
export function isClosing(state: number): boolean {
  return (state & RESET) !== 0 || (state & BOTH_FINS) === BOTH_FINS;
}

/** Whether the state is a datagram's in fragments, of which a flow table may forget one to make room for a flow. */
export function isFragments(state: number): boolean {
  return (state & KIND_MASK) === FRAGMENTS;
}

/** How long a flow in this state is remembered without a packet; an established TCP connection, for `tcpEstablished`. */
export function idleSeconds(state: number, tcpEstablished: number): number {
  switch (state & KIND_MASK) {
    case TCP:
      if (isClosing(state)) return IDLE_SECONDS.tcpClosing;
      return (state & ESTABLISHED) !== 0 ? tcpEstablished : IDLE_SECONDS.tcpOpening;
    case UDP:
      return (state & ESTABLISHED) !== 0 ? IDLE_SECONDS.udpStream : IDLE_SECONDS.udp;
    case ICMP_ECHO:
      return IDLE_SECONDS.icmp;
    case FRAGMENTS:
      return IDLE_SECONDS.fragments;
    default:
      return IDLE_SECONDS.other;
  }
}

function sentTcp(state: number, flags: number): number {
  let next = state;
  if ((state & REPLIED) !== 0 && (flags & TCP_FLAG.ack) !== 0) next |= ESTABLISHED;
  if ((flags & TCP_FLAG.fin) !== 0) next |= FIN_SENT;
  if ((flags & TCP_FLAG.rst) !== 0) next |= RESET;
  return next;
}

function receivedTcp(state: number, flags: number): number {
  let next = state | REPLIED;
  if ((flags & TCP_FLAG.fin) !== 0) next |= FIN_RECEIVED;
  if ((flags & TCP_FLAG.rst) !== 0) next |= RESET;
  return next;
}

function kindOf(protocol: number): number {
  switch (protocol) {
    case PROTOCOL.tcp:
      return TCP;
    case PROTOCOL.udp:
      return UDP;
    case PROTOCOL.icmp:
    case PROTOCOL.icmpv6:
      return ICMP_ECHO;
    default:
      return OTHER;
  }
}
