/**
 * The peerings that were requested, and the audit log of all that became of them, in a SQLite database. A change and its
 * entry in the log are one step, which is on the disk when `apply` returns: whatever kills the gateway, all that was said
 * to be done is there afterwards, and of what was not said, all or nothing.
 *
 * The library is SQLite in WebAssembly. What a killed process leaves, it can't clear up: it locks a database by a directory
 * beside it, which stays; and that lock, its own too, keeps it from ever rolling a journal back. So each change is made to
 * a copy, without a journal, which then takes the database's place; and the gateway that owns a database says so in a file
 * of its own.
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import sqlite from 'node-sqlite3-wasm';
import type { Database } from 'node-sqlite3-wasm';
import { EMPTY_HEAD, headOf, nextEntry } from '../peering/audit.ts';
import type { AuditEntry, AuditHead } from '../peering/audit.ts';
import type { Change, PeeringRecord } from '../peering/record.ts';
import { IsthmusError } from './errors.ts';

const VERSION = 1;
/** Triggers keep this program's own faults out of the log; whoever writes to the file itself is found by the hashes. */
const SCHEMA = `
  CREATE TABLE peering (id TEXT PRIMARY KEY, record TEXT NOT NULL);
  CREATE TABLE audit (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL
  );
  CREATE TABLE head (only INTEGER PRIMARY KEY CHECK (only = 1), count INTEGER NOT NULL, hash TEXT NOT NULL);
  CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
  CREATE TRIGGER audit_is_fixed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
  INSERT INTO head VALUES (1, ${EMPTY_HEAD.count}, '${EMPTY_HEAD.hash}');
  PRAGMA user_version = ${VERSION};
`;

export class PeeringStore {
  readonly #path: string;
  readonly #records = new Map<string, PeeringRecord>();
  #head: AuditHead = EMPTY_HEAD;

