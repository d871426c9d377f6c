import { REJECT_AFTER_MESSAGES, REPLAY_WINDOW } from './constants.ts';

/** Twice the window, so that the words behind it can be cleared while it moves (RFC 6479 wants one word more). */
const RING_BITS = 2 * REPLAY_WINDOW;
const WORD_MASK = RING_BITS / 32 - 1;
/** Flipping the sign makes a signed comparison of int32 words an unsigned one. */
const SIGN = -0x80000000;

/**
 * Which counters were seen, by RFC 6479: of the 8,192 that end with the greatest, each is accepted once; older ones never.
 * Counters are 64 bits as two int32 words, unsigned in meaning. Accept only what has been opened: a forged counter moves
 * the window.
 */
export class ReplayWindow {
  readonly #ring = new Int32Array(RING_BITS / 32);
  #lo = 0;
  #hi = 0;

  /** Whether a message with this counter is new; it then counts as seen. */
  accept(lo: number, hi: number): boolean {
    lo |= 0;
    hi |= 0;
    if (hi === REJECT_AFTER_MESSAGES.hi && (lo ^ SIGN) >= (REJECT_AFTER_MESSAGES.lo ^ SIGN)) return false;
    const ring = this.#ring;
    const block = (lo >>> 5) | (hi << 27);
    if ((hi ^ SIGN) > (this.#hi ^ SIGN) || (hi === this.#hi && (lo ^ SIGN) > (this.#lo ^ SIGN))) {
      const ahead = (lo - this.#lo) | 0;
      const aheadHi = (hi - this.#hi - ((lo ^ SIGN) < (this.#lo ^ SIGN) ? 1 : 0)) | 0;
      if (aheadHi !== 0 || (ahead & -RING_BITS) !== 0) {
        ring.fill(0);
      } else {
        const last = (this.#lo >>> 5) | (this.#hi << 27);
        const steps = (block - last) | 0;
        for (let step = 1; step <= steps; step++) ring[(last + step) & WORD_MASK] = 0;
      }
      this.#lo = lo;
      this.#hi = hi;
    } else {
      const behind = (this.#lo - lo) | 0;
      const behindHi = (this.#hi - hi - ((this.#lo ^ SIGN) < (lo ^ SIGN) ? 1 : 0)) | 0;
      if (behindHi !== 0 || (behind & -REPLAY_WINDOW) !== 0) return false;
    }
    const bit = 1 << (lo & 31);
    const word = ring[block & WORD_MASK];
    if ((word & bit) !== 0) return false;
    ring[block & WORD_MASK] = word | bit;
    return true;
  }

  /** For a new key. */
  reset(): void {
    this.#ring.fill(0);
    this.#lo = 0;
    this.#hi = 0;
  }
}
