import { open, seal } from '../../src/noise/cipher.ts';
import type { Keypair } from '../../src/session/keypairs.ts';
import { TRANSPORT } from '../../src/wire/messages.ts';

/** Transport messages as the white paper §5.4.6 has them, made and read without the data plane. */

const EMPTY = new Uint8Array(0);

/** What the owner of `keypair` would send with this counter. */
export function sealTransport(keypair: Keypair, counter: bigint, plaintext: Uint8Array): Uint8Array {
  const header = new Uint8Array(TRANSPORT.payload);
  const view = new DataView(header.buffer);
  header[0] = 4;
  view.setUint32(TRANSPORT.receiver, keypair.remoteIndex, true);
  view.setBigUint64(TRANSPORT.counter, counter, true);
  return Uint8Array.of(
    ...header,
    ...seal(keypair.cipher, keypair.sendKey, nonceOf(keypair, counter), plaintext, EMPTY),
  );
}

/** The plaintext, padding included, of what the owner of `keypair` was sent; null if it is not genuine. */
export function openTransport(keypair: Keypair, bytes: Uint8Array): Uint8Array | null {
  const nonce = nonceOf(keypair, counterOf(bytes));
  const plaintext = open(keypair.cipher, keypair.receiveKey, nonce, bytes.subarray(TRANSPORT.payload), EMPTY);
  return plaintext && new Uint8Array(plaintext);
}

export function counterOf(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(TRANSPORT.counter, true);
}

function nonceOf({ cipher }: Keypair, counter: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(12));
  view.setBigUint64(4, counter, cipher === 'chacha20-poly1305');
  return new Uint8Array(view.buffer);
}