  /**
   * Opens the database at a path, or makes it, with its directory. Throws an `IsthmusError`: `ISTHMUS_STATE`, if it is of
   * a running gateway, damaged, or can't be written.
   */
  static open(path: string): PeeringStore {
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      claim(path);
    } catch (error) {
      throw unusable(path, error);
    }
    try {
      return new PeeringStore(path);
    } catch (error) {
      release(path);
      throw unusable(path, error);
    }
  }

  private constructor(path: string) {
    this.#path = path;
    if (!existsSync(path)) this.#replace((database) => database.exec(SCHEMA));
    chmodSync(path, 0o600);
    reading(path, (database) => {
      const { user_version: version } = database.get('PRAGMA user_version') as { user_version: number };
      if (version === 0) throw new Error('it is no state of Isthmus');
      if (version > VERSION) throw new Error(`it was written by a later version of Isthmus (${version})`);
      for (const { record } of database.all('SELECT record FROM peering') as { record: string }[]) {
        const parsed = JSON.parse(record) as PeeringRecord;
        this.#records.set(parsed.id, parsed);
      }
      const { count, hash } = database.get('SELECT count, hash FROM head') as { count: number; hash: string };
      this.#head = { count, hash };
    });
  }

  /** In the order in which they were made. */
  get records(): readonly PeeringRecord[] {
    return [...this.#records.values()].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  }

  get(id: string): PeeringRecord | undefined {
    return this.#records.get(id);
  }

  get head(): AuditHead {
    return this.#head;
  }

  /** Makes changes, and forgets records: all or nothing, on the disk. Throws `ISTHMUS_STATE`, with nothing changed. */
  apply(changes: readonly Change[], forgotten: readonly string[] = []): void {
    if (changes.length === 0 && forgotten.length === 0) return;
    let head = this.#head;
    try {
      this.#replace((database) => {
        for (const { record, who, at, what } of changes) {
          database.run('INSERT OR REPLACE INTO peering VALUES (?, ?)', [record.id, JSON.stringify(record)]);
          if (what === undefined) continue;
          const entry = nextEntry(head, at, who, JSON.stringify(what));
          const { number, previous, hash } = entry;
          database.run('INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)', [number, at, who, entry.what, previous, hash]);
          head = headOf(entry);
        }
        for (const id of forgotten) database.run('DELETE FROM peering WHERE id = ?', id);
        database.run('UPDATE head SET count = ?, hash = ?', [head.count, head.hash]);
      });
    } catch (error) {
      throw unusable(this.#path, error);
    }
    for (const { record } of changes) this.#records.set(record.id, record);
    for (const id of forgotten) this.#records.delete(id);
    this.#head = head;
  }

  /** Entries of the log from number `from` on. */
  audit(from: number, limit: number): AuditEntry[] {
    return reading(this.#path, (database) => readAudit(database, from, limit));
  }

  close(): void {
    release(this.#path);
  }

  /** Puts a changed copy in the database's place, or a new database where there is none. */
  #replace(change: (database: Database) => void): void {
    const draft = `${this.#path}.new`;
    rmSync(draft, { force: true });
    if (existsSync(this.#path)) copyFileSync(this.#path, draft);
    else closeSync(openSync(draft, 'wx', 0o600));
    const database = new sqlite.Database(draft, { fileMustExist: true });
    try {
      database.get('PRAGMA journal_mode = MEMORY');
      // What is overwritten, a PSK among it, is not left lying in the file.
      database.exec('PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; BEGIN');
      change(database);
      database.exec('COMMIT');
    } finally {
      database.close();
    }
    sync(draft);
    renameSync(draft, this.#path);
    // A file's name is on the disk once its directory is.
    sync(dirname(this.#path));
  }
}

/** The log of a database that no gateway uses, or of a copy of one, with its head. Throws `ISTHMUS_STATE`. */
export function readAuditFile(path: string): { entries: AuditEntry[]; head: AuditHead } {
  if (!existsSync(path)) throw new IsthmusError('ISTHMUS_STATE', `${path} does not exist`);
  const store = PeeringStore.open(path);
  try {
    return { entries: store.audit(1, Number.MAX_SAFE_INTEGER), head: store.head };
  } finally {
    store.close();
  }
}

function reading<T>(path: string, step: (database: Database) => T): T {
  const database = new sqlite.Database(path, { readOnly: true });
  try {
    return step(database);
  } finally {
    database.close();
  }
}

function readAudit(database: Database, from: number, limit: number): AuditEntry[] {
  const rows = database.all('SELECT * FROM audit WHERE number >= ? ORDER BY number LIMIT ?', [from, limit]);
  return rows as unknown as AuditEntry[];
}

/** Makes the database this process's own. Throws if a running process has it. */
function claim(path: string): void {
  const [owner, draft] = [`${path}.owner`, `${path}.owner.${process.pid}`];
  rmSync(draft, { force: true });
  writeFileSync(draft, identity(process.pid), { mode: 0o600 });
  try {
    // Made whole or not at all: of two that begin at once, one finds the other's.
    while (!isLinked(draft, owner)) {
      const [pid] = readFileSync(owner, 'utf8').split(' ');
      if (readFileSync(owner, 'utf8') === identity(Number(pid))) throw new Error(`process ${pid} uses it`);
      rmSync(owner, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  for (const lock of [`${path}.lock`, `${path}.new.lock`]) if (existsSync(lock)) rmdirSync(lock);
}

function release(path: string): void {
  rmSync(`${path}.owner`, { force: true });
}

function isLinked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Process number and start time: numbers are given anew. Of one that is not there, the number and nothing. */
function identity(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold anything; the start time is the 22nd field, the 20th after it.
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return `${pid} `;
  }
}

function sync(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function unusable(path: string, error: unknown): IsthmusError {
  if (error instanceof IsthmusError) return error;
  return new IsthmusError('ISTHMUS_STATE', `the state in ${path} can't be used: ${(error as Error).message}`);
}
