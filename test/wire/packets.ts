import { addressWords, isMapped } from '../../src/wire/endpoint.ts';

/** Packets for tests, written out byte by byte and not by the code under test. Checksums are left zero. */

export interface Fragment {
  /** In bytes, a multiple of 8. */
  readonly offset: number;
  readonly more: boolean;
  readonly id: number;
}

export interface IpOptions {
  readonly fragment?: Fragment;
  /** IPv4 options, or IPv6 extension headers as [protocol number, bytes] whose first byte is filled in. */
  readonly options?: Uint8Array;
  readonly extensions?: readonly (readonly [number, Uint8Array])[];
}

/** An IPv4 or IPv6 packet, as its addresses tell. */
export function ip(
  from: string,
  to: string,
  protocol: number,
  payload: Uint8Array,
  options: IpOptions = {},
): Uint8Array {
  return from.includes(':') ? ipv6(from, to, protocol, payload, options) : ipv4(from, to, protocol, payload, options);
}

export function tcp(srcPort: number, dstPort: number, flags: number, data = 0): Uint8Array {
  const segment = ports(srcPort, dstPort, 20 + data);
  segment[12] = 5 << 4;
  segment[13] = flags;
  return segment;
}

export function udp(srcPort: number, dstPort: number, data = 0): Uint8Array {
  const datagram = ports(srcPort, dstPort, 8 + data);
  new DataView(datagram.buffer).setUint16(4, datagram.length);
  return datagram;
}

/** `rest` follows type, code and checksum: identifier and sequence number of an echo, or four bytes and the quoted packet. */
export function icmp(type: number, code: number, rest: Uint8Array): Uint8Array {
  return Uint8Array.of(type, code, 0, 0, ...rest);
}

export function echo(type: number, id: number): Uint8Array {
  return icmp(type, 0, Uint8Array.of(id >>> 8, id & 255, 0, 1));
}

/** An ICMP error's body: four bytes, then the packet, whole or its first `length` bytes. */
export function quoting(packet: Uint8Array, length = packet.length): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, ...packet.subarray(0, length));
}

function ipv4(from: string, to: string, protocol: number, payload: Uint8Array, { fragment, options }: IpOptions) {
  const header = 20 + (options?.length ?? 0);
  const packet = new Uint8Array(header + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (header / 4);
  view.setUint16(2, packet.length);
  if (fragment !== undefined) {
    view.setUint16(4, fragment.id);
    view.setUint16(6, (fragment.more ? 0x2000 : 0) | (fragment.offset / 8));
  }
  packet[8] = 64;
  packet[9] = protocol;
  view.setInt32(12, addressWords(from)[3]);
  view.setInt32(16, addressWords(to)[3]);
  packet.set(options ?? [], 20);
  packet.set(payload, header);
  return packet;
}

function ipv6(from: string, to: string, protocol: number, payload: Uint8Array, { fragment, extensions }: IpOptions) {
  const headers = [...(extensions ?? [])];
  if (fragment !== undefined) {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint16(2, fragment.offset | (fragment.more ? 1 : 0));
    view.setUint32(4, fragment.id);
    headers.push([44, bytes]);
  }
  const chain = headers.flatMap(([, bytes], index) => [headers[index + 1]?.[0] ?? protocol, ...bytes.subarray(1)]);
  const packet = new Uint8Array(40 + chain.length + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x60;
  view.setUint16(4, packet.length - 40);
  packet[6] = headers[0]?.[0] ?? protocol;
  packet[7] = 64;
  setAddress(view, 8, from);
  setAddress(view, 24, to);
  packet.set(chain, 40);
  packet.set(payload, 40 + chain.length);
  return packet;
}

function setAddress(view: DataView, at: number, address: string): void {
  addressWords(address).forEach((word, index) => view.setInt32(at + index * 4, word));
}

function ports(srcPort: number, dstPort: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, srcPort);
  view.setUint16(2, dstPort);
  return bytes;
}

/** The words that `Packet` has for an address: IPv4 in word 3, the others zero. */
export function packetWords(address: string): [number, number, number, number] {
  const words = addressWords(address);
  return isMapped(words) && !address.includes(':') ? [0, 0, 0, words[3]] : words;
}
