/**
 * What gateways say to each other inside a tunnel, about the peering itself: UDP (RFC 768) over IPv6, from and to one
 * link-local address that no host has. Which gateway it is from is known by the session that it came in; it needs no route,
 * and never reaches the TUN.
 */
import { addWords, checksumOf, putWord } from './checksum.ts';
import { IPV6_HEADER } from './ip-header.ts';
import { FRAGMENT, PROTOCOL } from './packet.ts';
import type { Packet } from './packet.ts';

// fe80::6973:7468:6d75:7321, as bytes "isthmus!".
const WORD_0 = 0xfe800000 | 0;
const WORD_1 = 0;
const WORD_2 = 0x69737468;
const WORD_3 = 0x6d757321;
const PORT = 0x6973;

const UDP_HEADER = 8;
const SOURCE = 8;
const DESTINATION = 24;
/** It goes to the next gateway and no further (RFC 5082). */
const HOP_LIMIT = 255;

/** The packet that holds these bytes. */
export function writeControl(payload: Uint8Array): Uint8Array {
  const length = UDP_HEADER + payload.length;
  const bytes = new Uint8Array(IPV6_HEADER + length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, length);
  bytes[6] = PROTOCOL.udp;
  bytes[7] = HOP_LIMIT;
  for (const at of [SOURCE, DESTINATION]) {
    for (const [index, word] of [WORD_0, WORD_1, WORD_2, WORD_3].entries()) view.setInt32(at + 4 * index, word);
  }
  view.setUint16(IPV6_HEADER, PORT);
  view.setUint16(IPV6_HEADER + 2, PORT);
  view.setUint16(IPV6_HEADER + 4, length);
  bytes.set(payload, IPV6_HEADER + UDP_HEADER);
  const pseudo = addWords(length + PROTOCOL.udp, bytes, SOURCE, DESTINATION + 16 - SOURCE);
  // A sum of 0 is written as its complement: 0 would say that there is none (RFC 8200 §8.1).
  putWord(bytes, IPV6_HEADER + 6, checksumOf(addWords(pseudo, bytes, IPV6_HEADER, length)) || 0xffff);
  return bytes;
}

/** Whether the packet, parsed, is one of those. Hot path: of other packets one word is compared, or few. */
export function isControl(packet: Packet): boolean {
  return (
    packet.dst0 === WORD_0 &&
    packet.dst3 === WORD_3 &&
    packet.dst2 === WORD_2 &&
    packet.dst1 === WORD_1 &&
    packet.src0 === WORD_0 &&
    packet.src1 === WORD_1 &&
    packet.src2 === WORD_2 &&
    packet.src3 === WORD_3 &&
    packet.protocol === PROTOCOL.udp &&
    packet.dstPort === PORT &&
    packet.fragment === FRAGMENT.whole
  );
}

/** The bytes in what `isControl` knows, parsed at `offset`; a copy. The tunnel has authenticated them already. */
export function controlPayload(packet: Packet, bytes: Uint8Array, offset: number): Uint8Array {
  return bytes.slice(offset + packet.upperOffset + UDP_HEADER, offset + packet.length);
}
