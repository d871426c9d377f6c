import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import sqlite from 'node-sqlite3-wasm';
import { PeeringStore, readAuditFile } from '../../src/gateway/peering-store.ts';
import { headOf, verifyAudit } from '../../src/peering/audit.ts';
import type { Change } from '../../src/peering/record.ts';
import { End, idOf, PSK } from '../peering/ends.ts';

const WRITER = fileURLToPath(new URL('store-writer.js', import.meta.url));
const ALL = Number.MAX_SAFE_INTEGER;

function databaseIn(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'state', 'a.db');
}

/** So many requests, each a change of its own. */
function changes(count: number): Change[] {
  const end = new End('a', ['172.31.0.0/16']);
  return Array.from({ length: count }, (_, index) => {
    end.request({ id: idOf(index + 1), name: `p${index}` });
    return { record: end.get(idOf(index + 1)), who: 'local api', at: index, what: { index } };
  });
}

test('what was applied is there again, and nobody else may read it', (t) => {
  const path = databaseIn(t);
  const store = PeeringStore.open(path);
  const [one, two, three] = changes(3);
  store.apply([one, two]);
  store.apply([{ ...three, what: undefined }], [one.record.id]);
  const { head } = store;
  store.close();
  t.is(statSync(path).mode & 0o777, 0o600);
  const again = PeeringStore.open(path);
  t.teardown(() => again.close());
  t.deepEqual(again.records, [two.record, three.record]);
  t.deepEqual(again.get(two.record.id), two.record);
  t.deepEqual(again.head, head);
  t.deepEqual(
    again.audit(1, ALL).map(({ number, at, who, what }) => [number, at, who, what]),
    [
      [1, 0, 'local api', '{"index":0}'],
      [2, 1, 'local api', '{"index":1}'],
    ],
  );
  t.deepEqual(
    again.audit(2, 1).map(({ number }) => number),
    [2],
  );
  t.is(verifyAudit(again.audit(1, ALL), again.head), undefined);
});

test('a database is one gateway’s', (t) => {
  const path = databaseIn(t);
  const store = PeeringStore.open(path);
  t.throws(() => PeeringStore.open(path), {
    code: 'ISTHMUS_STATE',
    message: new RegExp(`process ${process.pid} uses it`),
  });
  store.close();
  PeeringStore.open(path).close();
});

test('what a killed gateway leaves beside the database is cleared away', (t) => {
  const path = databaseIn(t);
  PeeringStore.open(path).close();
  mkdirSync(`${path}.lock`);
  // A process that began at another time, or none at all.
  for (const owner of [`${process.pid} 1`, '4194304 77', '']) {
    writeFileSync(`${path}.owner`, owner);
    PeeringStore.open(path).close();
    t.false(existsSync(`${path}.lock`));
    t.false(existsSync(`${path}.owner`));
  }
});

test('a file that is no database, or a later one, is refused and left as it is', (t) => {
  const path = databaseIn(t);
  PeeringStore.open(path).close();
  const later = new sqlite.Database(path);
  later.exec('PRAGMA user_version = 99');
  later.close();
  t.throws(() => PeeringStore.open(path), { code: 'ISTHMUS_STATE', message: /later version of Isthmus \(99\)/ });
  writeFileSync(path, 'no database'.repeat(1000));
  const before = readFileSync(path);
  t.throws(() => PeeringStore.open(path), { code: 'ISTHMUS_STATE' });
  t.deepEqual(readFileSync(path), before);
  t.throws(() => readAuditFile(`${path}.not`), { code: 'ISTHMUS_STATE', message: /does not exist/ });
});

test('a PSK that was replaced is no longer in the file', (t) => {
  const path = databaseIn(t);
  const store = PeeringStore.open(path);
  const [change] = changes(1);
  store.apply([change]);
  t.true(readFileSync(path).includes(PSK));
  store.apply([{ ...change, record: { ...change.record, psk: '' }, what: undefined }]);
  store.close();
  t.false(readFileSync(path).includes(PSK));
});

test('the log can’t be changed through the database, and whoever finds a way is found out', (t) => {
  const path = databaseIn(t);
  const store = PeeringStore.open(path);
  store.apply(changes(5));
  const noted = store.head;
  store.close();
  const untouched = `${path}.copy`;
  copyFileSync(path, untouched);
  const tamper = (...statements: string[]): ReturnType<typeof verifyAudit> => {
    copyFileSync(untouched, path);
    const database = new sqlite.Database(path);
    try {
      for (const statement of statements) database.exec(statement);
    } finally {
      database.close();
    }
    const { entries, head } = readAuditFile(path);
    return verifyAudit(entries, head, noted);
  };
  const free = 'DROP TRIGGER audit_stays; DROP TRIGGER audit_is_fixed';
  t.is(tamper(), undefined);
  t.throws(() => tamper("UPDATE audit SET who = 'nobody'"), { message: /append-only/ });
  t.throws(() => tamper('DELETE FROM audit'), { message: /append-only/ });
  t.is(tamper(free, "UPDATE audit SET who = 'nobody' WHERE number = 3")?.number, 3);
  t.is(tamper(free, 'DELETE FROM audit WHERE number = 2')?.number, 2);
  t.is(tamper(free, 'UPDATE audit SET number = -number', 'UPDATE audit SET number = number + 6')?.number, 1);
  t.is(tamper(free, 'DELETE FROM audit WHERE number > 3')?.number, 4);
  const third = `(SELECT hash FROM audit WHERE number = 3)`;
  const cut = `UPDATE head SET count = 3, hash = ${third}`;
  t.is(tamper(free, cut, 'DELETE FROM audit WHERE number > 3')?.number, 4);
  t.deepEqual(noted, headOf(readAuditFile(untouched).entries[4]));
});

/** Runs the writer, and gives the lines that it said. */
async function write(...args: string[]): Promise<string[]> {
  const child = spawn(process.execPath, [WRITER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0 && signal !== 'SIGKILL') throw new Error(`the writer ended with ${code ?? signal}`);
  return said.split('\n').slice(0, -1);
}

test('killed at any write, it loses nothing that was said to be done, and keeps all or nothing of what was not', async (t) => {
  t.timeout(900_000);
  const path = databaseIn(t);
  const whole = await write(path);
  t.deepEqual(whole.slice(0, -1), ['open', 'applied']);
  const writes = Number(whole.at(-1)!.split(' ')[1]);
  t.log(`${writes} writes`);
  const cases = Array.from({ length: writes }, (_, index) => [String(index + 1), ...(index % 2 === 0 ? ['half'] : [])]);
  const killed = async (args: string[]): Promise<void> => {
    const own = join(path, '..', args.join('-'), 'a.db');
    const said = await write(own, ...args);
    const store = PeeringStore.open(own);
    try {
      const done = said.includes('applied') ? 1 : 0;
      const { head, records } = store;
      const entries = store.audit(1, ALL);
      t.is(verifyAudit(entries, head), undefined, `killed at write ${args.join(' ')}`);
      const kept = entries.length / 2;
      t.true(kept === done || kept === 1, `${done} were said to be done, ${kept} are there: ${args.join(' ')}`);
      t.deepEqual(
        records.map(({ id }) => id),
        [[], ['pcx-1']][kept],
      );
    } finally {
      store.close();
    }
  };
  // Two at a time.
  const next = async (): Promise<void> => {
    for (let args = cases.shift(); args !== undefined; args = cases.shift()) await killed(args);
  };
  await Promise.all([next(), next()]);
});
