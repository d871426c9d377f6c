import test from 'ava';
import { open, seal, type CipherName } from '../../src/noise/cipher.ts';
import { SymmetricState } from '../../src/noise/symmetric.ts';
import { keyPair, publicKey, sharedSecret } from '../../src/noise/x25519.ts';
import vectors from '../vectors/noise-ikpsk2.json' with { type: 'json' };
import { bytes, hex } from './bytes.ts';

const CIPHER: Record<string, CipherName> = {
  Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s: 'chacha20-poly1305',
  Noise_IKpsk2_25519_AESGCM_BLAKE2s: 'aes-256-gcm',
};

/** Transport nonces of Noise §12.3 and §12.4: four zero bytes, then the counter, in each cipher's byte order. */
function nonceOf(cipher: CipherName, counter: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(12));
  view.setBigUint64(4, BigInt(counter), cipher === 'chacha20-poly1305');
  return new Uint8Array(view.buffer);
}

for (const vector of vectors.vectors) {
  test(`${vector.protocol_name}: a published transcript, both sides`, (t) => {
    const cipher = CIPHER[vector.protocol_name];
    const key = (name: 'init_static' | 'init_ephemeral' | 'resp_static' | 'resp_ephemeral') => {
      const { privateKey: secret, publicKey: open } = keyPair(bytes(vector[name]));
      return { secret, open, point: publicKey(open) };
    };
    const [is, ie, rs, re] = [key('init_static'), key('init_ephemeral'), key('resp_static'), key('resp_ephemeral')];
    const psk = bytes(vector.init_psks[0]);
    t.is(hex(rs.open), vector.init_remote_static);
    const [first, second, ...transport] = vector.messages;

    const initiator = new SymmetricState(cipher, bytes(vector.init_prologue));
    initiator.mixHash(rs.open);
    initiator.mixHash(ie.open);
    initiator.mixKey(ie.open);
    initiator.mixKey(sharedSecret(ie.secret, rs.point)!);
    const sealedStatic = initiator.encryptAndHash(is.open);
    initiator.mixKey(sharedSecret(is.secret, rs.point)!);
    const firstPayload = initiator.encryptAndHash(bytes(first.payload));
    t.is(hex(ie.open) + hex(sealedStatic) + hex(firstPayload), first.ciphertext);

    const responder = new SymmetricState(cipher, bytes(vector.init_prologue));
    responder.mixHash(rs.open);
    responder.mixHash(ie.open);
    responder.mixKey(ie.open);
    responder.mixKey(sharedSecret(rs.secret, ie.point)!);
    t.is(hex(responder.decryptAndHash(sealedStatic)!), hex(is.open));
    responder.mixKey(sharedSecret(rs.secret, is.point)!);
    t.is(hex(responder.decryptAndHash(firstPayload)!), first.payload);

    responder.mixHash(re.open);
    responder.mixKey(re.open);
    responder.mixKey(sharedSecret(re.secret, ie.point)!);
    responder.mixKey(sharedSecret(re.secret, is.point)!);
    responder.mixKeyAndHash(psk);
    const secondPayload = responder.encryptAndHash(bytes(second.payload));
    t.is(hex(re.open) + hex(secondPayload), second.ciphertext);

    initiator.mixHash(re.open);
    initiator.mixKey(re.open);
    initiator.mixKey(sharedSecret(ie.secret, re.point)!);
    initiator.mixKey(sharedSecret(is.secret, re.point)!);
    initiator.mixKeyAndHash(psk);
    t.is(initiator.decryptAndHash(new Uint8Array(secondPayload.length)), null);
    t.is(hex(initiator.decryptAndHash(secondPayload)!), second.payload);
    t.is(hex(initiator.hash), hex(responder.hash));

    const keys = initiator.split();
    t.deepEqual(responder.split().map(hex), keys.map(hex));
    transport.forEach(({ payload, ciphertext }, number) => {
      const sealingKey = keys[number % 2];
      const nonce = nonceOf(cipher, Math.floor(number / 2));
      t.is(hex(seal(cipher, sealingKey, nonce, bytes(payload), new Uint8Array(0))), ciphertext);
      t.is(hex(open(cipher, sealingKey, nonce, bytes(ciphertext), new Uint8Array(0))!), payload);
    });
  });
}
