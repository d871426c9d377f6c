/** What the peer's gateway says about the peering itself, picked out for the main thread, at a rate that can't fill it. */
import { controlPayload, isControl } from '../wire/control.ts';
import type { Packet } from '../wire/packet.ts';
import { MAX_PEERS } from './counters.ts';

/** From one peer's message to its next, in ms. Who says something says it again until it is answered. */
const INTERVAL = 20;

/** What became of a packet that may be such a message. */
export const CONTROLLED = {
  /** An ordinary packet. */
  no: 0,
  /** It ends here, and `payload` is for the main thread. */
  heard: 1,
  /** One too many: it is dropped. */
  limited: 2,
} as const;

export class ControlReader {
  readonly #heardAt = new Float64Array(MAX_PEERS).fill(-Infinity);
  /** After `read` gave `CONTROLLED.heard`. */
  payload: Uint8Array = new Uint8Array(0);

  /** A `CONTROLLED` for a packet of the peer in `slot`, parsed at `offset`. `now` in ms. Allocates for a message. */
  read(packet: Packet, bytes: Uint8Array, offset: number, slot: number, now: number): number {
    if (!isControl(packet)) return CONTROLLED.no;
    if (now - this.#heardAt[slot] < INTERVAL) return CONTROLLED.limited;
    this.#heardAt[slot] = now;
    this.payload = controlPayload(packet, bytes, offset);
    return CONTROLLED.heard;
  }
}
