/**
 * Where each peer was last, kept across restarts: a gateway that is called, and so has no endpoint for its peer, can
 * call back at once when it was killed and started again, rather than wait until the peer finds its session dead.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export class LastSeen {
  readonly #path: string;
  #endpoints: Readonly<Record<string, string>>;

  /** A file that is missing or damaged is no memory. */
  constructor(path: string) {
    this.#path = path;
    this.#endpoints = {};
    try {
      const stored: unknown = JSON.parse(readFileSync(path, 'utf8'));
      if (typeof stored === 'object' && stored !== null) this.#endpoints = stored as Record<string, string>;
    } catch {
      // Nothing is remembered.
    }
  }

  /** The endpoint of a peering, as text, if one is remembered. */
  get(peering: string): string | undefined {
    const endpoint = this.#endpoints[peering];
    return typeof endpoint === 'string' ? endpoint : undefined;
  }

  /** Remembers; writes only what changed, whole or not at all. */
  update(endpoints: Record<string, string>): void {
    if (JSON.stringify(endpoints) === JSON.stringify(this.#endpoints)) return;
    this.#endpoints = endpoints;
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
    const draft = `${this.#path}.new`;
    writeFileSync(draft, JSON.stringify(endpoints), { mode: 0o600 });
    renameSync(draft, this.#path);
  }
}
