import type { CipherName } from '../noise/cipher.ts';
import { ReceiverMacs, SenderMacs } from '../noise/cookie.ts';
import { localStatic, pair, type LocalStatic, type Pairing } from '../noise/handshake.ts';
import type { Peer } from './peer.ts';

/** One way to shake hands with a peer. The arrays stay the caller's, to be left as they are while in use. */
export interface Credential {
  readonly cipher: CipherName;
  readonly localPrivate: Uint8Array;
  readonly remotePublic: Uint8Array;
  /** 32 bytes; all zero for none. */
  readonly presharedKey: Uint8Array;
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

/** A device's identities: those of its peers' credentials, each kept as long as a peer has it. */
export class Identities {
  readonly #identities = new Map<string, Identity>();
  /** The one that was last addressed comes first. */
  readonly #recent: Identity[] = [];

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
      return held;
    }
    const pairing = pair(identity.local, credential.remotePublic);
    if (pairing === null) return null;
    const binding = { peer, identity, pairing, macs: new SenderMacs(credential.remotePublic), credential };
    if (identity.bindings.size === 0) {
      this.#identities.set(nameOf(identity.local), identity);
      this.#recent.push(identity);
    }
    identity.bindings.set(name, binding);
    return binding;
  }

  release({ identity, pairing }: Binding): void {
    pairing.staticStatic.fill(0);
    identity.bindings.delete(hex(pairing.remotePublic));
    if (identity.bindings.size > 0) return;
    this.#identities.delete(nameOf(identity.local));
    this.#recent.splice(this.#recent.indexOf(identity), 1);
  }

  /** The identity that an initiation's mac1 names. */
  addressed(message: Uint8Array): Identity | undefined {
    const at = this.#recent.findIndex((candidate) => candidate.macs.hasMac1(message));
    if (at < 0) return undefined;
    const [identity] = this.#recent.splice(at, 1);
    this.#recent.unshift(identity);
    return identity;
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
