/** Cutting an IPv4 packet that is too big for what comes next, where its sender allows that (RFC 791 §3.2). */
import { addWords, checksumOf, putWord } from './checksum.ts';

const BASE_HEADER = 20;
const MORE_FRAGMENTS = 0x2000;
const DONT_FRAGMENT = 0x4000;
const OFFSET_MASK = 0x1fff;
const OPTION_END = 0;
const OPTION_NOP = 1;
/** Bit of an option's type: it is copied into every fragment. */
const OPTION_COPIED = 0x80;

/** Whether the IPv4 packet at `offset` may be cut. */
export function mayFragment(bytes: Uint8Array, offset: number): boolean {
  return (flagsAt(bytes, offset) & DONT_FRAGMENT) === 0;
}

/**
 * Writes to `out` the fragment of the IPv4 packet at `offset`, `length` bytes long, whose data begins `from` bytes behind
 * the packet's own header, at most `mtu` bytes in all. The packet may be a fragment itself. Returns the fragment's length;
 * the next one's data begins `fragmentData(out)` bytes further, and there is none where that reaches the packet's end.
 */
export function writeFragment(
  out: Uint8Array,
  bytes: Uint8Array,
  offset: number,
  length: number,
  from: number,
  mtu: number,
): number {
  const packetHeader = headerAt(bytes, offset);
  const header = from === 0 ? copyHeader(out, bytes, offset, packetHeader) : copyLaterHeader(out, bytes, offset);
  const left = length - packetHeader - from;
  const room = (mtu - header) & ~7;
  const data = left <= mtu - header ? left : room;
  const start = offset + packetHeader + from;
  for (let at = 0; at < data; at++) out[header + at] = bytes[start + at];
  const flags = flagsAt(bytes, offset);
  const isLast = data === left && (flags & MORE_FRAGMENTS) === 0;
  putWord(out, 2, header + data);
  putWord(out, 6, ((flags & OFFSET_MASK) + (from >>> 3)) | (isLast ? 0 : MORE_FRAGMENTS));
  putWord(out, 10, 0);
  putWord(out, 10, checksumOf(addWords(0, out, 0, header)));
  return header + data;
}

/** Bytes of data in the packet that begins `bytes`. */
export function fragmentData(bytes: Uint8Array): number {
  return ((bytes[2] << 8) | bytes[3]) - headerAt(bytes, 0);
}

function copyHeader(out: Uint8Array, bytes: Uint8Array, offset: number, header: number): number {
  for (let at = 0; at < header; at++) out[at] = bytes[offset + at];
  return header;
}

/** The header of a fragment other than the first: without the options that are not for all of them. */
function copyLaterHeader(out: Uint8Array, bytes: Uint8Array, offset: number): number {
  const end = offset + headerAt(bytes, offset);
  let header = copyHeader(out, bytes, offset, BASE_HEADER);
  for (let at = offset + BASE_HEADER; at < end && bytes[at] !== OPTION_END;) {
    const size = bytes[at] === OPTION_NOP ? 1 : bytes[at + 1];
    if (bytes[at] !== OPTION_NOP && (size < 2 || at + size > end)) break;
    if ((bytes[at] & OPTION_COPIED) !== 0) for (let byte = 0; byte < size; byte++) out[header++] = bytes[at + byte];
    at += size;
  }
  while ((header & 3) !== 0) out[header++] = OPTION_END;
  out[0] = 0x40 | (header >>> 2);
  return header;
}

function headerAt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] & 15) << 2;
}

function flagsAt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset + 6] << 8) | bytes[offset + 7];
}
