/**
 * A log whose entries hold each the hash of the one before: what was changed, taken out or put elsewhere shows, and, as the
 * last hash and the count are kept apart from the entries, what was cut off the end.
 */
import { createHash } from 'node:crypto';

export interface AuditEntry {
  /** From 1 on, without gaps. */
  readonly number: number;
  /** ms since 1970. */
  readonly at: number;
  /** `local api`, `peer NAME` or `timer`. */
  readonly who: string;
  /** JSON: what was done. */
  readonly what: string;
  /** Of the entry before; of the first, zeros. In hex, as `hash`. */
  readonly previous: string;
  readonly hash: string;
}

/** How many entries there are, and the last one's hash. */
export interface AuditHead {
  readonly count: number;
  readonly hash: string;
}

export const EMPTY_HEAD: AuditHead = { count: 0, hash: '0'.repeat(64) };

/** The entry that follows what `head` stands for. */
export function nextEntry(head: AuditHead, at: number, who: string, what: string): AuditEntry {
  const entry = { number: head.count + 1, at, who, what, previous: head.hash };
  return { ...entry, hash: hashOf(entry) };
}

export function headOf({ number, hash }: AuditEntry): AuditHead {
  return { count: number, hash };
}

/** The first entry that is not as it was written, or, if all are and some are missing at the end, the first of those. */
export interface AuditFault {
  readonly number: number;
  readonly reason: string;
}

/**
 * Checks a log against its head; with `noted`, a head that was written down earlier, that the log still begins with what
 * that one stood for, which shows a log that was written anew from the start.
 */
export function verifyAudit(
  entries: readonly AuditEntry[],
  head: AuditHead,
  noted?: AuditHead,
): AuditFault | undefined {
  let last = EMPTY_HEAD;
  for (const entry of entries) {
    const number = last.count + 1;
    if (entry.number !== number)
      return { number, reason: `entry ${number} is missing: entry ${entry.number} stands in its place` };
    if (entry.previous !== last.hash) return { number, reason: `entry ${number} does not follow entry ${last.count}` };
    if (entry.hash !== hashOf(entry)) return { number, reason: `entry ${number} was changed: its hash is another` };
    last = headOf(entry);
    if (noted?.count === last.count && noted.hash !== last.hash) {
      return { number, reason: `entry ${number} is another one than was noted` };
    }
  }
  const least = Math.max(head.count, noted?.count ?? 0);
  if (last.count < least)
    return { number: last.count + 1, reason: `entries ${last.count + 1} to ${least} are missing` };
  if (last.count > head.count) return { number: head.count + 1, reason: `entry ${head.count + 1} was never counted` };
  if (last.hash !== head.hash)
    return { number: last.count, reason: `entry ${last.count} is not the one that was counted` };
  return undefined;
}

function hashOf({ number, at, who, what, previous }: Omit<AuditEntry, 'hash'>): string {
  return createHash('sha256')
    .update(JSON.stringify([previous, number, at, who, what]))
    .digest('hex');
}
