/**
 * The handshake: WireGuard white paper §5.4.2 to §5.4.5, which is Noise IKpsk2 with WireGuard's framing.
 *
 *     initiator                                        responder
 *     createInitiation   -- e, es, s, ss, {time} -->   openInitiation, openTimestamp
 *     openResponse       <-- e, ee, se, psk, {}  --    createResponse
 *
 * Nothing here looks at or writes a message's mac1 and mac2 (see cookie.ts), keeps state between calls, or draws randomness.
 * Message lengths and types are checked by the caller.
 */
import { INITIATION, MESSAGE, MESSAGE_SIZE, RESPONSE } from '../wire/messages.ts';
import type { CipherName } from './cipher.ts';
import { SymmetricState } from './symmetric.ts';
import { keyPair, publicKey, sharedSecret, type KeyObject, type KeyPair } from './x25519.ts';

const IDENTIFIER = new TextEncoder().encode('WireGuard v1 zx2c4 Jason@zx2c4.com');
const EMPTY = new Uint8Array(0);

/** Our static key under one cipher: the identity that an initiation is addressed to. */
export interface LocalStatic extends KeyPair {
  readonly cipher: CipherName;
}

/** Two static keys that may shake hands, with what they have in common computed ahead. */
export interface Pairing {
  readonly local: LocalStatic;
  readonly remotePublic: Uint8Array;
  readonly remoteKey: KeyObject;
  readonly staticStatic: Uint8Array;
}

/** What the initiator keeps until the response comes. */
export interface PendingInitiation {
  readonly pairing: Pairing;
  readonly state: SymmetricState;
  readonly ephemeral: KeyObject;
}

/** What the responder has learnt from the first part of an initiation; the sender is not authenticated yet. */
export interface ReceivedInitiation {
  /** The initiator's index. */
  readonly sender: number;
  readonly remotePublic: Uint8Array;
  readonly remoteEphemeralKey: KeyObject;
  readonly sealedTimestamp: Uint8Array;
  readonly state: SymmetricState;
}

/** The keys of a new session, 32 bytes each. */
export interface TransportKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

/** A static key from its 32 private bytes. */
export function localStatic(cipher: CipherName, bytes: Uint8Array): LocalStatic {
  return { cipher, ...keyPair(bytes) };
}

/** Null if `remotePublic` is of small order: no handshake with it can succeed. */
export function pair(local: LocalStatic, remotePublic: Uint8Array): Pairing | null {
  const remoteKey = publicKey(remotePublic);
  const staticStatic = sharedSecret(local.privateKey, remoteKey);
  return staticStatic && { local, remotePublic: Uint8Array.from(remotePublic), remoteKey, staticStatic };
}

/**
 * First message, §5.4.2. `sender`: our index; `ephemeral`: a new key pair; `timestamp`: TAI64N. mac1 and mac2 are left zero.
 */
export function createInitiation(
  pairing: Pairing,
  sender: number,
  ephemeral: KeyPair,
  timestamp: Uint8Array,
): { message: Uint8Array; pending: PendingInitiation } {
  const { local, remoteKey, remotePublic, staticStatic } = pairing;
  const { message, view } = blank(MESSAGE.initiation, MESSAGE_SIZE.initiation);
  view.setUint32(INITIATION.sender, sender, true);

  const state = begin(local.cipher, remotePublic);
  mixEphemeral(state, ephemeral.publicKey);
  message.set(ephemeral.publicKey, INITIATION.ephemeral);
  // Not of small order, or `pair` would have refused it: the secret cannot be zero.
  mixSecret(state, sharedSecret(ephemeral.privateKey, remoteKey)!);
  message.set(state.encryptAndHash(local.publicKey), INITIATION.static);
  state.mixKey(staticStatic);
  message.set(state.encryptAndHash(timestamp), INITIATION.timestamp);
  return { message, pending: { pairing, state, ephemeral: ephemeral.privateKey } };
}

