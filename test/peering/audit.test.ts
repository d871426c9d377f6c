import test from 'ava';
import {
  EMPTY_HEAD,
  headOf,
  nextEntry,
  verifyAudit,
  type AuditEntry,
  type AuditHead,
} from '../../src/peering/audit.ts';

/** A log of so many entries. */
function log(count: number, first = 'first'): { entries: AuditEntry[]; head: AuditHead } {
  const entries: AuditEntry[] = [];
  let head = EMPTY_HEAD;
  for (let number = 1; number <= count; number++) {
    const entry = nextEntry(head, 1000 * number, 'local api', number === 1 ? first : `{"step":${number}}`);
    entries.push(entry);
    head = headOf(entry);
  }
  return { entries, head };
}

const { entries, head } = log(6);

test('a log as it was written is good, and so is one that has gone on', (t) => {
  t.is(verifyAudit([], EMPTY_HEAD), undefined);
  t.is(verifyAudit(entries, head), undefined);
  t.is(verifyAudit(entries, head, headOf(entries[2])), undefined);
});

test('of an entry that was changed in any respect, the first is named', (t) => {
  for (const change of [
    { what: '{}' },
    { who: 'timer' },
    { at: 5 },
    { hash: '0'.repeat(64) },
    { previous: '1'.repeat(64) },
  ]) {
    for (let at = 0; at < entries.length; at++) {
      const changed = entries.with(at, { ...entries[at], ...change });
      const fault = verifyAudit(changed, head);
      t.is(fault?.number, at === 0 && 'previous' in change ? 1 : at + 1, JSON.stringify(change));
    }
  }
});

test('an entry that was taken out, or put elsewhere, or put in, is found', (t) => {
  for (let at = 0; at < entries.length - 1; at++) {
    t.is(verifyAudit(entries.toSpliced(at, 1), head)?.number, at + 1);
    const reordered = entries.with(at, entries[at + 1]).with(at + 1, entries[at]);
    t.is(verifyAudit(reordered, head)?.number, at + 1);
    // Numbered anew to hide it.
    const renumbered = entries.toSpliced(at, 1).map((entry, index) => ({ ...entry, number: index + 1 }));
    t.is(verifyAudit(renumbered, head)?.number, at + 1);
  }
  const added = nextEntry(head, 9000, 'local api', '{}');
  t.deepEqual(verifyAudit([...entries, added], head), { number: 7, reason: 'entry 7 was never counted' });
});

test('what was cut off the end is missed', (t) => {
  for (let left = 0; left < entries.length; left++) {
    const fault = verifyAudit(entries.slice(0, left), head);
    t.deepEqual(fault, { number: left + 1, reason: `entries ${left + 1} to 6 are missing` });
  }
});

test('a log written anew from the start is found by a head that was noted', (t) => {
  const forged = log(6, 'another');
  t.is(verifyAudit(forged.entries, forged.head), undefined);
  const noted = headOf(entries[3]);
  t.deepEqual(verifyAudit(forged.entries, forged.head, noted), {
    number: 4,
    reason: 'entry 4 is another one than was noted',
  });
  const short = log(3);
  t.is(verifyAudit(short.entries, short.head, noted)?.number, 4);
});
