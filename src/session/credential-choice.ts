import type { CipherName } from '../noise/cipher.ts';
import type { Binding } from './identities.ts';

/** Which of a peer's credentials its next handshake uses. */
export class CredentialChoice {
  /** In order of preference. */
  #bindings: readonly Binding[] = [];
  /** The one whose handshake last succeeded. */
  #proven: Binding | null = null;
  /** The attempt renews a session that still carries traffic, so that time may be spent on the preferred credential. */
  #renewing = false;
  /** The first attempt of a renewal went unanswered: the peer does not know the first credential. */
  #isPreferredRefused = false;

  get bindings(): readonly Binding[] {
    return this.#bindings;
  }

  /** The binding whose handshake last succeeded, if it is one of these still. */
  get proven(): Binding | null {
    return this.#proven;
  }

  replace(bindings: readonly Binding[]): void {
    this.#bindings = bindings;
    if (this.#proven !== null && !bindings.includes(this.#proven)) this.#proven = null;
  }

  /** The caller remembers that this cipher worked. */
  remember(cipher: CipherName | undefined): void {
    this.#proven = this.#bindings.find(({ credential }) => credential.cipher === cipher) ?? null;
  }

  /**
   * The credential that last worked, else the first; with each retry the one after. A renewal begins with the first, until
   * that goes unanswered: a message that was lost at the start does not bind the peering to its second choice.
   */
  toTry(retries: number): Binding | undefined {
    const first = this.#renewing ? this.#preferred : this.#proven === null ? 0 : this.#bindings.indexOf(this.#proven);
    return this.#bindings[(first + retries) % this.#bindings.length];
  }

  /** A session is to be renewed. A next credential is tried with every renewal: the other end may have got it meanwhile. */
  renew(): void {
    const { credential } = this.#bindings[this.#preferred];
    this.#renewing = !this.#isPreferredRefused || credential.isNext === true;
  }

  /** The attempt that had been retried so many times went unanswered. */
  unanswered(retries: number): void {
    if (this.#renewing && retries === 0) this.#isPreferredRefused = true;
  }

  giveUp(): void {
    this.#renewing = false;
  }

  succeeded(binding: Binding): void {
    this.#renewing = false;
    if (binding === this.#bindings[this.#preferred]) this.#isPreferredRefused = false;
    this.#proven = binding;
  }

  /** The place of the credential that the peering is being moved to, else of the first. */
  get #preferred(): number {
    return Math.max(
      0,
      this.#bindings.findIndex(({ credential }) => credential.isNext),
    );
  }
}
