/** Where flow logs go: a file, standard output, or a command. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, rename, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FlowLogTarget } from '../gateway/config.ts';

export interface FlowOutput {
  /** Writes whole lines. False: they are lost. Does not throw. */
  write(text: string): Promise<boolean>;
  close(): Promise<void>;
}

/** Takes what a user should know: why records are lost. */
type Warn = (text: string) => void;

/** `clock`: ms, monotonic; a command that ended is left alone by it. */
export function openFlowOutput(target: FlowLogTarget, warn: Warn, clock: () => number): FlowOutput {
  switch (target.kind) {
    case 'file':
      return new FileOutput(target, warn);
    case 'command':
      return new CommandOutput(target.argv, warn, clock);
    case 'stdout':
      return {
        write: (text) => writeTo(process.stdout, text),
        close: () => Promise.resolve(),
      };
  }
}

/** How long a reader may take for what it is given, in ms: the next interval is waiting. */
const PATIENCE = 10_000;

/** False if the stream failed, or its reader does not keep up. */
async function writeTo(stream: Writable, text: string): Promise<boolean> {
  if (stream.destroyed || stream.writableNeedDrain) return false;
  const written = new Promise<boolean>((resolve) => stream.write(text, (error) => resolve(!error)));
  return withinPatience(written);
}

async function withinPatience(done: Promise<boolean>): Promise<boolean> {
  const over = new AbortController();
  const late = sleep(PATIENCE, false, { signal: over.signal }).catch(() => false);
  const result = await Promise.race([done, late]);
  over.abort();
  return result;
}

/** A file that may be renamed or removed at any time, as logrotate does: the next write makes it anew. */
class FileOutput implements FlowOutput {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #keep: number;
  readonly #warn: Warn;
  #file: FileHandle | undefined;
  #inode = 0n;
  #size = 0;
  #failed = false;
  /** Whether the file may end in half a line. */
  #torn = false;

  constructor({ path, maxBytes, keep }: Extract<FlowLogTarget, { kind: 'file' }>, warn: Warn) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#keep = keep;
    this.#warn = warn;
  }

  async write(text: string): Promise<boolean> {
    try {
      await this.#reopenIfMoved();
      const bytes = Buffer.from(this.#torn ? `\n${text}` : text);
      if (this.#size > 0 && this.#size + bytes.length > this.#maxBytes) await this.#rotate();
      this.#torn = true;
      await this.#file!.appendFile(bytes);
      this.#torn = false;
      this.#size += bytes.length;
      this.#failed = false;
      return true;
    } catch (error) {
      if (!this.#failed) this.#warn(`flow log ${this.#path}: ${(error as Error).message}; records are lost`);
      this.#failed = true;
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close().catch(() => undefined);
    this.#file = undefined;
  }

  async #reopenIfMoved(): Promise<void> {
    if (this.#file !== undefined) {
      const there = await stat(this.#path, { bigint: true }).catch(() => undefined);
      if (there?.ino === this.#inode) {
        // It may also have been cut, as logrotate's copytruncate does.
        this.#size = Number(there.size);
        return;
      }
      await this.close();
    }
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o755 });
    this.#file = await open(this.#path, 'a', 0o640);
    const { ino, size } = await this.#file.stat({ bigint: true });
    this.#inode = ino;
    this.#size = Number(size);
    if (size === 0n) this.#torn = false;
  }

  /** `log` becomes `log.1`, that `log.2`, and so on; the oldest goes. */
  async #rotate(): Promise<void> {
    await this.close();
    for (let number = this.#keep - 1; number >= 0; number--) {
      const from = number === 0 ? this.#path : `${this.#path}.${number}`;
      await rename(from, `${this.#path}.${number + 1}`).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      });
    }
    await this.#reopenIfMoved();
  }
}

/** How long a command that ended is left alone, in ms; doubled each time, until one has lived as long as the longest. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 60_000;
/** How long a command has to read the rest and end, in ms. */
const ENDING = 5000;

/** A command that reads records from its standard input. One that ends is started again for the next records. */
class CommandOutput implements FlowOutput {
  readonly #argv: readonly string[];
  readonly #warn: Warn;
  readonly #clock: () => number;
  #child: ChildProcess | undefined;
  #startedAt = 0;
  #pause = FIRST_PAUSE;
  #notBefore = -Infinity;

  constructor(argv: readonly string[], warn: Warn, clock: () => number) {
    this.#argv = argv;
    this.#warn = warn;
    this.#clock = clock;
  }

  async write(text: string): Promise<boolean> {
    const child = this.#child ?? this.#start();
    if (child === undefined) return false;
    const over = new AbortController();
    const ended = once(child, 'exit', { signal: over.signal }).then(
      () => false,
      () => false,
    );
    const written = await Promise.race([writeTo(child.stdin!, text), ended]);
    over.abort();
    return written;
  }

  async close(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const exit = once(child, 'exit').catch(() => undefined);
    const over = new AbortController();
    child.stdin?.end();
    const late = sleep(ENDING, 'late', { signal: over.signal }).catch(() => undefined);
    if ((await Promise.race([exit, late])) === 'late') child.kill('SIGTERM');
    over.abort();
  }

  #start(): ChildProcess | undefined {
    const now = this.#clock();
    if (now < this.#notBefore) return undefined;
    const [program, ...args] = this.#argv;
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'] });
    this.#child = child;
    this.#startedAt = now;
    child.stdin.on('error', () => undefined);
    child.on('error', (error) => this.#ended(child, error.message));
    child.on('exit', (code, signal) => this.#ended(child, `it ended with ${signal ?? `code ${code ?? 0}`}`));
    return child;
  }

  #ended(child: ChildProcess, why: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    const now = this.#clock();
    if (now - this.#startedAt >= LONGEST_PAUSE) this.#pause = FIRST_PAUSE;
    this.#notBefore = now + this.#pause;
    this.#warn(`flow log to ${this.#argv[0]}: ${why}; it is started again, not before ${this.#pause / 1000} s`);
    this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
  }
}
