import { createHash, createHmac } from 'node:crypto';
import { _BLAKE2s as Blake2s, blake2s } from '@noble/hashes/blake2.js';

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
  return blake2s(input, { key, dkLen: MAC_SIZE });
}

/** A key for many MACs of inputs that are not empty. */
export class MacKey {
  readonly #keyed: KeyedState;

  constructor(key: Uint8Array) {
    this.#keyed = new KeyedState({ key, dkLen: MAC_SIZE });
    this.#keyed.absorbKey();
  }

  mac(input: Uint8Array): Uint8Array {
    const output = new Uint8Array(MAC_SIZE);
    this.macInto(input, output);
    return output;
  }

  /** The same without memory of its own: `output` holds 16 bytes and begins at a multiple of four. */
  macInto(input: Uint8Array, output: Uint8Array): void {
    this.#keyed._cloneInto(scratch);
    scratch.update(input);
    scratch.digestInto(output);
  }
}

/**
 * BLAKE2s with the key's own block absorbed. The library puts that off until there is more to hash, and would so do it for
 * every MAC anew: one block of three, for a handshake message.
 */
class KeyedState extends Blake2s {
  absorbKey(): void {
    this.compress(this.buffer32, 0, false);
    this.pos = 0;
  }
}

/** The state of the MAC that is being computed. */
const scratch = new KeyedState({ dkLen: MAC_SIZE });

function hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  const state = createHmac('blake2s256', key);
  for (const part of parts) state.update(part);
  return state.digest();
}
