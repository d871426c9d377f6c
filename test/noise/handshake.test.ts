import test from 'ava';
import type { CipherName } from '../../src/noise/cipher.ts';
import { hasMac2, ReceiverMacs, SenderMacs } from '../../src/noise/cookie.ts';
import {
  createInitiation,
  createResponse,
  localStatic,
  openInitiation,
  openResponse,
  openTimestamp,
  pair,
} from '../../src/noise/handshake.ts';
import { keyPair } from '../../src/noise/x25519.ts';
import vectors from '../vectors/handshake.json' with { type: 'json' };
import { bytes, hex } from './bytes.ts';

type Vector = (typeof vectors.vectors)[number];

/** Both sides of a vector's handshake up to the initiation. */
function initiate(vector: Vector) {
  const cipher = vector.cipher as CipherName;
  const initiator = localStatic(cipher, bytes(vector.initiatorPrivate));
  const responder = localStatic(cipher, bytes(vector.responderPrivate));
  const there = pair(initiator, responder.publicKey)!;
  const back = pair(responder, initiator.publicKey)!;
  const { message, pending } = createInitiation(
    there,
    vector.initiatorIndex,
    keyPair(bytes(vector.initiatorEphemeral)),
    bytes(vector.timestamp),
  );
  return { initiator, responder, there, back, message, pending };
}

function respond(vector: Vector, initiation: Uint8Array, presharedKey = bytes(vector.presharedKey)) {
  const { responder, back } = initiate(vector);
  const received = openInitiation(responder, initiation)!;
  openTimestamp(received, back);
  return createResponse(received, back, presharedKey, vector.responderIndex, keyPair(bytes(vector.responderEphemeral)));
}

for (const vector of vectors.vectors) {
  test(`${vector.cipher}: the published handshake, byte for byte`, (t) => {
    const { initiator, responder, back, message, pending } = initiate(vector);
    const toResponder = new SenderMacs(responder.publicKey);
    toResponder.stamp(message, 0);
    t.is(hex(message), vector.initiation);
    t.true(new ReceiverMacs(responder.publicKey).hasMac1(message));

    const received = openInitiation(responder, message)!;
    t.is(hex(received.remotePublic), hex(initiator.publicKey));
    t.is(received.sender, vector.initiatorIndex);
    t.is(hex(openTimestamp(received, back)!), vector.timestamp);

    const response = respond(vector, message);
    new SenderMacs(initiator.publicKey).stamp(response.message, 0);
    t.is(hex(response.message), vector.response);
    t.is(hex(response.keys.sendKey), vector.responderSendKey);
    t.is(hex(response.keys.receiveKey), vector.initiatorSendKey);

    const keys = openResponse(pending, bytes(vector.presharedKey), response.message)!;
    t.is(hex(keys.sendKey), vector.initiatorSendKey);
    t.is(hex(keys.receiveKey), vector.responderSendKey);
  });

  test(`${vector.cipher}: mac2 by a cookie, byte for byte`, (t) => {
    const { responder, message } = initiate(vector);
    const receiver = new ReceiverMacs(responder.publicKey);
    const sender = new SenderMacs(responder.publicKey);
    sender.stamp(message, 0);
    t.false(hasMac2(message, bytes(vector.cookie)));
    const reply = receiver.cookieReply(
      message,
      vector.initiatorIndex,
      bytes(vector.cookie),
      new Uint8Array(24).fill(7),
    );
    t.is(hex(reply.subarray(0, 8)), '0300000004030201');
    t.true(sender.consumeReply(reply, 0));
    sender.stamp(message, 119_999);
    t.is(hex(message), vector.initiationWithCookie);
    t.true(hasMac2(message, bytes(vector.cookie)));
  });

  test(`${vector.cipher}: a forged initiation is not opened, whichever byte was changed`, (t) => {
    const { responder, back, message } = initiate(vector);
    for (let at = 8; at < 116; at++) {
      const forged = Uint8Array.from(message);
      forged[at] ^= 0x10;
      const received = openInitiation(responder, forged);
      t.true(received === null || openTimestamp(received, back) === null, `byte ${at}`);
    }
  });

  test(`${vector.cipher}: a forged response is not opened, and the true one still is after it`, (t) => {
    const { message, pending } = initiate(vector);
    const response = respond(vector, message);
    for (let at = 12; at < 60; at++) {
      const forged = Uint8Array.from(response.message);
      forged[at] ^= 0x10;
      t.is(openResponse(pending, bytes(vector.presharedKey), forged), null, `byte ${at}`);
    }
    const smallOrder = Uint8Array.from(response.message).fill(0, 12, 44);
    t.is(openResponse(pending, bytes(vector.presharedKey), smallOrder), null);
    t.truthy(openResponse(pending, bytes(vector.presharedKey), response.message));
  });

  test(`${vector.cipher}: the pre-shared keys must be equal`, (t) => {
    const { message, pending } = initiate(vector);
    const response = respond(vector, message, new Uint8Array(32));
    t.is(openResponse(pending, bytes(vector.presharedKey), response.message), null);
    t.truthy(openResponse(pending, new Uint8Array(32), response.message));
  });
}

test('an initiation under one cipher means nothing under the other, though the keys are the same', (t) => {
  const [vector] = vectors.vectors;
  const { message } = initiate(vector);
  t.is(openInitiation(localStatic('aes-256-gcm', bytes(vector.responderPrivate)), message), null);
});

test('a public key of small order pairs with nothing', (t) => {
  t.is(pair(localStatic('chacha20-poly1305', new Uint8Array(32).fill(1)), new Uint8Array(32)), null);
});
