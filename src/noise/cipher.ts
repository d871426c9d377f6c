import { createCipheriv, createDecipheriv, type CipherGCMTypes } from 'node:crypto';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { TAG_SIZE } from '../wire/messages.ts';

/** The two AEADs: WireGuard's own, and the one between two Isthmus gateways (RFC 8439; NIST SP 800-38D). */
export type CipherName = 'chacha20-poly1305' | 'aes-256-gcm';

/**
 * The nonce of every handshake message. Each is sealed under a key of its own, so the counter never leaves 0, and 0 reads
 * the same in ChaChaPoly's order (little-endian) and in AESGCM's (big-endian; Noise §12.3, §12.4).
 */
export const HANDSHAKE_NONCE = new Uint8Array(12);

const AEAD = { authTagLength: TAG_SIZE };

/** Seals `plaintext` under a 32-byte key and a 12-byte nonce, bound to `data`; the 16-byte tag comes last. */
export function seal(
  cipher: CipherName,
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  const sealing = createCipheriv(cipher as CipherGCMTypes, key, nonce, AEAD);
  sealing.setAAD(data, { plaintextLength: plaintext.length });
  const body = sealing.update(plaintext);
  sealing.final();
  const sealed = new Uint8Array(plaintext.length + TAG_SIZE);
  sealed.set(body);
  sealed.set(sealing.getAuthTag(), plaintext.length);
  return sealed;
}

/** Opens what `seal` made; null if it was not made under this key, nonce and data. */
export function open(
  cipher: CipherName,
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  data: Uint8Array,
): Uint8Array | null {
  const length = sealed.length - TAG_SIZE;
  if (length < 0) return null;
  const opening = createDecipheriv(cipher as CipherGCMTypes, key, nonce, AEAD);
  opening.setAAD(data, { plaintextLength: length });
  opening.setAuthTag(sealed.subarray(length));
  const plaintext = opening.update(sealed.subarray(0, length));
  try {
    opening.final();
  } catch {
    plaintext.fill(0);
    return null;
  }
  return plaintext;
}

/** XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), 24-byte nonce: what cookies travel in. */
export function sealCookie(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, data: Uint8Array): Uint8Array {
  return xchacha20poly1305(key, nonce, data).encrypt(plaintext);
}

/** Opens what `sealCookie` made; null if it was not made under this key, nonce and data. */
export function openCookie(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  data: Uint8Array,
): Uint8Array | null {
  try {
    return xchacha20poly1305(key, nonce, data).decrypt(sealed);
  } catch {
    return null;
  }
}
