/**
 * mac1, mac2 and cookies: WireGuard white paper §5.3, §5.4.4 and §5.4.7.
 *
 * mac1 proves that the sender knows the receiver's public key. Under load the receiver wants mac2 as well, keyed by a cookie
 * which it hands to the address and port that a message came from: so the sender must be there.
 */
import nacl from 'tweetnacl';
import { COOKIE_REPLY, MESSAGE, MESSAGE_SIZE } from '../wire/messages.ts';
import { openCookie, sealCookie } from './cipher.ts';
import { hash, mac, MAC_SIZE, MacKey } from './hash.ts';

/** How long a cookie lives, in ms, at the side that gave it and at the side that got it. */
export const COOKIE_REFRESH_TIME = 120_000;
/** Random bytes of a cookie secret and of a cookie reply's nonce. */
const COOKIE_SECRET_SIZE = 32;
export const COOKIE_NONCE_SIZE = COOKIE_REPLY.cookie - COOKIE_REPLY.nonce;

const MAC1_LABEL = new TextEncoder().encode('mac1----');
const COOKIE_LABEL = new TextEncoder().encode('cookie--');

/** The secret that our cookies are made from, renewed every `COOKIE_REFRESH_TIME`. */
export class CookieSecret {
  readonly #random: (length: number) => Uint8Array;
  #secret: MacKey | null = null;
  #since = 0;

  constructor(random: (length: number) => Uint8Array) {
    this.#random = random;
  }

  /** The cookie for whoever is at `remote`: address and port (`remoteBytes`). `now` in ms. */
  cookie(remote: Uint8Array, now: number): Uint8Array {
    if (this.#secret === null || now - this.#since >= COOKIE_REFRESH_TIME) {
      this.#secret = new MacKey(this.#random(COOKIE_SECRET_SIZE));
      this.#since = now;
    }
    return this.#secret.mac(remote);
  }
}

/** Whether the sender of a message, to whichever identity, holds `cookie`. */
export function hasMac2(message: Uint8Array, cookie: Uint8Array): boolean {
  const at = message.length - MAC_SIZE;
  return nacl.verify(mac(cookie, message.subarray(0, at)), message.subarray(at));
}

/** The mac1 that is being compared. */
const expected = new Uint8Array(MAC_SIZE);

/** The MACs of messages that are addressed to one of our identities. */
export class ReceiverMacs {
  readonly #mac1Key: MacKey;
  readonly #cookieKey: Uint8Array;

  constructor(localPublic: Uint8Array) {
    this.#mac1Key = new MacKey(hash(MAC1_LABEL, localPublic));
    this.#cookieKey = hash(COOKIE_LABEL, localPublic);
  }

  /** Whether an initiation or response is addressed to this identity. Allocates little: many are asked of one message. */
  hasMac1(message: Uint8Array): boolean {
    const at = message.length - 2 * MAC_SIZE;
    this.#mac1Key.macInto(message.subarray(0, at), expected);
    return nacl.verify(expected, message.subarray(at, at + MAC_SIZE));
  }

  /** The cookie reply to `message`, whose sender's index is `receiver`. `nonce`: 24 random bytes. */
  cookieReply(message: Uint8Array, receiver: number, cookie: Uint8Array, nonce: Uint8Array): Uint8Array {
    const mac1At = message.length - 2 * MAC_SIZE;
    const reply = new Uint8Array(MESSAGE_SIZE.cookieReply);
    reply[0] = MESSAGE.cookieReply;
    new DataView(reply.buffer).setUint32(COOKIE_REPLY.receiver, receiver, true);
    reply.set(nonce, COOKIE_REPLY.nonce);
    reply.set(
      sealCookie(this.#cookieKey, nonce, cookie, message.subarray(mac1At, mac1At + MAC_SIZE)),
      COOKIE_REPLY.cookie,
    );
    return reply;
  }
}

/** The MACs of messages that we send to one identity of a peer, and the cookie that it gave us. */
export class SenderMacs {
  readonly #mac1Key: MacKey;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | null = null;
  #cookie: Uint8Array | null = null;
  #cookieAt = 0;

  constructor(remotePublic: Uint8Array) {
    this.#mac1Key = new MacKey(hash(MAC1_LABEL, remotePublic));
    this.#cookieKey = hash(COOKIE_LABEL, remotePublic);
  }

  /** Writes mac1, and mac2 while there is a cookie, into an initiation or response that is otherwise complete. */
  stamp(message: Uint8Array, now: number): void {
    const mac2At = message.length - MAC_SIZE;
    const mac1At = mac2At - MAC_SIZE;
    this.#lastMac1 = this.#mac1Key.mac(message.subarray(0, mac1At));
    message.set(this.#lastMac1, mac1At);
    if (this.#cookie !== null && now - this.#cookieAt < COOKIE_REFRESH_TIME) {
      message.set(mac(this.#cookie, message.subarray(0, mac2At)), mac2At);
    }
  }

  /** Takes the cookie out of a reply to the last message stamped; false if it isn't one, or not the first. */
  consumeReply(reply: Uint8Array, now: number): boolean {
    if (this.#lastMac1 === null) return false;
    const nonce = reply.subarray(COOKIE_REPLY.nonce, COOKIE_REPLY.cookie);
    const cookie = openCookie(this.#cookieKey, nonce, reply.subarray(COOKIE_REPLY.cookie), this.#lastMac1);
    if (cookie === null) return false;
    this.#cookie = cookie;
    this.#cookieAt = now;
    this.#lastMac1 = null;
    return true;
  }
}
