import { hkdfSync } from 'node:crypto';
import nacl from 'tweetnacl';
import type { CipherName } from './cipher.ts';
import { KEY_SIZE } from './x25519.ts';

const SALT = 'isthmus psk v1';

/** What both ends of a peering derive from its PSK: two X25519 private keys, clamped, and WireGuard's pre-shared key. */
export interface PeeringKeys {
  server: Uint8Array;
  client: Uint8Array;
  presharedKey: Uint8Array;
}

/**
 * The keys of a peering under one cipher, by HKDF-SHA256 (RFC 5869) over the decoded PSK. Each cipher has keys of its own;
 * ChaCha20-Poly1305, which a stock WireGuard peer speaks, has the labels that stand alone.
 */
export function derivePeering(psk: Uint8Array, cipher: CipherName): PeeringKeys {
  const derive = (label: string): Uint8Array => {
    const info = cipher === 'chacha20-poly1305' ? label : `${label} ${cipher}`;
    return new Uint8Array(hkdfSync('sha256', psk, SALT, info, KEY_SIZE));
  };
  return {
    server: clamp(derive('server static')),
    client: clamp(derive('client static')),
    presharedKey: derive('wireguard psk'),
  };
}

/** The public key of an X25519 private key. */
export function publicKey(privateKey: Uint8Array): Uint8Array {
  return nacl.scalarMult.base(privateKey);
}

/** RFC 7748 §5, decodeScalar25519, in place. */
export function clamp(privateKey: Uint8Array): Uint8Array {
  privateKey[0] &= 248;
  privateKey[31] = (privateKey[31] & 127) | 64;
  return privateKey;
}
