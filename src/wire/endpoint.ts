import { isIPv4, isIPv6 } from 'node:net';
import { Address6 } from 'ip-address';

/**
 * Where a datagram came from, or goes to: the remote address and port, and the local address and interface that it
 * arrived on, from which answers are sent (sticky source). Twelve words, the shape that the native layer reads:
 * 0 to 3 the remote address (big-endian words; IPv4 mapped into ::ffff:0:0/96), 4 port, 5 scope id,
 * 6 to 9 the local address (all zero: the kernel chooses), 10 interface index, 11 unused.
 */
export type Endpoint = Int32Array;

export const ENDPOINT_WORDS = 12;
export const ENDPOINT = { address: 0, port: 4, scope: 5, local: 6, interface: 10 } as const;

const MAPPED = 0xffff;

/** An endpoint from an address and a port. Throws a `RangeError` if `address` is not an IP address. */
export function endpointFrom(address: string, port: number): Endpoint {
  const endpoint = new Int32Array(ENDPOINT_WORDS);
  const [host, zone = '0'] = address.split('%');
  endpoint.set(addressWords(host));
  endpoint[ENDPOINT.port] = port;
  endpoint[ENDPOINT.scope] = Number(zone) || 0;
  return endpoint;
}

/** Four big-endian words of an address; IPv4 mapped into ::ffff:0:0/96. Throws a `RangeError` if it is neither. */
export function addressWords(address: string): [number, number, number, number] {
  if (isIPv4(address)) {
    const [a, b, c, d] = address.split('.').map(Number);
    return [0, 0, MAPPED, (a << 24) | (b << 16) | (c << 8) | d];
  }
  if (!isIPv6(address)) throw new RangeError(`not an IP address: ${address}`);
  const bytes = Uint8Array.from(new Address6(address).toByteArray());
  const view = new DataView(new ArrayBuffer(16));
  new Uint8Array(view.buffer).set(bytes, 16 - bytes.length);
  return [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)];
}

/** The text of four address words: dotted for an IPv4-mapped one, else IPv6 in its shortest form (RFC 5952). */
export function formatAddress(words: ArrayLike<number>): string {
  if (isMapped(words)) return formatIpv4(words[3]);
  const groups: string[] = [];
  for (let word = 0; word < 4; word++) {
    groups.push((words[word] >>> 16).toString(16), (words[word] & 0xffff).toString(16));
  }
  return new Address6(groups.join(':')).correctForm();
}

/** `address:port`, with an IPv6 address in brackets. */
export function formatEndpoint(endpoint: Endpoint): string {
  const address = formatAddress(endpoint);
  const scope = endpoint[ENDPOINT.scope] === 0 ? '' : `%${endpoint[ENDPOINT.scope]}`;
  return `${address.includes(':') ? `[${address}${scope}]` : address}:${endpoint[ENDPOINT.port]}`;
}

/** The remote address and port as bytes, what a cookie is bound to: 4 or 16 of address, 2 of port, big-endian. */
export function remoteBytes(endpoint: Endpoint): Uint8Array {
  const first = isMapped(endpoint) ? 3 : 0;
  const view = new DataView(new ArrayBuffer((4 - first) * 4 + 2));
  for (let word = first; word < 4; word++) view.setInt32((word - first) * 4, endpoint[word]);
  view.setUint16(view.byteLength - 2, endpoint[ENDPOINT.port]);
  return new Uint8Array(view.buffer);
}

/** Whether the address is IPv4, mapped. */
export function isMapped(words: ArrayLike<number>): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === MAPPED;
}

function formatIpv4(word: number): string {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
}
