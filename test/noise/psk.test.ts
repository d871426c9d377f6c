import test from 'ava';
import type { CipherName } from '../../src/noise/cipher.ts';
import { clamp, derivePeering, publicKey } from '../../src/noise/psk.ts';
import vectors from '../vectors/psk.json' with { type: 'json' };
import { bytes, hex } from './bytes.ts';

test('the published derivation from a PSK, under each cipher', (t) => {
  for (const vector of vectors.vectors) {
    const { server, client, presharedKey } = derivePeering(bytes(vector.psk), vector.cipher as CipherName);
    t.is(hex(server), vector.server);
    t.is(hex(client), vector.client);
    t.is(hex(presharedKey), vector.presharedKey);
    t.is(hex(publicKey(server)), vector.serverPublic);
    t.is(hex(publicKey(client)), vector.clientPublic);
  }
});

test('no two PSKs, roles or ciphers share a key', (t) => {
  const keys = vectors.vectors.flatMap(({ server, client, presharedKey }) => [server, client, presharedKey]);
  t.is(new Set(keys).size, keys.length);
});

test('a private key that was derived is clamped already', (t) => {
  const { server } = derivePeering(new Uint8Array(32).fill(255), 'aes-256-gcm');
  t.is(hex(clamp(Uint8Array.from(server))), hex(server));
  t.is(server[0] & 7, 0);
  t.is(server[31] & 192, 64);
});
