/** The keys of sessions in the AEAD's slots, and the threads' orders to use them or to stop. */
import type { InboundOrder, OutboundOrder } from '../dataplane/messages.ts';
import { keys } from '../nic/native.ts';
import type { Timing } from '../session/constants.ts';
import type { Keypair } from '../session/keypairs.ts';
import type { DataThread } from './threads.ts';

export class KeySlots {
  readonly #outbound: DataThread<OutboundOrder>;
  readonly #inbound: DataThread<InboundOrder>;
  readonly #timing: Timing;
  readonly #held = new Map<Keypair, { receive: number; send: number }>();

  constructor(outbound: DataThread<OutboundOrder>, inbound: DataThread<InboundOrder>, timing: Timing) {
    this.#outbound = outbound;
    this.#inbound = inbound;
    this.#timing = timing;
  }

  /** What comes to the peer in `slot` under the keypair can be opened from now on. */
  ready(slot: number, keypair: Keypair): void {
    const key = keys.setKey(keypair.cipher, keypair.receiveKey, false);
    this.#held.set(keypair, { receive: key, send: 0 });
    this.#inbound.order({
      type: 'receiveKey',
      slot,
      key,
      index: keypair.localIndex | 0,
      confirmed: keypair.isInitiator,
      expiresAt: keypair.createdAt + this.#timing.rejectAfterTime,
    });
  }

  /** What goes to the peer in `slot` is sealed under the keypair from now on. It was `ready` before. */
  use(slot: number, keypair: Keypair): void {
    const key = keys.setKey(keypair.cipher, keypair.sendKey, true);
    this.#held.get(keypair)!.send = key;
    this.#outbound.order({
      type: 'sendKey',
      slot,
      key,
      receiver: keypair.remoteIndex | 0,
      expiresAt: keypair.createdAt + this.#timing.rejectAfterTime,
    });
  }

  /** The keypair is used no more. */
  drop(slot: number, keypair: Keypair): void {
    const slots = this.#held.get(keypair);
    if (slots === undefined) return;
    this.#held.delete(keypair);
    this.#inbound.order({ type: 'receiveKeyGone', index: keypair.localIndex | 0 });
    if (slots.send !== 0) this.#outbound.order({ type: 'sendKeyGone', slot, key: slots.send });
    keys.freeKey(slots.receive);
    if (slots.send !== 0) keys.freeKey(slots.send);
  }
}
