// What the programs in the middle of the underlay share.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** Reads `192.0.2.1:51820` or `[2001:db8::1]:51820`. */
export function socketAddress(text: string): SocketAddress {
  const [, address, port] = /^\[?(.*?)\]?:(\d+)$/.exec(text) ?? [];
  if (!address) throw new RangeError(`${text}: wants address:port`);
  return { address, port: Number(port) };
}

/** A UDP socket of an address's family, with buffers that take a burst. */
export function udpSocket(address: string): Socket {
  const megabytes = 4 << 20;
  return createSocket({
    type: isIPv6(address) ? 'udp6' : 'udp4',
    recvBufferSize: megabytes,
    sendBufferSize: megabytes,
  });
}

/** Numbers in [0, 1), the same ones for the same seed (xorshift32, Marsaglia 2003). */
export function seeded(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
