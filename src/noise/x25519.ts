import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';

export type { KeyObject };

export const KEY_SIZE = 32;

/** DER of a PKCS #8 private key and of a SubjectPublicKeyInfo, up to where the 32 bytes of an X25519 key stand (RFC 8410). */
const PRIVATE_PREFIX = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 110, 4, 34, 4, 32]);
const PUBLIC_PREFIX = Uint8Array.from([48, 42, 48, 5, 6, 3, 43, 101, 110, 3, 33, 0]);

/** A private key from its 32 bytes, clamped or not. Throws if they are not 32. */
export function privateKey(bytes: Uint8Array): KeyObject {
  const der = Buffer.concat([PRIVATE_PREFIX, bytes]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return key;
}

/** A public key from its 32 bytes. Throws if they are not 32. */
export function publicKey(bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, bytes]), format: 'der', type: 'spki' });
}

/** The 32 bytes of the public key that belongs to `key`. */
export function publicBytes(key: KeyObject): Uint8Array {
  return Uint8Array.from(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX.length));
}

/** X25519 (RFC 7748 §5). Null for a public key of small order, whose secret is all zero (§6.1). */
export function sharedSecret(ours: KeyObject, theirs: KeyObject): Uint8Array | null {
  try {
    return diffieHellman({ privateKey: ours, publicKey: theirs });
  } catch {
    return null;
  }
}
