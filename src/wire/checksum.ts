/** The Internet checksum (RFC 1071), for the few packets that the gateway writes itself. */

/** Adds the 16-bit words of `length` bytes at `offset` to `sum`; an odd last byte counts as if a zero followed. */
export function addWords(sum: number, bytes: Uint8Array, offset: number, length: number): number {
  const end = offset + length;
  for (let at = offset; at + 1 < end; at += 2) sum += (bytes[at] << 8) | bytes[at + 1];
  return (length & 1) === 1 ? sum + (bytes[end - 1] << 8) : sum;
}

/** The checksum for a sum of words: 16 bits. */
export function checksumOf(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function putWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = (word >>> 8) & 255;
  bytes[at + 1] = word & 255;
}
