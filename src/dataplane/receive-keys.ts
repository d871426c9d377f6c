/** The keys to open with, by the index that transport messages name. */
import { ENDPOINT_WORDS } from '../wire/endpoint.ts';
import { ReplayWindow } from '../session/replay.ts';
import type { InboundOrder } from './messages.ts';

/** A key to open with. A responder's is confirmed by the first message under it. */
export interface ReceiveKey {
  readonly peer: InboundPeer;
  readonly key: number;
  readonly index: number;
  readonly expiresAt: number;
  readonly window: ReplayWindow;
  confirmed: boolean;
}

export interface InboundPeer {
  readonly slot: number;
  /** As last seen; where the peer is said to be can differ, if a handshake or the operator moved it since. */
  readonly endpoint: Int32Array;
}

export class ReceiveKeys {
  readonly #keys = new Map<number, ReceiveKey>();
  readonly #peers = new Map<number, InboundPeer>();
  /** Most messages name the same index as the one before. */
  #last: ReceiveKey | undefined;

  find(index: number): ReceiveKey | undefined {
    if (this.#last?.index === index) return this.#last;
    const key = this.#keys.get(index);
    if (key !== undefined) this.#last = key;
    return key;
  }

  add({ slot, key, index, confirmed, expiresAt }: Extract<InboundOrder, { type: 'receiveKey' }>): void {
    const window = new ReplayWindow();
    this.#keys.set(index, { peer: this.#peer(slot), key, index, expiresAt, window, confirmed });
  }

  remove(index: number): void {
    this.#keys.delete(index);
    if (this.#last?.index === index) this.#last = undefined;
  }

  /** The peer's endpoint is said anew, and what was last seen is nothing to compare with. */
  forgetEndpoint(slot: number): void {
    this.#peer(slot).endpoint.fill(0);
  }

  forgetPeer(slot: number): void {
    this.#peers.delete(slot);
  }

  #peer(slot: number): InboundPeer {
    let peer = this.#peers.get(slot);
    if (peer === undefined) {
      peer = { slot, endpoint: new Int32Array(ENDPOINT_WORDS) };
      this.#peers.set(slot, peer);
    }
    return peer;
  }
}
