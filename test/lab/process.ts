// Programs on the lab's hosts: run to their end, or started and followed.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Result {
  /** The exit code, or 128 and the number of the signal that ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Milliseconds until SIGTERM; 60 s when not given, so that nothing hangs. */
  readonly timeout?: number;
  /** What the program reads from its standard input. */
  readonly input?: string;
}

/**
 * npm and npx put the packages' commands before the system's, and one of the packages has an `nft` that is not the
 * firewall's. A user's path, in turn, may be without the folders of `ip` and `nft`.
 */
const PATH = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  .filter((folder) => !folder.endsWith('node_modules/.bin'))
  .join(delimiter);
export const environment = { ...process.env, PATH };

/** How long a program has to obey SIGTERM, in milliseconds, on a machine that stands still for seconds. */
const PATIENCE = 20_000;

function exitCode(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal ? constants.signals[signal] : 0);
}

/** Runs a program to its end. Rejects only when it could not be started. */
export function execute(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
  const [program, ...args] = argv;
  return new Promise((resolve, reject) => {
    const settings = { timeout: options.timeout ?? 60_000, maxBuffer: 1 << 28, env: environment };
    const child = execFile(program, args, settings, (error, stdout, stderr) => {
      if (typeof error?.code === 'string') reject(new Error(error.message, { cause: error }));
      else resolve({ code: exitCode(child.exitCode, child.signalCode), stdout, stderr });
    });
    // A program may end without reading what it is given.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input);
  });
}

/** Runs a program to its end and gives its standard output; throws with what it said when it fails. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await execute(argv, options);
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}: ${(stderr || stdout).trim()}`);
  return stdout;
}

/**
 * Waits until a condition holds, asking every 50 ms; throws, naming what was waited for, after `timeout` ms. The limit is for
 * a machine that stands still for seconds: what is promised in time is measured by `runningTime`.
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout = 60_000,
): Promise<void> {
  const end = performance.now() + timeout;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${timeout / 1000} s in vain for ${what}`);
    await sleep(50);
  }
}

/** A program that runs until it ends or is stopped, its output in a file. */
export class Running {
  readonly argv: readonly string[];
  /** The file that takes standard output and standard error. */
  readonly log: string;
  /** Resolves with the exit code as in `Result`. */
  readonly ended: Promise<number>;
  readonly #child: ChildProcess;

  /** Starts it in a process group of its own, so that the Ctrl-C meant for its starter does not reach it. */
  constructor(argv: readonly string[], log: string, env: Readonly<Record<string, string>> = {}) {
    const output = openSync(log, 'a', 0o600);
    const [program, ...args] = argv;
    this.#child = spawn(program, args, {
      stdio: ['ignore', output, output],
      detached: true,
      env: { ...environment, ...env },
    });
    closeSync(output);
    this.argv = argv;
    this.log = log;
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('exit', (code, signal) => resolve(exitCode(code, signal)));
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Sends a signal to it and to what it started. */
  signal(signal: NodeJS.Signals): void {
    if (this.isRunning()) process.kill(-this.pid, signal);
  }

  /** Ends it by SIGTERM, or by SIGKILL where it has not obeyed after so many milliseconds. Resolves with its exit code. */
  async stop(patience = PATIENCE): Promise<number> {
    this.signal('SIGTERM');
    const impatience = setTimeout(() => this.signal('SIGKILL'), patience);
    try {
      return await this.ended;
    } finally {
      clearTimeout(impatience);
    }
  }

  /** No longer waited for: it may outlive the process that started it. */
  release(): void {
    this.#child.unref();
  }

  /** All it wrote. */
  output(): string {
    return readFileSync(this.log, 'utf8');
  }

  /** The last lines it wrote. */
  tail(lines = 10): string {
    return this.output().trimEnd().split('\n').slice(-lines).join('\n');
  }
}
