import { COOKIE_NONCE_SIZE, CookieSecret, hasMac2 } from '../noise/cookie.ts';
import { openInitiation } from '../noise/handshake.ts';
import type { KeyPair } from '../noise/x25519.ts';
import { DROP } from '../wire/drop.ts';
import { remoteBytes, type Endpoint } from '../wire/endpoint.ts';
import { COOKIE_REPLY, INITIATION, MESSAGE, MESSAGE_SIZE, RESPONSE } from '../wire/messages.ts';
import { Budget } from './budget.ts';
import {
  DEFAULT_TIMING,
  MAC1_BURST,
  MAC1_PER_SECOND,
  UNDER_LOAD_QUEUE,
  UNDER_LOAD_TIME,
  type Timing,
} from './constants.ts';
import { bindingOf, Identities, type Binding, type Identity } from './identities.ts';
import { IndexTable } from './index-table.ts';
import type { Keypair } from './keypairs.ts';
import { Peer, type DeviceContext, type PeerOptions } from './peer.ts';
import { RateLimiter, sourceOf } from './rate-limiter.ts';

/**
 * What a device asks its caller to do. Each is called from within a call of the device or of a peer, and may itself call
 * `wantSession` and `confirm`. Messages are the caller's to keep; a keypair's key bytes are wiped once `keypairGone` returns.
 */
export interface DeviceOutputs {
  /** Whether it is known where the peer is. */
  isLocated(peer: Peer): boolean;
  /** To the peer's endpoint, which the caller keeps; without one, nowhere. */
  sendHandshake(peer: Peer, message: Uint8Array): void;
  /** A cookie reply, to where a message came from. */
  reply(to: Endpoint, message: Uint8Array): void;
  /** The peer is not heard: what is sent to it need not leave from the address that its messages came to, if that is why. */
  forgetSource(peer: Peer): void;
  /** An authenticated handshake message came from there, perhaps from where the peer already was. */
  endpointChanged(peer: Peer, from: Endpoint): void;
  /** Datagrams that bear the keypair's local index are to be opened from now on. */
  keypairReady(peer: Peer, keypair: Keypair): void;
  /** Packets are to be sealed under it from now on. */
  keypairInUse(peer: Peer, keypair: Keypair): void;
  /** It neither sends nor receives any more. */
  keypairGone(peer: Peer, keypair: Keypair): void;
  /** An empty packet under the keypair in use; not needed if packets that waited for it have just gone out. */
  sendKeepalive(peer: Peer): void;
  /** A message from there was dropped, for a `DROP` number; it was the peer's, or would be if it were not for a mistake. */
  refused(peer: Peer | null, from: Endpoint, reason: number): void;
  /** The peer could not be reached, or is stopped: what waits for it is to be dropped. */
  discardStaged(peer: Peer): void;
}

export interface Environment {
  /** So many bytes from a cryptographic source, the caller's to overwrite. */
  random(length: number): Uint8Array;
  /** A new X25519 key pair, for one handshake. */
  ephemeral(): KeyPair;
  /** ms since 1970. */
  wallClock(): number;
}

/**
 * A WireGuard device without its I/O and without its data plane: handshake messages and time go in, messages and keypairs come
 * out. Times are `now`: ms on a monotonic clock, above 0.
 */
export class Device {
  readonly #context: DeviceContext;
  readonly #peers = new Set<Peer>();
  readonly #limiter = new RateLimiter();
  readonly #mac1Budget = new Budget(MAC1_PER_SECOND, MAC1_BURST);
  readonly #cookieSecret: CookieSecret;
  #underLoadUntil = -Infinity;
  /** Whose the message is that is being received, as soon as that is known. */
  #sender: Peer | null = null;

  constructor(outputs: DeviceOutputs, environment: Environment, timing: Timing = DEFAULT_TIMING) {
    const random = (length: number) => environment.random(length);
    const indices = new IndexTable<Binding>(random);
    this.#context = { outputs, environment, timing, indices, identities: new Identities() };
    this.#cookieSecret = new CookieSecret(random);
  }

  get peers(): ReadonlySet<Peer> {
    return this.#peers;
  }

