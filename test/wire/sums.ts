/** The ones' complement sum of 16-bit words, folded: 0xffff over what holds its own right checksum (RFC 1071). */
export function onesSum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at] << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Writes the checksum of an IPv4 header. */
export function withHeaderSum(packet: Uint8Array): Uint8Array {
  const header = (packet[0] & 15) * 4;
  const copy = packet.slice();
  copy[10] = copy[11] = 0;
  const sum = ~onesSum(copy.subarray(0, header)) & 0xffff;
  copy[10] = sum >>> 8;
  copy[11] = sum & 255;
  return copy;
}
