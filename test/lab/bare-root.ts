// A host that has an operating system and nothing of ours: a copy-on-write view of this machine's root, from which the
// compilers and the checkout are gone. What is installed in it stays in it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import { until, type Result, type RunOptions } from './process.ts';

/** What builds programs, by patterns of the shell's. */
const TOOLS = ['cc', 'c++', 'gcc*', 'g++*', 'c++-*', 'clang*', '*-linux-gnu-g*', 'make', 'ninja', 'cmake'];

/** Puts it together, says so, and holds it until the lab ends. The upper layer is in memory. */
const SETUP = `
mount -t tmpfs none "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
for place in proc dev sys; do mount --rbind /$place root/$place; done
for hidden in "$2" /tmp /run; do mount -t tmpfs none "root$hidden"; done
cd root/usr/bin
rm -f ${TOOLS.join(' ')}
echo ready
exec sleep infinity
`;

export class BareRoot {
  readonly #lab: Lab;
  readonly #host: string;
  readonly #pid: number;
  readonly #folder: string;

  private constructor(lab: Lab, host: string, pid: number, folder: string) {
    this.#lab = lab;
    this.#host = host;
    this.#pid = pid;
    this.#folder = folder;
  }

  /** Gives a host of the lab such a root, in which `hidden`, the checkout, is empty. */
  static async on(lab: Lab, host: string, hidden: string): Promise<BareRoot> {
    const folder = join(lab.directory, `${host}-root`);
    mkdirSync(folder);
    const holder = lab.spawn(host, ['unshare', '--mount', 'sh', '-ec', SETUP, 'sh', folder, hidden]);
    await until('a bare root', () => holder.output().includes('ready') || !holder.isRunning(), 30_000);
    if (!holder.isRunning()) throw new Error(`no bare root: ${holder.tail()}`);
    return new BareRoot(lab, host, holder.pid, folder);
  }

  /** The words that run a program in it, as root, in its /tmp; for `lab.spawn`. */
  argv(words: readonly string[], env: Readonly<Record<string, string>> = {}): string[] {
    const settings = Object.entries({
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/tmp',
      ...env,
    });
    return [
      ...['nsenter', '--target', String(this.#pid), '--mount', 'chroot', join(this.#folder, 'root')],
      ...['env', '-i', '-C', '/tmp', ...settings.map(([name, value]) => `${name}=${value}`), ...words],
    ];
  }

  run(words: readonly string[], env?: Readonly<Record<string, string>>, options?: RunOptions): Promise<Result> {
    return this.#lab.run(this.#host, this.argv(words, env), options);
  }

  must(words: readonly string[], env?: Readonly<Record<string, string>>, options?: RunOptions): Promise<string> {
    return this.#lab.must(this.#host, this.argv(words, env), options);
  }
}
