/** How many routers a packet may still pass: TTL of IPv4 (RFC 791 §3.2), hop limit of IPv6 (RFC 8200 §3). */

const TTL = 8;
const HOP_LIMIT = 7;
const CHECKSUM = 10;

/** Routers that the packet at `offset` may still pass, this one included: at 0 and 1 it may not be forwarded. */
export function hopsLeft(version: number, bytes: Uint8Array, offset: number): number {
  return bytes[offset + (version === 4 ? TTL : HOP_LIMIT)];
}

/** Takes one hop from a packet that has any, in place, and mends the checksum of an IPv4 header (RFC 1624). */
export function takeHop(version: number, bytes: Uint8Array, offset: number): void {
  if (version !== 4) {
    bytes[offset + HOP_LIMIT]--;
    return;
  }
  bytes[offset + TTL]--;
  // The word that holds the TTL got less by 0x100: HC' = ~(~HC + ~m + m') adds that to the checksum, carry around.
  const sum = ((bytes[offset + CHECKSUM] << 8) | bytes[offset + CHECKSUM + 1]) + 0x100;
  const checksum = sum >= 0xffff ? sum + 1 : sum;
  bytes[offset + CHECKSUM] = (checksum >>> 8) & 255;
  bytes[offset + CHECKSUM + 1] = checksum & 255;
}
