/** The indices by which peers name our handshakes and keypairs (white paper §5.4.2): random, so that they tell nothing. */
export class IndexTable<Owner> {
  readonly #owners = new Map<number, Owner>();
  readonly #random: (length: number) => Uint8Array;

  constructor(random: (length: number) => Uint8Array) {
    this.#random = random;
  }

  /** A new index, 1 to 2^32 - 1, that stands for `owner` until it is released. */
  claim(owner: Owner): number {
    for (;;) {
      const bytes = this.#random(4);
      const index = ((bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3]) >>> 0;
      if (index === 0 || this.#owners.has(index)) continue;
      this.#owners.set(index, owner);
      return index;
    }
  }

  find(index: number): Owner | undefined {
    return this.#owners.get(index);
  }

  release(index: number): void {
    this.#owners.delete(index);
  }
}
