import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';

export type { KeyObject };

export const KEY_SIZE = 32;

/** DER of a PKCS #8 private key, and the size of a SubjectPublicKeyInfo, up to the 32 bytes of an X25519 key (RFC 8410). */
const PRIVATE_PREFIX = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 110, 4, 34, 4, 32]);
const PUBLIC_PREFIX_SIZE = 12;

/** A key pair, the public one as bytes. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: Uint8Array;
}

/** The pair of a private key of 32 bytes, clamped or not. Takes some 0.4 ms: `generateKeyPairSync` makes a new one in a tenth. */
export function keyPair(bytes: Uint8Array): KeyPair {
  const key = privateKey(bytes);
  return { privateKey: key, publicKey: publicBytes(createPublicKey(key)) };
}

/** A private key from its 32 bytes, clamped or not. Throws if they are not 32. */
export function privateKey(bytes: Uint8Array): KeyObject {
  const der = Buffer.concat([PRIVATE_PREFIX, bytes]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return key;
}

/** A public key from its 32 bytes. Throws if they are not 32. By way of JWK, which takes a tenth of DER's time. */
export function publicKey(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
}

/** The 32 bytes of a public key. */
export function publicBytes(key: KeyObject): Uint8Array {
  return Uint8Array.from(key.export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX_SIZE));
}

/** X25519 (RFC 7748 §5). Null for a public key of small order, whose secret is all zero (§6.1). */
export function sharedSecret(ours: KeyObject, theirs: KeyObject): Uint8Array | null {
  try {
    return diffieHellman({ privateKey: ours, publicKey: theirs });
  } catch {
    return null;
  }
}
