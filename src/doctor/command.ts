import { execFile } from 'node:child_process';

/** How long a program may take that only looks, in ms. */
const PATIENCE = 5000;
/** A user's path may be without the folders of `ip` and `nft`; npm puts one before them that has another `nft`. */
const PATH = `/usr/sbin:/sbin:/usr/bin:/bin:${process.env['PATH'] ?? ''}`;

export interface Outcome {
  /** False if the program is not there. */
  readonly found: boolean;
  /** The exit code; -1 if it was ended by a signal or could not be started. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program that looks at something, to its end. Never throws. */
export function look(program: string, ...words: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const settings = { timeout: PATIENCE, maxBuffer: 1 << 26, env: { ...process.env, PATH } };
    execFile(program, words, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ found: (error as NodeJS.ErrnoException | null)?.code !== 'ENOENT', code, stdout, stderr });
    });
  });
}

/** The JSON that a program prints; undefined if it fails, or prints none. */
export async function lookJson(program: string, ...words: readonly string[]): Promise<unknown> {
  const { code, stdout } = await look(program, ...words);
  if (code !== 0) return undefined;
  try {
    return JSON.parse(stdout === '' ? '[]' : stdout);
  } catch {
    return undefined;
  }
}
