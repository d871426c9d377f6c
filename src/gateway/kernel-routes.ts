/**
 * The routes that the kernel has into the tunnel, as they come and go. `ip monitor` says that something changed, and
 * `ip route` what there is: so nothing depends on having seen every change.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { promisify } from 'node:util';
import type { KernelRoute } from './learnt-routes.ts';
import type { Log } from './tunnel.ts';

const run = promisify(execFile);
/** Changes come in crowds, as when a session of a routing daemon begins: they are looked at together after so long, in ms. */
const GATHER = 100;
/** A watcher that ended is started again after so long, in ms. */
const AGAIN = 1_000;
/** Text of some hundred thousand routes. */
const MAX_TEXT = 1 << 26;

export class KernelRoutes {
  readonly #name: () => string;
  readonly #take: (routes: KernelRoute[]) => void;
  readonly #log: Log;
  #watcher: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  #closed = false;

  /** `take` gets all routes of the interface, of the main table, now and whenever one has changed. */
  constructor(name: () => string, take: (routes: KernelRoute[]) => void, log: Log) {
    this.#name = name;
    this.#take = take;
    this.#log = log;
    this.#watch();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watcher?.kill();
  }

  /** Looks soon. */
  look(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#reading = this.#reading.then(() => this.#read());
    }, GATHER);
  }

  #watch(): void {
    if (this.#closed) return;
    // It ends with the gateway however that ends, by SIGKILL too.
    const argv = ['--pdeathsig', 'SIGTERM', 'ip', 'monitor', 'route'];
    const watcher = spawn('setpriv', argv, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#watcher = watcher;
    watcher.stdout.on('data', () => this.look());
    // Its end is heard of by `close`, whatever the error.
    watcher.on('error', (error) => this.#log.warn(`ip monitor route: ${error.message}`));
    watcher.on('close', () => setTimeout(() => this.#watch(), AGAIN).unref());
    this.look();
  }

  #give(routes: KernelRoute[]): void {
    if (!this.#closed) this.#take(routes);
  }

  async #read(): Promise<void> {
    if (this.#closed) return;
    try {
      const texts = await Promise.all(
        ['-4', '-6'].map((family) =>
          run('ip', ['-json', family, 'route', 'show', 'table', 'main', 'dev', this.#name()], { maxBuffer: MAX_TEXT }),
        ),
      );
      const routes = texts.flatMap(({ stdout }) => (stdout.trim() === '' ? [] : (JSON.parse(stdout) as KernelRoute[])));
      this.#give(routes);
    } catch (error) {
      this.#log.warn(`the kernel's routes cannot be read: ${(error as Error).message}`);
    }
  }
}
