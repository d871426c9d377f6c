import type { CipherName } from '../noise/cipher.ts';
import type { Binding } from './identities.ts';

/** The keys of one session, named by the index that its messages to us bear. */
export interface Keypair {
  readonly cipher: CipherName;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly isInitiator: boolean;
  /** ms, on the clock of `now`. */
  readonly createdAt: number;
}

/** A keypair that remembers by which credential it came about. */
export interface BoundKeypair extends Keypair {
  readonly binding: Binding;
}

const NONE: readonly BoundKeypair[] = [];

/**
 * A peer's keypairs (white paper §6.3): `current`, which we send under; `previous`, which may still arrive; and, as a
 * responder, `next`, which becomes current when the initiator is first heard under it. Each step returns what it displaced.
 */
export class Keypairs {
  current: BoundKeypair | null = null;
  previous: BoundKeypair | null = null;
  next: BoundKeypair | null = null;

  /** We initiated and the peer responded: it can receive under `keypair`, so it is current at once. */
  initiated(keypair: BoundKeypair): readonly BoundKeypair[] {
    // A session that the peer initiated meanwhile may be the one that it sends under, so it outlives the current one.
    const displaced = this.next === null ? [this.previous] : [this.previous, this.current];
    this.previous = this.next ?? this.current;
    this.current = keypair;
    this.next = null;
    return present(displaced);
  }

  /** The peer initiated and we responded: it is not yet known that the response arrived. */
  responded(keypair: BoundKeypair): readonly BoundKeypair[] {
    const displaced = [this.previous, this.next];
    this.previous = null;
    this.next = keypair;
    return present(displaced);
  }

  /** The peer was heard under `localIndex`. If that is `next`, it is current now; otherwise null and no change. */
  confirm(localIndex: number): readonly BoundKeypair[] | null {
    if (this.next?.localIndex !== localIndex) return null;
    const displaced = [this.previous];
    this.previous = this.current;
    this.current = this.next;
    this.next = null;
    return present(displaced);
  }

  /** Takes out what `unwanted` holds for. */
  remove(unwanted: (keypair: BoundKeypair) => boolean): readonly BoundKeypair[] {
    const removed = present([this.previous, this.current, this.next]).filter(unwanted);
    if (removed.length === 0) return NONE;
    const kept = (keypair: BoundKeypair | null) => (keypair !== null && removed.includes(keypair) ? null : keypair);
    this.previous = kept(this.previous);
    this.current = kept(this.current);
    this.next = kept(this.next);
    return removed;
  }

  /** Takes out what was created at `time` or before. */
  expire(time: number): readonly BoundKeypair[] {
    const oldest = Math.min(createdAt(this.previous), createdAt(this.current), createdAt(this.next));
    return oldest <= time ? this.remove((keypair) => keypair.createdAt <= time) : NONE;
  }
}

function createdAt(keypair: BoundKeypair | null): number {
  return keypair === null ? Infinity : keypair.createdAt;
}

function present(keypairs: (BoundKeypair | null)[]): BoundKeypair[] {
  return keypairs.filter((keypair) => keypair !== null);
}
