import type { CipherName } from '../noise/cipher.ts';
import {
  createInitiation,
  createResponse,
  openResponse,
  openTimestamp,
  type PendingInitiation,
  type ReceivedInitiation,
  type TransportKeys,
} from '../noise/handshake.ts';
import { isAfter, tai64n, TIMESTAMP_SIZE, wallClockOf } from '../noise/tai64n.ts';
import { DROP } from '../wire/drop.ts';
import type { Endpoint } from '../wire/endpoint.ts';
import { CLOCK_SKEW_LIFE, FORGET_AFTER_REJECTS, INITIATION_INTERVAL, RETRY_JITTER, type Timing } from './constants.ts';
import { CredentialChoice } from './credential-choice.ts';
import type { DeviceOutputs, Environment } from './device.ts';
import type { Binding, Credential, Identities } from './identities.ts';
import type { IndexTable } from './index-table.ts';
import { Keypairs, type BoundKeypair } from './keypairs.ts';
import { sourceOf } from './rate-limiter.ts';
import { KeepaliveTimer, RekeyTimer, ReplyTimer } from './timers.ts';

/**
 * When transport messages went out and came in: ms on the clock of `now`, 0 for never. The data plane writes, the peer reads
 * at each tick. `data…` are those with a packet inside; `sentAt` and `receivedAt` are of any, keepalives included.
 */
export interface Activity {
  dataSentAt: number;
  sentAt: number;
  dataReceivedAt: number;
  receivedAt: number;
}

/** What the peers of a device share. */
export interface DeviceContext {
  readonly outputs: DeviceOutputs;
  readonly environment: Environment;
  readonly timing: Timing;
  /** Of every handshake that waits for its response, and of every keypair. */
  readonly indices: IndexTable<Binding>;
  readonly identities: Identities;
}

export interface PeerOptions {
  /** The caller's number for the peer. */
  slot: number;
  /** In order of preference. */
  credentials: readonly Credential[];
  activity: Activity;
  /** ms; 0 or left out: none. */
  persistentKeepalive?: number;
  /** The cipher that last worked, if the caller remembers: attempts begin with its credential. */
  provenCipher?: CipherName | undefined;
}

interface OutstandingInitiation {
  readonly localIndex: number;
  readonly binding: Binding;
  readonly pending: PendingInitiation;
}

/**
 * One peer's life: handshakes in both roles, keypairs and their rotation, retries and timers (white paper §6). Made by
 * `Device.addPeer`, stopped; it does nothing until `start`. Times are `now`, ms on a monotonic clock.
 */
export class Peer {
  readonly slot: number;
  readonly activity: Activity;
  readonly #context: DeviceContext;
  readonly #keypairs = new Keypairs();
  readonly #replyTimer = new ReplyTimer();
  readonly #keepaliveTimer = new KeepaliveTimer();
  readonly #rekeyTimer = new RekeyTimer();
  readonly #choice = new CredentialChoice();
  #running = false;
  #lastHandshakeAt = 0;
  #handshakes = 0;
  #initiations = 0;
  /** Since the last handshake that succeeded. */
  #unanswered = 0;
  #unconfirmed = 0;
  #clockSkew: number | null = null;

  /** The session is to be renewed under the preferred credential as soon as may be. */
  #isRenewalWanted = false;
  #outstanding: OutstandingInitiation | null = null;
  /** When the last handshake message of either kind went out, and came in. */
  #handshakeSentAt = -Infinity;
  #handshakeReceivedAt = -Infinity;
  /** When an unanswered initiation is sent again; Infinity while none is out. */
  #retryAt = Infinity;
  #retries = 0;
  #wantedAt = 0;
  /** The greatest timestamp received (§5.1), and when: it outlives every session. */
  #greatestTimestamp: Uint8Array = new Uint8Array(TIMESTAMP_SIZE);
  #initiationReceivedAt = -Infinity;
  #lastTimestamp: Uint8Array | null = null;

  #persistentKeepalive: number;
  #persistentFrom = -Infinity;
  #forgetAt = Infinity;

  constructor(context: DeviceContext, options: PeerOptions) {
    this.#context = context;
    this.slot = options.slot;
    this.activity = options.activity;
    this.#persistentKeepalive = options.persistentKeepalive ?? 0;
    this.setCredentials(options.credentials);
    this.#choice.remember(options.provenCipher);
  }

  /** When the last handshake succeeded: ms since 1970, 0 for never. */
  get lastHandshakeAt(): number {
    return this.#lastHandshakeAt;
  }

