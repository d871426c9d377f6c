import { readFileSync } from 'node:fs';
import test from 'ava';
import { CHECKS } from '../../src/doctor/findings.ts';

const page = readFileSync(new URL('../../../docs/troubleshooting.md', import.meta.url), 'utf8');

test('docs/troubleshooting.md has every check and its meaning, in the order of cause', (t) => {
  const section = page.split('\n## Every check\n')[1];
  const rows = Array.from(section.matchAll(/^\| `([a-z0-9-]+)` +\| (.*?) +\|/gm), ([, id, meaning]) => [id, meaning]);
  t.deepEqual(
    rows,
    Object.entries(CHECKS).map(([id, { meaning }]) => [id, meaning]),
  );
});

test('docs/troubleshooting.md speaks of checks that exist', (t) => {
  const named = Array.from(page.matchAll(/^(?:FAULT|warning|hint) +([a-z0-9-]+)[,:]/gm), ([, id]) => id);
  t.true(named.length >= 4);
  for (const id of named) t.true(Object.hasOwn(CHECKS, id), id);
});
