/**
 * Where each peer was last, and under which cipher, kept across restarts: a gateway that is called, and so has no
 * endpoint for its peer, can call back at once when it was killed and started again, rather than wait until the peer
 * finds its session dead.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { CipherName } from '../noise/cipher.ts';

export interface Sighting {
  /** `address:port`. */
  readonly endpoint: string;
  readonly cipher: CipherName;
}

export class LastSeen {
  readonly #path: string;
  #sightings: Readonly<Record<string, Sighting | undefined>> = {};

  /** A file that is missing or damaged is no memory. */
  constructor(path: string) {
    this.#path = path;
    try {
      const stored: unknown = JSON.parse(readFileSync(path, 'utf8'));
      if (typeof stored === 'object' && stored !== null) this.#sightings = stored as Record<string, Sighting>;
    } catch {
      // Nothing is remembered.
    }
  }

  get(peering: string): Partial<Sighting> {
    return this.#sightings[peering] ?? {};
  }

  /** Remembers these beside the others; writes only what changed, whole or not at all. */
  update(seen: ReadonlyMap<string, Sighting>): void {
    const sightings = { ...this.#sightings, ...Object.fromEntries(seen) };
    if (JSON.stringify(sightings) === JSON.stringify(this.#sightings)) return;
    this.#sightings = sightings;
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
    const draft = `${this.#path}.new`;
    writeFileSync(draft, JSON.stringify(sightings), { mode: 0o600 });
    renameSync(draft, this.#path);
  }
}