  /** Handshakes that succeeded, whoever began them. Each after a session's first renews it. */
  get handshakes(): number {
    return this.#handshakes;
  }

  /** Handshakes begun here, answered or not. */
  get initiations(): number {
    return this.#initiations;
  }

  /** Handshakes begun here since the last that succeeded. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** The peer's initiations that were answered here, since the last handshake that succeeded. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  /** By how many ms the peer's clock was ahead of ours when it last initiated; null if it has not for a while. */
  clockSkew(now: number): number | null {
    return now - this.#initiationReceivedAt > CLOCK_SKEW_LIFE ? null : this.#clockSkew;
  }

  /** Whether there is a keypair to send under. */
  get hasSession(): boolean {
    return this.#keypairs.current !== null;
  }

  /** The credential whose handshake last succeeded; null if none has. */
  get credential(): Credential | null {
    return this.#choice.proven?.credential ?? null;
  }

  get credentials(): Credential[] {
    return this.#choice.bindings.map((binding) => binding.credential);
  }

  get running(): boolean {
    return this.#running;
  }

  /**
   * Replaces the credentials. Sessions go with the (cipher, local key, remote key) that they came from; a changed pre-shared
   * key is mixed into the next handshake. One whose remote key is of small order is left out, since it can never succeed.
   * Throws an `Error`, and nothing is changed, if another peer has the same remote key under the same local one.
   */
  setCredentials(credentials: readonly Credential[]): void {
    const { identities } = this.#context;
    const former = this.#choice.bindings;
    const bindings = new Set<Binding>();
    try {
      for (const credential of credentials) {
        const binding = identities.bind(this, credential);
        if (binding !== null) bindings.add(binding);
      }
    } catch (error) {
      for (const binding of bindings) if (!former.includes(binding)) identities.release(binding);
      throw error;
    }
    this.#choice.replace([...bindings]);
    this.#discard(this.#keypairs.remove((keypair) => !bindings.has(keypair.binding)));
    if (this.#outstanding !== null && !bindings.has(this.#outstanding.binding)) this.#dropOutstanding();
    for (const binding of former) if (!bindings.has(binding)) identities.release(binding);
  }

  /** The peer is there, so far as its owner knows: its initiations are looked for from there first. */
  expectAt(endpoint: Endpoint): void {
    for (const { identity } of this.#choice.bindings) this.#context.identities.expect(identity, sourceOf(endpoint));
  }

  get persistentKeepalive(): number {
    return this.#persistentKeepalive;
  }

  /** ms between keepalives, 0 for none. Turned on, it sends one with the next tick. */
  set persistentKeepalive(interval: number) {
    if (this.#persistentKeepalive === 0) this.#persistentFrom = -Infinity;
    this.#persistentKeepalive = interval;
  }

  /** The device is up: handshakes are made and answered from now on. */
  start(now: number): void {
    if (this.#running) return;
    this.#running = true;
    this.#replyTimer.reset(now);
    this.#keepaliveTimer.reset(now);
    if (this.#persistentKeepalive > 0) this.#keepalivePersistently(now);
  }

  /** The device is down: keypairs, handshake and timers are gone, and what waited. The greatest timestamp received stays. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#dropOutstanding();
    this.#discard(this.#keypairs.remove(() => true));
    this.#context.outputs.discardStaged(this);
    this.#retryAt = Infinity;
    this.#forgetAt = Infinity;
    this.#handshakeSentAt = -Infinity;
    this.#handshakeReceivedAt = -Infinity;
    this.#persistentFrom = -Infinity;
    this.#rekeyTimer.reset();
  }

  /**
   * There is a packet and no usable keypair, or the counter asks for a new one. Initiates, unless a handshake message went
   * out less than `rekeyTimeout` ago; an attempt under way goes on for another `rekeyAttemptTime`.
   */
  wantSession(now: number): void {
    if (!this.#running) return;
    this.#wantedAt = now;
    if (this.#retryAt !== Infinity || now - this.#handshakeSentAt < this.#context.timing.rekeyTimeout) return;
    this.#retries = 0;
    this.#initiate(now);
  }

  /** The session, if there is one, is renewed soon and not only when it is due: there is a credential to be moved to. */
  renewSoon(): void {
    this.#isRenewalWanted = true;
  }

  /** The first transport message under a keypair was opened: if that is the one we responded with, it is in use from now. */
  confirm(localIndex: number, now: number): void {
    const displaced = this.#keypairs.confirm(localIndex);
    const { current } = this.#keypairs;
    if (displaced === null || current === null) return;
    this.#context.outputs.keypairInUse(this, current);
    this.#discard(displaced);
    this.#complete(current.binding, now);
  }

  /** An initiation from this peer, which its timestamp has still to prove. Returns a `DROP` number, 0 if answered. */
  receiveInitiation(binding: Binding, received: ReceivedInitiation, from: Endpoint, now: number): number {
    const timestamp = openTimestamp(received, binding.pairing);
    if (timestamp === null) return DROP['bad-handshake'];
    if (!isAfter(timestamp, this.#greatestTimestamp)) return DROP.replayed;
    if (now - this.#initiationReceivedAt <= INITIATION_INTERVAL) return DROP['rate-limited'];
    this.#greatestTimestamp = timestamp;
    this.#clockSkew = wallClockOf(timestamp) - this.#context.environment.wallClock();
    this.#unconfirmed++;
    this.#initiationReceivedAt = now;
    this.#handshakeReceivedAt = now;

    const { outputs, environment, indices, identities } = this.#context;
    identities.expect(binding.identity, sourceOf(from));
    const localIndex = indices.claim(binding);
    const { message, keys } = createResponse(
      received,
      binding.pairing,
      binding.credential.presharedKey,
      localIndex,
      environment.ephemeral(),
    );
    binding.macs.stamp(message, now);
    outputs.endpointChanged(this, from);
    const keypair = this.#keypair(binding, keys, localIndex, received.sender, false, now);
    outputs.keypairReady(this, keypair);
    this.#discard(this.#keypairs.responded(keypair));
    this.#forgetLater(now);
    this.#handshakeSentAt = now;
    outputs.sendHandshake(this, message);
    return DROP.none;
  }

  /** A response to our index `localIndex` from the peer's index `remoteIndex`. Returns a `DROP` number, 0 if it was good. */
  receiveResponse(message: Uint8Array, localIndex: number, remoteIndex: number, from: Endpoint, now: number): number {
    const outstanding = this.#outstanding;
    if (outstanding?.localIndex !== localIndex) return DROP['unknown-index'];
    const { binding, pending } = outstanding;
    const keys = openResponse(pending, binding.credential.presharedKey, message);
    if (keys === null) return DROP['bad-handshake'];
    this.#outstanding = null;
    pending.state.wipe();

    const { outputs, identities } = this.#context;
    identities.expect(binding.identity, sourceOf(from));
    this.#handshakeReceivedAt = now;
    outputs.endpointChanged(this, from);
    const keypair = this.#keypair(binding, keys, localIndex, remoteIndex, true, now);
    outputs.keypairReady(this, keypair);
    const displaced = this.#keypairs.initiated(keypair);
    outputs.keypairInUse(this, keypair);
    this.#discard(displaced);
    this.#complete(binding, now);
    outputs.sendKeepalive(this);
    return DROP.none;
  }

  /** Fires what is due. Called about every 100 ms. */
  tick(now: number): void {
    if (!this.#running) return;
    const { timing } = this.#context;
    this.#discard(this.#keypairs.expire(now - timing.rejectAfterTime));
    if (now >= this.#retryAt) this.#retry(now);
    if (this.#isRenewalWanted && this.#retryAt === Infinity && now - this.#handshakeSentAt >= timing.rekeyTimeout) {
      this.#isRenewalWanted = false;
      if (this.#keypairs.current !== null) this.#renew(now);
    }
    const { current } = this.#keypairs;
    if (current !== null && this.#rekeyTimer.due(current, this.activity, timing)) this.#renew(now);

    const { dataSentAt, sentAt, dataReceivedAt, receivedAt } = this.activity;
    // A packet that waited for a handshake goes out in the same instant, and yet after it.
    const heardAt = Math.max(receivedAt, this.#handshakeReceivedAt - 1);
    const silence = () => timing.keepaliveTimeout + timing.rekeyTimeout + this.#jitter();
    if (this.#replyTimer.due(now, dataSentAt, heardAt, silence)) {
      this.#context.outputs.forgetSource(this);
      this.wantSession(now);
    }

    const answeredAt = Math.max(dataSentAt, this.#handshakeSentAt);
    const spokeAt = Math.max(sentAt, this.#handshakeSentAt);
    if (this.#keepaliveTimer.due(now, dataReceivedAt, spokeAt, answeredAt, timing.keepaliveTimeout)) {
      this.#keepalive(now);
    }
    if (this.#persistentKeepalive > 0) {
      const traversedAt = Math.max(spokeAt, receivedAt, this.#handshakeReceivedAt, this.#persistentFrom);
      if (this.#persistentFrom === -Infinity || now >= traversedAt + this.#persistentKeepalive) {
        this.#keepalivePersistently(now);
      }
    }
    if (now >= this.#forgetAt) this.#forget();
  }

  /** For the device: gives up the peer's identities with all else. */
  remove(): void {
    this.stop();
    this.setCredentials([]);
  }

  #initiate(now: number): void {
    const { outputs, environment, indices, timing } = this.#context;
    const binding = this.#choice.toTry(this.#retries);
    if (binding === undefined) return;
    this.#dropOutstanding();
    const localIndex = indices.claim(binding);
    this.#lastTimestamp = tai64n(environment.wallClock(), this.#lastTimestamp);
    const ephemeral = environment.ephemeral();
    const { message, pending } = createInitiation(binding.pairing, localIndex, ephemeral, this.#lastTimestamp);
    binding.macs.stamp(message, now);
    this.#outstanding = { localIndex, binding, pending };
    this.#handshakeSentAt = now;
    this.#retryAt = now + timing.rekeyTimeout + this.#jitter();
    this.#initiations++;
    this.#unanswered++;
    outputs.sendHandshake(this, message);
  }

  #retry(now: number): void {
    const { outputs, timing } = this.#context;
    if (now - this.#wantedAt < timing.rekeyAttemptTime) {
      this.#choice.unanswered(this.#retries);
      this.#retries++;
      this.#retryAt = Infinity;
      outputs.forgetSource(this);
      this.#initiate(now);
      return;
    }
    this.#retryAt = Infinity;
    this.#choice.giveUp();
    if (this.#forgetAt === Infinity) this.#forgetLater(now);
    outputs.discardStaged(this);
  }

  #renew(now: number): void {
    this.#choice.renew();
    this.wantSession(now);
  }

  /** A handshake succeeded: what was tried for it is over. */
  #complete(binding: Binding, now: number): void {
    this.#dropOutstanding();
    this.#retryAt = Infinity;
    this.#retries = 0;
    this.#rekeyTimer.reset();
    this.#choice.succeeded(binding);
    this.#lastHandshakeAt = this.#context.environment.wallClock();
    this.#handshakes++;
    this.#unanswered = 0;
    this.#unconfirmed = 0;
    this.#forgetLater(now);
  }

  #keypair(
    binding: Binding,
    { sendKey, receiveKey }: TransportKeys,
    localIndex: number,
    remoteIndex: number,
    isInitiator: boolean,
    createdAt: number,
  ): BoundKeypair {
    const { cipher } = binding.identity.local;
    return { binding, cipher, localIndex, remoteIndex, sendKey, receiveKey, isInitiator, createdAt };
  }

  #keepalive(now: number): void {
    if (this.#keypairs.current === null) this.wantSession(now);
    else this.#context.outputs.sendKeepalive(this);
  }

  #keepalivePersistently(now: number): void {
    // It stays due: a call to nowhere would only put off the one that is made as soon as the peer is found.
    if (!this.#context.outputs.isLocated(this)) return;
    this.#persistentFrom = now;
    this.#keepalive(now);
  }

  #forgetLater(now: number): void {
    this.#forgetAt = now + FORGET_AFTER_REJECTS * this.#context.timing.rejectAfterTime;
  }

  #forget(): void {
    this.#forgetAt = Infinity;
    this.#dropOutstanding();
    this.#discard(this.#keypairs.remove(() => true));
  }

  #dropOutstanding(): void {
    if (this.#outstanding === null) return;
    this.#context.indices.release(this.#outstanding.localIndex);
    this.#outstanding.pending.state.wipe();
    this.#outstanding = null;
  }

  #discard(keypairs: readonly BoundKeypair[]): void {
    for (const keypair of keypairs) {
      this.#context.indices.release(keypair.localIndex);
      this.#context.outputs.keypairGone(this, keypair);
      keypair.sendKey.fill(0);
      keypair.receiveKey.fill(0);
    }
  }

  #jitter(): number {
    const [high, low] = this.#context.environment.random(2);
    return (((high << 8) | low) * (RETRY_JITTER + 1)) >>> 16;
  }
}
