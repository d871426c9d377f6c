import type { CipherName } from '../noise/cipher.ts';
import { ReceiverMacs, SenderMacs } from '../noise/cookie.ts';
import { localStatic, pair, type LocalStatic, type Pairing } from '../noise/handshake.ts';
import { MAC1_NEAR } from './constants.ts';
import type { Peer } from './peer.ts';

/**
 * An identity that we don't have and that a peer may take for ours, as one of the two ends is configured wrongly. Initiations
 * to it can't be answered, but what is wrong can be told.
 */
export interface Lookalike {
  readonly publicKey: Uint8Array;
  /** `same-role`: it is the peer's own. `other-cipher`: ours under a cipher that we were told not to use. */
  readonly reason: 'same-role' | 'other-cipher';
}

/** One way to shake hands with a peer. The arrays stay the caller's, to be left as they are while in use. */
export interface Credential {
  readonly cipher: CipherName;
  readonly localPrivate: Uint8Array;
  readonly remotePublic: Uint8Array;
  /** 32 bytes; all zero for none. */
  readonly presharedKey: Uint8Array;
  /** The peering is being moved to it: renewals try it first, and what has to begin anew, only once it has worked. */
  readonly isNext?: boolean;
  readonly lookalikes?: readonly Lookalike[];
}

/** One of a device's identities, a static key under a cipher, and the peers that know the device by it. */
export interface Identity {
  readonly local: LocalStatic;
  readonly macs: ReceiverMacs;
  /** By the peer's public key, in hex. */
  readonly bindings: Map<string, Binding>;
}

/** A peer as seen through one of its credentials. */
export interface Binding {
  readonly peer: Peer;
  readonly identity: Identity;
  readonly pairing: Pairing;
  /** Of messages to the peer: it may have given us a cookie. */
  readonly macs: SenderMacs;
  /** Whose pre-shared key the next handshake mixes in. */
  credential: Credential;
}

/** What an initiation tells that was addressed to a lookalike. */
export interface Mistake {
  readonly peer: Peer;
  readonly reason: Lookalike['reason'];
}

/** A device's identities: those of its peers' credentials, each kept as long as a peer has it. */
export class Identities {
  readonly #identities = new Map<string, Identity>();
  /** The one that was last found comes last: in a storm of first calls those that are still to come stand in front. */
  readonly #order: Identity[] = [];
  /** By source, the identities whose peers were last seen there, the latest first, and the reverse. */
  readonly #near = new Map<number | string, Identity[]>();
  readonly #sources = new Map<Identity, number | string>();
  readonly #lookalikes = new Map<Binding, (Mistake & { readonly macs: ReceiverMacs })[]>();

  /**
   * The peer's binding for `credential`: the one that it has already, or a new one. Null if the remote public key is of small
   * order, so that no handshake can succeed. Throws an `Error` if another peer holds that public key under that identity.
   */
  bind(peer: Peer, credential: Credential): Binding | null {
    const identity = this.#identity(credential);
    const name = hex(credential.remotePublic);
    const held = identity.bindings.get(name);
    if (held !== undefined) {
      if (held.peer !== peer) throw new Error('another peer has this public key');
      held.credential = credential;
      this.#watchFor(held);
      return held;
    }
    const pairing = pair(identity.local, credential.remotePublic);
    if (pairing === null) return null;
    const binding = { peer, identity, pairing, macs: new SenderMacs(credential.remotePublic), credential };
    if (identity.bindings.size === 0) {
      this.#identities.set(nameOf(identity.local), identity);
      this.#order.push(identity);
    }
    identity.bindings.set(name, binding);
    this.#watchFor(binding);
    return binding;
  }

  release(binding: Binding): void {
    const { identity, pairing } = binding;
    this.#lookalikes.delete(binding);
    pairing.staticStatic.fill(0);
    identity.bindings.delete(hex(pairing.remotePublic));
    if (identity.bindings.size > 0) return;
    this.#identities.delete(nameOf(identity.local));
    this.#order.splice(this.#order.indexOf(identity), 1);
    this.#leave(identity);
  }

  /** A peer that knows the device by this identity is at this source, so far as is known. */
  expect(identity: Identity, source: number | string): void {
    if (this.#near.get(source)?.[0] === identity) return;
    this.#leave(identity);
    const others = this.#near.get(source) ?? [];
    for (const crowded of others.slice(MAC1_NEAR - 1)) this.#leave(crowded);
    this.#near.set(source, [identity, ...others.slice(0, MAC1_NEAR - 1)]);
    this.#sources.set(identity, source);
  }

  /** The identity that the initiation's mac1 names, if it is one of those that are expected from there. */
  expected(message: Uint8Array, source: number | string): Identity | undefined {
    return this.#near.get(source)?.find(({ macs }) => macs.hasMac1(message));
  }

  /** The identity that the initiation's mac1 names; `spend` is told how many were tried. */
  search(message: Uint8Array, spend: (tries: number) => void): Identity | undefined {
    const at = this.#order.findIndex(({ macs }) => macs.hasMac1(message));
    spend(at < 0 ? this.#order.length : at + 1);
    if (at < 0) return undefined;
    const [identity] = this.#order.splice(at, 1);
    this.#order.push(identity);
    return identity;
  }

  /** What is wrong with an initiation that names none of the identities, if that can be told; `spend` as with `search`. */
  mistake(message: Uint8Array, spend: (tries: number) => void): Mistake | undefined {
    let tries = 0;
    try {
      for (const lookalikes of this.#lookalikes.values()) {
        for (const lookalike of lookalikes) {
          tries++;
          if (lookalike.macs.hasMac1(message)) return lookalike;
        }
      }
      return undefined;
    } finally {
      spend(tries);
    }
  }

  #watchFor(binding: Binding): void {
    const { lookalikes = [] } = binding.credential;
    const { peer } = binding;
    this.#lookalikes.delete(binding);
    if (lookalikes.length === 0) return;
    const watched = lookalikes.map(({ publicKey, reason }) => ({ peer, reason, macs: new ReceiverMacs(publicKey) }));
    this.#lookalikes.set(binding, watched);
  }

  #leave(identity: Identity): void {
    const source = this.#sources.get(identity);
    if (source === undefined) return;
    this.#sources.delete(identity);
    const left = this.#near.get(source)?.filter((other) => other !== identity) ?? [];
    if (left.length > 0) this.#near.set(source, left);
    else this.#near.delete(source);
  }

  #identity({ cipher, localPrivate }: Credential): Identity {
    const local = localStatic(cipher, localPrivate);
    return (
      this.#identities.get(nameOf(local)) ?? { local, macs: new ReceiverMacs(local.publicKey), bindings: new Map() }
    );
  }
}

/** The binding under `identity` of the peer with this public key. */
export function bindingOf(identity: Identity, remotePublic: Uint8Array): Binding | undefined {
  return identity.bindings.get(hex(remotePublic));
}

/** Of the public key, so that no string holds a private one. */
function nameOf({ cipher, publicKey }: LocalStatic): string {
  return `${cipher} ${hex(publicKey)}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
