import { STAGED_BYTES, STAGED_PACKETS } from './constants.ts';

/** Packets that wait for a peer's session, oldest first: at most 128 and 512 KiB, of which the oldest give way. */
export class Staging {
  #packets: { bytes: Uint8Array; meta: Int32Array }[] = [];
  #size = 0;

  /** How many wait. */
  get length(): number {
    return this.#packets.length;
  }

  /** Copies a packet and its descriptor row to the end; returns how many older ones it pushed out. */
  push(bytes: Uint8Array, meta: Int32Array): number {
    this.#packets.push({ bytes: bytes.slice(), meta: meta.slice() });
    this.#size += bytes.length;
    let dropped = 0;
    while (this.#packets.length - dropped > STAGED_PACKETS || this.#size > STAGED_BYTES) {
      this.#size -= this.#packets[dropped++].bytes.length;
    }
    if (dropped > 0) this.#packets.splice(0, dropped);
    return dropped;
  }

  /** Hands over all that wait, in order. What `each` stages anew is kept for the next time. */
  drain(each: (bytes: Uint8Array, meta: Int32Array) => void): void {
    const packets = this.#take();
    for (const { bytes, meta } of packets) each(bytes, meta);
  }

  /** Discards all that wait; returns how many. */
  clear(): number {
    return this.#take().length;
  }

  #take(): { bytes: Uint8Array; meta: Int32Array }[] {
    const packets = this.#packets;
    this.#packets = [];
    this.#size = 0;
    return packets;
  }
}
