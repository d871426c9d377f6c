import { HANDSHAKE_NONCE, open, seal, type CipherName } from './cipher.ts';
import { HASH_SIZE, hash, kdf } from './hash.ts';

const PROTOCOL_NAME: Record<CipherName, string> = {
  'chacha20-poly1305': 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s',
  'aes-256-gcm': 'Noise_IKpsk2_25519_AESGCM_BLAKE2s',
};

/**
 * Noise's symmetric state (§5.2): the chaining key `ck`, the transcript's hash `h` and the key `k`, which every
 * `mixKey` renews before something is sealed, so that its nonce is always 0.
 */
export class SymmetricState {
  readonly cipher: CipherName;
  readonly hash = new Uint8Array(HASH_SIZE);
  readonly #chainingKey = new Uint8Array(HASH_SIZE);
  readonly #key = new Uint8Array(HASH_SIZE);

  /** InitializeSymmetric(protocol name), then MixHash(prologue). */
  constructor(cipher: CipherName, prologue: Uint8Array) {
    this.cipher = cipher;
    this.#chainingKey.set(hash(new TextEncoder().encode(PROTOCOL_NAME[cipher])));
    this.hash.set(this.#chainingKey);
    this.mixHash(prologue);
  }

  /** A copy that goes its own way, so that a message that turns out to be forged leaves this one as it was. */
  clone(): SymmetricState {
    const copy = new SymmetricState(this.cipher, new Uint8Array(0));
    copy.hash.set(this.hash);
    copy.#chainingKey.set(this.#chainingKey);
    copy.#key.set(this.#key);
    return copy;
  }

  mixHash(data: Uint8Array): void {
    this.hash.set(hash(this.hash, data));
  }

  mixKey(input: Uint8Array): void {
    this.#absorb(kdf(this.#chainingKey, input, 2));
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, toHash, key] = kdf(this.#chainingKey, input, 3);
    this.mixHash(toHash);
    toHash.fill(0);
    this.#absorb([chainingKey, key]);
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const sealed = seal(this.cipher, this.#key, HANDSHAKE_NONCE, plaintext, this.hash);
    this.mixHash(sealed);
    return sealed;
  }

  /** Null, and nothing changed, if `sealed` is not what the other side would have sent. */
  decryptAndHash(sealed: Uint8Array): Uint8Array | null {
    const plaintext = open(this.cipher, this.#key, HANDSHAKE_NONCE, sealed, this.hash);
    if (plaintext !== null) this.mixHash(sealed);
    return plaintext;
  }

  /** The two transport keys, the initiator's sending key first; wipes this state. */
  split(): [Uint8Array, Uint8Array] {
    const [first, second] = kdf(this.#chainingKey, new Uint8Array(0), 2);
    this.wipe();
    return [first, second];
  }

  wipe(): void {
    this.#chainingKey.fill(0);
    this.#key.fill(0);
    this.hash.fill(0);
  }

  #absorb([chainingKey, key]: Uint8Array[]): void {
    this.#chainingKey.set(chainingKey);
    this.#key.set(key);
    chainingKey.fill(0);
    key.fill(0);
  }
}
