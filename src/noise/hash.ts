import { createHash, createHmac } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';

export const HASH_SIZE = 32;
export const MAC_SIZE = 16;

/** BLAKE2s-256 of the parts, one after the other (RFC 7693). */
export function hash(...parts: Uint8Array[]): Uint8Array {
  const state = createHash('blake2s256');
  for (const part of parts) state.update(part);
  return state.digest();
}

/** Noise's HKDF (§4.3), the white paper's KDF_n: `count` outputs of 32 bytes from a key and some input. */
export function kdf(key: Uint8Array, input: Uint8Array, count: number): Uint8Array[] {
  const secret = hmac(key, input);
  const outputs: Uint8Array[] = [];
  let previous: Uint8Array = new Uint8Array(0);
  for (let number = 1; number <= count; number++) {
    previous = hmac(secret, previous, Uint8Array.of(number));
    outputs.push(previous);
  }
  secret.fill(0);
  return outputs;
}

/** Keyed BLAKE2s with 16 bytes of output, the white paper's MAC. */
export function mac(key: Uint8Array, input: Uint8Array): Uint8Array {
  return new MacKey(key).mac(input);
}

/** A key for many MACs, set up once. */
export class MacKey {
  readonly #keyed;

  constructor(key: Uint8Array) {
    this.#keyed = blake2s.create({ key, dkLen: MAC_SIZE });
  }

  mac(input: Uint8Array): Uint8Array {
    return this.#keyed.clone().update(input).digest();
  }
}

function hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  const state = createHmac('blake2s256', key);
  for (const part of parts) state.update(part);
  return state.digest();
}
