/** The log of a running gateway: lines of JSON, or, in systemd's journal, text with its priority. */
import { fstatSync } from 'node:fs';
import { pino, type Logger } from 'pino';

export type LogFormat = 'json' | 'journal';

/** syslog's priorities (RFC 5424), by pino's levels. */
const PRIORITIES: readonly (readonly [level: number, priority: number])[] = [
  [50, 3],
  [40, 4],
  [30, 6],
  [0, 7],
];
const ERROR = 3;

/** A log to standard output. `format` undefined: the journal's, if that is what standard output is. */
export function createLog(level: string, format: LogFormat | undefined): Logger {
  if ((format ?? (isJournal(process.stdout.fd) ? 'journal' : 'json')) === 'json') {
    return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime });
  }
  return pino({ level, base: null, timestamp: false }, { write: (line) => process.stdout.write(journalLine(line)) });
}

/** What says the priority of a complaint on standard error: nothing, unless the journal reads it. */
export function complaintPrefix(): string {
  return isJournal(process.stderr.fd) ? `<${ERROR}>` : '';
}

/** A line of pino's as the journal takes it: sd-daemon(3). The journal adds the time. */
function journalLine(line: string): string {
  const { level, msg } = JSON.parse(line) as { level: number; msg: string };
  const priority = PRIORITIES.find(([least]) => level >= least)?.[1] ?? ERROR;
  return msg.replace(/^/gm, `<${priority}>`) + '\n';
}

/** Whether the journal reads what is written there; systemd names the stream's device and inode in JOURNAL_STREAM. */
function isJournal(fd: number): boolean {
  const stream = process.env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
}
