import { readFileSync } from 'node:fs';
import test from 'ava';
import { DROP_REASONS } from '../../src/wire/drop.ts';

test('the manual says of every drop reason what it means and where to look', (t) => {
  const page = readFileSync(new URL('../../../docs/finding-drops.md', import.meta.url), 'utf8');
  const table = page.slice(page.indexOf('## Reasons'));
  const listed = Array.from(table.matchAll(/^\| `([a-z0-9-]+)`/gm), ([, reason]) => reason);
  t.deepEqual(listed.toSorted(), DROP_REASONS.filter((reason) => reason !== 'none').toSorted());
});