  /** A new peer, stopped. Throws an `Error` if another has the same public key under the same local one. */
  addPeer(options: PeerOptions): Peer {
    const peer = new Peer(this.#context, options);
    this.#peers.add(peer);
    return peer;
  }

  removePeer(peer: Peer): void {
    if (this.#peers.delete(peer)) peer.remove();
  }

  /**
   * Takes one datagram that is not a transport message. `queued`: how many more wait behind it; from 128 on, and for a second
   * after, the device is under load and wants proof of each sender's address. Returns a `DROP` number, 0 if accepted.
   */
  receive(message: Uint8Array, from: Endpoint, now: number, queued: number): number {
    this.#sender = null;
    const reason = this.#receive(message, from, now, queued);
    if (reason !== DROP.none) this.#context.outputs.refused(this.#sender, from, reason);
    return reason;
  }

  /** Fires what is due. To be called about every 100 ms. */
  tick(now: number): void {
    for (const peer of this.#peers) peer.tick(now);
    this.#limiter.sweep(now);
  }

  /** Removes every peer; their keys are wiped. */
  close(): void {
    for (const peer of this.#peers) this.removePeer(peer);
  }

  #receive(message: Uint8Array, from: Endpoint, now: number, queued: number): number {
    if (queued >= UNDER_LOAD_QUEUE) this.#underLoadUntil = now + UNDER_LOAD_TIME;
    if (message.length < 4 || (message[1] | message[2] | message[3]) !== 0) return DROP['malformed-datagram'];
    if (message[0] === MESSAGE.initiation && message.length === MESSAGE_SIZE.initiation) {
      return this.#receiveInitiation(message, from, now);
    }
    if (message[0] === MESSAGE.response && message.length === MESSAGE_SIZE.response) {
      return this.#receiveResponse(message, from, now);
    }
    if (message[0] === MESSAGE.cookieReply && message.length === MESSAGE_SIZE.cookieReply) {
      return this.#receiveCookieReply(message, now);
    }
    return DROP['malformed-datagram'];
  }

  #receiveInitiation(message: Uint8Array, from: Endpoint, now: number): number {
    const { identities } = this.#context;
    let identity = identities.expected(message, sourceOf(from));
    if (identity === undefined) {
      if (!this.#maySearch(message, from, now)) return DROP['mac1-limited'];
      identity = identities.search(message, (tries) => this.#mac1Budget.spend(tries));
      if (identity === undefined) return this.#misaddressed(message);
    }
    const refusal = this.#refuseUnderLoad(identity, message, readIndex(message, INITIATION.sender), from, now);
    if (refusal !== DROP.none) return refusal;
    const received = openInitiation(identity.local, message);
    if (received === null) return DROP['bad-handshake'];
    const binding = bindingOf(identity, received.remotePublic);
    this.#sender = binding?.peer ?? null;
    const drop = binding?.peer.running
      ? binding.peer.receiveInitiation(binding, received, from, now)
      : DROP['unknown-peer'];
    received.state.wipe();
    return drop;
  }

  #receiveResponse(message: Uint8Array, from: Endpoint, now: number): number {
    const receiver = readIndex(message, RESPONSE.receiver);
    const binding = this.#context.indices.find(receiver);
    if (binding === undefined) return DROP['unknown-index'];
    const { identity, peer } = binding;
    this.#sender = peer;
    if (!identity.macs.hasMac1(message)) return DROP['bad-mac1'];
    const sender = readIndex(message, RESPONSE.sender);
    const refusal = this.#refuseUnderLoad(identity, message, sender, from, now);
    if (refusal !== DROP.none) return refusal;
    return peer.receiveResponse(message, receiver, sender, from, now);
  }

  /** A cookie reply answers the last message from an index; it says nothing of where the peer is. */
  #receiveCookieReply(message: Uint8Array, now: number): number {
    const binding = this.#context.indices.find(readIndex(message, COOKIE_REPLY.receiver));
    if (binding === undefined) return DROP['unknown-index'];
    this.#sender = binding.peer;
    return binding.macs.consumeReply(message, now) ? DROP.none : DROP['bad-handshake'];
  }

  /** Why an initiation is dropped that names none of our identities. */
  #misaddressed(message: Uint8Array): number {
    const mistake = this.#context.identities.mistake(message, (tries) => this.#mac1Budget.spend(tries));
    if (mistake === undefined) return DROP['bad-mac1'];
    this.#sender = mistake.peer;
    return DROP[mistake.reason];
  }

  /**
   * Which identity a message from nowhere known names, only its mac1 under each of them says. That much work is done for
   * strangers within a budget, beyond which a sender must show the cookie for its address, and keep to its rate.
   */
  #maySearch(message: Uint8Array, from: Endpoint, now: number): boolean {
    if (this.#mac1Budget.allows(now)) return true;
    return hasMac2(message, this.#cookieSecret.cookie(remoteBytes(from), now)) && this.#limiter.allow(from, now);
  }

  /** Under load a sender must show the cookie for its address and port, and keep to its rate (§5.3). */
  #refuseUnderLoad(identity: Identity, message: Uint8Array, sender: number, from: Endpoint, now: number): number {
    if (now >= this.#underLoadUntil) return DROP.none;
    const cookie = this.#cookieSecret.cookie(remoteBytes(from), now);
    if (hasMac2(message, cookie)) {
      return this.#limiter.allow(from, now) ? DROP.none : DROP['rate-limited'];
    }
    const nonce = this.#context.environment.random(COOKIE_NONCE_SIZE);
    this.#context.outputs.reply(from, identity.macs.cookieReply(message, sender, cookie, nonce));
    return DROP['under-load'];
  }
}

function readIndex(message: Uint8Array, at: number): number {
  return new DataView(message.buffer, message.byteOffset).getUint32(at, true);
}
