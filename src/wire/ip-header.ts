/** The IP header and the ICMP checksum of the few packets that the gateway writes itself. */
import { addWords, checksumOf, putWord } from './checksum.ts';
import { PROTOCOL } from './packet.ts';

export const IPV4_HEADER = 20;
export const IPV6_HEADER = 40;
const HOPS = 64;

/** Where one end is: four big-endian words, IPv4 in word 3, as in `Packet`. */
export type HeaderAddress = Readonly<ArrayLike<number>>;

/**
 * Writes the header of an ICMP packet, or of ICMPv6, with `body` bytes behind it, from `source` to the address of the other
 * four words (of IPv4 the last). Returns its length.
 */
export function writeIcmpHeader(
  out: Uint8Array,
  version: number,
  body: number,
  source: HeaderAddress,
  d0: number,
  d1: number,
  d2: number,
  d3: number,
): number {
  if (version === 4) {
    out.fill(0, 0, IPV4_HEADER);
    out[0] = 0x45;
    putWord(out, 2, IPV4_HEADER + body);
    out[8] = HOPS;
    out[9] = PROTOCOL.icmp;
    putLong(out, 12, source[3]);
    putLong(out, 16, d3);
    putWord(out, 10, checksumOf(addWords(0, out, 0, IPV4_HEADER)));
    return IPV4_HEADER;
  }
  out.fill(0, 0, IPV6_HEADER);
  out[0] = 0x60;
  putWord(out, 4, body);
  out[6] = PROTOCOL.icmpv6;
  out[7] = HOPS;
  for (let word = 0; word < 4; word++) putLong(out, 8 + 4 * word, source[word]);
  putLong(out, 24, d0);
  putLong(out, 28, d1);
  putLong(out, 32, d2);
  putLong(out, 36, d3);
  return IPV6_HEADER;
}

/** Sets the checksum of the ICMP message of `length` bytes behind a header as `writeIcmpHeader` makes it. */
export function sumIcmp(out: Uint8Array, version: number, length: number): void {
  const at = version === 4 ? IPV4_HEADER : IPV6_HEADER;
  putWord(out, at + 2, 0);
  // ICMPv6 has a pseudo-header: both addresses, the length, the protocol (RFC 8200 §8.1).
  const pseudo = version === 4 ? 0 : addWords(length + PROTOCOL.icmpv6, out, 8, 32);
  putWord(out, at + 2, checksumOf(addWords(pseudo, out, at, length)));
}

function putLong(out: Uint8Array, at: number, word: number): void {
  putWord(out, at, word >>> 16);
  putWord(out, at + 2, word);
}