/** The first part of §5.4.2 as the responder: who says to have sent it. Null if it was not made for `local`. */
export function openInitiation(local: LocalStatic, message: Uint8Array): ReceivedInitiation | null {
  const remoteEphemeral = message.slice(INITIATION.ephemeral, INITIATION.static);
  const remoteEphemeralKey = publicKey(remoteEphemeral);
  const secret = sharedSecret(local.privateKey, remoteEphemeralKey);
  if (secret === null) return null;
  const state = begin(local.cipher, local.publicKey);
  mixEphemeral(state, remoteEphemeral);
  mixSecret(state, secret);
  const remotePublic = state.decryptAndHash(message.subarray(INITIATION.static, INITIATION.timestamp));
  if (remotePublic === null) return null;
  const sealedTimestamp = message.slice(INITIATION.timestamp, INITIATION.mac1);
  const sender = readUint32(message, INITIATION.sender);
  return { sender, remotePublic, remoteEphemeralKey, sealedTimestamp, state };
}

/** The second part: the timestamp, once the sender is found among our peers. Null if the sender does not hold its key. */
export function openTimestamp(received: ReceivedInitiation, pairing: Pairing): Uint8Array | null {
  received.state.mixKey(pairing.staticStatic);
  return received.state.decryptAndHash(received.sealedTimestamp);
}

/**
 * Second message, §5.4.3, after `openTimestamp`. `sender`: our index; `ephemeral`: a new key pair. mac1 and mac2 are left zero.
 */
export function createResponse(
  received: ReceivedInitiation,
  pairing: Pairing,
  presharedKey: Uint8Array,
  sender: number,
  ephemeral: KeyPair,
): { message: Uint8Array; keys: TransportKeys } {
  const { state, remoteEphemeralKey } = received;
  const { message, view } = blank(MESSAGE.response, MESSAGE_SIZE.response);
  view.setUint32(RESPONSE.sender, sender, true);
  view.setUint32(RESPONSE.receiver, received.sender, true);

  mixEphemeral(state, ephemeral.publicKey);
  message.set(ephemeral.publicKey, RESPONSE.ephemeral);
  // Neither is of small order: `openInitiation` and `pair` refuse those.
  mixSecret(state, sharedSecret(ephemeral.privateKey, remoteEphemeralKey)!);
  mixSecret(state, sharedSecret(ephemeral.privateKey, pairing.remoteKey)!);
  state.mixKeyAndHash(presharedKey);
  message.set(state.encryptAndHash(EMPTY), RESPONSE.empty);
  const [receiveKey, sendKey] = state.split();
  return { message, keys: { sendKey, receiveKey } };
}

/** The response as the initiator. Null, and `pending` as it was, if it is not the responder's answer to that initiation. */
export function openResponse(
  pending: PendingInitiation,
  presharedKey: Uint8Array,
  message: Uint8Array,
): TransportKeys | null {
  const remoteEphemeral = message.slice(RESPONSE.ephemeral, RESPONSE.empty);
  const remoteKey = publicKey(remoteEphemeral);
  const ephemeralEphemeral = sharedSecret(pending.ephemeral, remoteKey);
  const staticEphemeral = sharedSecret(pending.pairing.local.privateKey, remoteKey);
  if (ephemeralEphemeral === null || staticEphemeral === null) return null;
  const state = pending.state.clone();
  mixEphemeral(state, remoteEphemeral);
  mixSecret(state, ephemeralEphemeral);
  mixSecret(state, staticEphemeral);
  state.mixKeyAndHash(presharedKey);
  const empty = state.decryptAndHash(message.subarray(RESPONSE.empty, RESPONSE.mac1));
  if (empty === null) {
    state.wipe();
    return null;
  }
  const [sendKey, receiveKey] = state.split();
  return { sendKey, receiveKey };
}

function begin(cipher: CipherName, responderPublic: Uint8Array): SymmetricState {
  const state = new SymmetricState(cipher, IDENTIFIER);
  state.mixHash(responderPublic);
  return state;
}

/** The token "e" of a handshake with a pre-shared key (Noise §9.2). */
function mixEphemeral(state: SymmetricState, ephemeralPublic: Uint8Array): void {
  state.mixHash(ephemeralPublic);
  state.mixKey(ephemeralPublic);
}

function mixSecret(state: SymmetricState, secret: Uint8Array): void {
  state.mixKey(secret);
  secret.fill(0);
}

function blank(type: number, size: number): { message: Uint8Array; view: DataView } {
  const message = new Uint8Array(size);
  message[0] = type;
  return { message, view: new DataView(message.buffer) };
}

function readUint32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}
