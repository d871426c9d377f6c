import { closeSync, fchownSync, fstatSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { IsthmusError } from '../gateway/errors.ts';
import { formatMode } from '../gateway/secrets.ts';

/** Of a terminal, with what was scrolled away. */
export const CLEAR_SCREEN = '\u001b[H\u001b[2J\u001b[3J';

/** Writes a secret to standard output, with a warning when that is a file which others may read. */
export function printSecret(text: string): void {
  const { mode } = fstatSync(process.stdout.fd);
  if ((mode & 0o170000) === 0o100000 && (mode & 0o077) !== 0) {
    process.stderr.write(
      `isthmus: warning: a secret goes to a file of mode ${formatMode(mode)}; set umask 077 first\n`,
    );
  }
  process.stdout.write(text);
}

/**
 * Writes files of mode 0600: new ones, all or none; with `replace`, each whole in the place of what was there. Those that
 * root writes are the folder's owner's, so that a service can read what is put into its folder.
 * Throws an `IsthmusError`: `ISTHMUS_FILE_EXISTS`, `ISTHMUS_FILE_WRITE`.
 */
export function writePrivateFiles(files: ReadonlyMap<string, string>, replace: boolean): void {
  const written: string[] = [];
  for (const [path, text] of files) {
    try {
      const target = replace ? `${path}.new` : path;
      if (replace) rmSync(target, { force: true });
      const file = openSync(target, 'wx', 0o600);
      try {
        const { uid, gid } = statSync(dirname(path));
        if (process.getuid?.() === 0 && uid !== 0) fchownSync(file, uid, gid);
        writeFileSync(file, text);
      } finally {
        closeSync(file);
      }
      if (replace) renameSync(target, path);
      else written.push(path);
    } catch (error) {
      for (const each of written) rmSync(each, { force: true });
      const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error';
      if (reason === 'EEXIST') {
        throw new IsthmusError(
          'ISTHMUS_FILE_EXISTS',
          `${path} is already there; nothing was written (--force replaces it)`,
        );
      }
      throw new IsthmusError('ISTHMUS_FILE_WRITE', `${path} cannot be written (${reason})`);
    }
  }
}
