import { hkdfSync } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';
import test from 'ava';
import { open, openCookie, seal, sealCookie, type CipherName } from '../../src/noise/cipher.ts';
import { hash, mac } from '../../src/noise/hash.ts';
import { keyPair, privateKey, publicKey, sharedSecret } from '../../src/noise/x25519.ts';
import vectors from '../vectors/primitives.json' with { type: 'json' };
import { bytes, hex } from './bytes.ts';

const multiply = (scalar: Uint8Array, point: Uint8Array) => sharedSecret(privateKey(scalar), publicKey(point));

test('X25519: the products of RFC 7748 §5.2', (t) => {
  for (const { scalar, point, output } of vectors.x25519.multiply) {
    t.is(hex(multiply(bytes(scalar), bytes(point))!), output);
  }
});

test('X25519: the chain of RFC 7748 §5.2', (t) => {
  let scalar: Uint8Array = new Uint8Array(32).fill(9, 0, 1);
  let point = scalar;
  let done = 0;
  for (const { times, output } of vectors.x25519.iterated) {
    for (; done < times; done++) [scalar, point] = [multiply(scalar, point)!, scalar];
    t.is(hex(scalar), output);
  }
});

test('X25519: the key exchange of RFC 7748 §6.1', (t) => {
  const { alicePrivate, alicePublic, bobPrivate, bobPublic, shared } = vectors.x25519;
  t.is(hex(keyPair(bytes(alicePrivate)).publicKey), alicePublic);
  t.is(hex(keyPair(bytes(bobPrivate)).publicKey), bobPublic);
  t.is(hex(multiply(bytes(alicePrivate), bytes(bobPublic))!), shared);
  t.is(hex(multiply(bytes(bobPrivate), bytes(alicePublic))!), shared);
});

test('X25519: a point of small order gives no secret', (t) => {
  const one = new Uint8Array(32).fill(1, 0, 1);
  for (const point of [new Uint8Array(32), one]) t.is(multiply(bytes(vectors.x25519.alicePrivate), point), null);
});

test('BLAKE2s: RFC 7693 Appendix B', (t) => {
  t.is(hex(hash(new TextEncoder().encode('a'), new TextEncoder().encode('bc'))), vectors.blake2s.abc);
});

test('BLAKE2s, keyed and not: the self-test of RFC 7693 Appendix E', (t) => {
  const sequence = (length: number): Uint8Array => {
    let [a, b] = [Math.imul(0xdead4bad, length), 1];
    return Uint8Array.from({ length }, () => {
      [a, b] = [b, (a + b) | 0];
      return b >>> 24;
    });
  };
  const digests: Uint8Array[] = [];
  for (const size of [16, 20, 28, 32]) {
    for (const length of [0, 3, 64, 65, 255, 1024]) {
      const input = sequence(length);
      const key = sequence(size);
      digests.push(size === 32 ? hash(input) : blake2s(input, { dkLen: size }));
      digests.push(size === 16 ? mac(key, input) : blake2s(input, { dkLen: size, key }));
    }
  }
  t.is(hex(hash(...digests)), vectors.blake2s.selfTest);
});

for (const vector of vectors.aead) {
  test(`AEAD: ${vector.source}`, (t) => {
    const cipher = vector.cipher as CipherName;
    const [key, nonce, data] = [bytes(vector.key), bytes(vector.nonce), bytes(vector.data)];
    const sealed = seal(cipher, key, nonce, bytes(vector.plaintext), data);
    t.is(hex(sealed), vector.sealed);
    t.is(hex(open(cipher, key, nonce, sealed, data)!), vector.plaintext);
    for (let at = 0; at < sealed.length; at++) {
      const forged = Uint8Array.from(sealed);
      forged[at] ^= 1;
      t.is(open(cipher, key, nonce, forged, data), null);
    }
    t.is(open(cipher, key, nonce, sealed, Uint8Array.of(...data, 0)), null);
    t.is(open(cipher, key, nonce, sealed.subarray(0, 15), data), null);
  });
}

test('XChaCha20-Poly1305: draft-irtf-cfrg-xchacha-03 §A.3.1', (t) => {
  const { key, nonce, data, plaintext, sealed } = vectors.xchacha;
  t.is(hex(sealCookie(bytes(key), bytes(nonce), bytes(plaintext), bytes(data))), sealed);
  t.is(hex(openCookie(bytes(key), bytes(nonce), bytes(sealed), bytes(data))!), plaintext);
  t.is(openCookie(bytes(key), bytes(nonce), bytes(sealed), bytes('00')), null);
});

test('HKDF-SHA256: RFC 5869 §A.1', (t) => {
  const { ikm, salt, info, okm } = vectors.hkdf;
  t.is(hex(new Uint8Array(hkdfSync('sha256', bytes(ikm), bytes(salt), bytes(info), okm.length / 2))), okm);
});
