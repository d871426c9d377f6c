/** WireGuard's four messages: sizes and field offsets in bytes (white paper §5.4). Integers are little-endian. */

export const MESSAGE = { initiation: 1, response: 2, cookieReply: 3, transport: 4 } as const;

export const MESSAGE_SIZE = { initiation: 148, response: 92, cookieReply: 64 } as const;

/** Every message opens with a type byte and three reserved zero bytes. */
export const INITIATION = { sender: 4, ephemeral: 8, static: 40, timestamp: 88, mac1: 116, mac2: 132 } as const;
export const RESPONSE = { sender: 4, receiver: 8, ephemeral: 12, empty: 44, mac1: 60, mac2: 76 } as const;
export const COOKIE_REPLY = { receiver: 4, nonce: 8, cookie: 32 } as const;
export const TRANSPORT = { receiver: 4, counter: 8, payload: 16 } as const;

export const TAG_SIZE = 16;
/** What a transport message adds to the packet inside it: header and tag. */
export const TRANSPORT_OVERHEAD = TRANSPORT.payload + TAG_SIZE;

/** Bytes of a handshake message of this type; -1 if there is no such type. */
export function handshakeSize(type: number): number {
  switch (type) {
    case MESSAGE.initiation:
      return MESSAGE_SIZE.initiation;
    case MESSAGE.response:
      return MESSAGE_SIZE.response;
    case MESSAGE.cookieReply:
      return MESSAGE_SIZE.cookieReply;
    default:
      return -1;
  }
}
