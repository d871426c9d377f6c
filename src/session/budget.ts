/** Work that is allowed for: so much per second, and what was left unused of it up to a limit. A token bucket. */
export class Budget {
  readonly #perSecond: number;
  readonly #limit: number;
  #left: number;
  #at = 0;

  constructor(perSecond: number, limit: number) {
    this.#perSecond = perSecond;
    this.#limit = limit;
    this.#left = limit;
  }

  /** Whether anything is left. `now` in ms. */
  allows(now: number): boolean {
    this.#left = Math.min(this.#limit, this.#left + (Math.max(0, now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    return this.#left > 0;
  }

  /** Work that was done; the last of it may go into debt. */
  spend(work: number): void {
    this.#left -= work;
  }
}
