/** TCP's maximum segment size, lowered where a connection begins, so that no segment is ever too big for the tunnel. */
import { PROTOCOL, TCP_FLAG, TCP_HEADER } from './packet.ts';
import type { Packet } from './packet.ts';

const TCP_CHECKSUM = 16;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_MSS_SIZE = 4;
/** IPv4 or IPv6 header and TCP header, without options (RFC 9293 §3.7.1). */
const HEADERS_4 = 40;
const HEADERS_6 = 60;

/**
 * Lowers the MSS option (RFC 9293 §3.7.1) of a SYN, parsed at `offset`, to what a tunnel of this MTU carries, and mends the
 * checksum (RFC 1624). Other packets, and a SYN that asks for less, stay as they are.
 */
export function clampMss(packet: Packet, bytes: Uint8Array, offset: number, mtu: number): void {
  if (packet.protocol !== PROTOCOL.tcp || (packet.tcpFlags & TCP_FLAG.syn) === 0) return;
  const tcp = offset + packet.upperOffset;
  const end = Math.min(tcp + ((bytes[tcp + 12] >>> 4) << 2), offset + packet.length);
  const limit = mtu - (packet.version === 4 ? HEADERS_4 : HEADERS_6);
  for (let at = tcp + TCP_HEADER; at < end && bytes[at] !== OPTION_END;) {
    if (bytes[at] === OPTION_NOP) {
      at++;
      continue;
    }
    const size = bytes[at + 1];
    if (size < 2 || at + size > end) return;
    if (bytes[at] === OPTION_MSS && size === OPTION_MSS_SIZE) return lower(bytes, tcp, at + 2, limit);
    at += size;
  }
}

function lower(bytes: Uint8Array, tcp: number, at: number, limit: number): void {
  const before = (bytes[at] << 8) | bytes[at + 1];
  if (before <= limit) return;
  bytes[at] = limit >>> 8;
  bytes[at + 1] = limit & 255;
  // Behind an odd number of option bytes the field straddles two words of the sum, which then counts it byte-swapped.
  const swapped = ((at - tcp) & 1) === 1;
  const [old, now] = swapped ? [swap(before), swap(limit)] : [before, limit];
  const checksum = tcp + TCP_CHECKSUM;
  let sum = (~((bytes[checksum] << 8) | bytes[checksum + 1]) & 0xffff) + (~old & 0xffff) + now;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  bytes[checksum] = (~sum >>> 8) & 255;
  bytes[checksum + 1] = ~sum & 255;
}

function swap(word: number): number {
  return ((word & 255) << 8) | (word >>> 8);
}
