import { readFileSync } from 'node:fs';
import test from 'ava';
import * as constants from '../../src/session/constants.ts';

const PAGE = readFileSync(new URL('../../../docs/security.md', import.meta.url), 'utf8');

test("the security model's limits are those of the code", (t) => {
  const rows = [...PAGE.matchAll(/^\| `([A-Z0-9_]+)` +\| ([\d,]+) /gm)];
  t.true(rows.length > 5);
  for (const [, name, value] of rows)
    t.is(Number(value.replaceAll(',', '')), constants[name as keyof typeof constants] as number, name);
});
