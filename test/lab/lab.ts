// A lab of Linux hosts: network namespaces joined by veth pairs, on one machine, as real as the kernel's own network
// stack. Whatever happens to the process that made it (an exception, Ctrl-C, SIGTERM), the lab goes with it; what a
// process killed outright leaves behind, the next lab removes.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment, execute, must, Running, type Result, type RunOptions } from './process.ts';

/** One end of a link: an interface of a host. Addresses carry their prefix length: `198.51.100.1/24`. */
export interface Port {
  readonly host: string;
  readonly name: string;
  readonly addresses?: readonly string[];
}

export interface SpawnOptions {
  /** The file for its output; one in the lab's directory when not given. */
  readonly log?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const NAMESPACES = '/run/netns';
/** Where else there is something with a lab's name: its directory, and the control sockets and state of its tunnels. */
const TRACES = [tmpdir(), '/run/wireguard', '/run/isthmus'];
/** Milliseconds for programs to end after SIGTERM when nobody asks how they end. */
const LAST_MOMENT = 1000;
const IN_TEXT = { encoding: 'utf8', env: environment } as const;
const ENDINGS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const labs = new Set<Lab>();
let made = 0;

export class Lab {
  /** What the names of this lab's namespaces begin with. */
  readonly prefix: string;
  /** A directory of mode 0700 for configuration and logs; it goes with the lab. */
  readonly directory: string;
  readonly #hosts = new Set<string>();
  readonly #running = new Set<Running>();

  /**
   * An empty lab. Its namespaces are named `ist<pid>-<host>` (`ist<pid>.2-<host>` for a process's second lab), or
   * `<name>-<host>` where a name is given: then it is the caller who sees to it that there is one lab of that name.
   * Throws where the process may not make namespaces.
   */
  constructor(name?: string) {
    if (process.getuid?.() !== 0) throw new Error('network namespaces can be made by root only');
    if (made === 0) {
      reap();
      watchForTheEnd();
    }
    made++;
    this.prefix = `${name ?? `ist${process.pid}${made > 1 ? `.${made}` : ''}`}-`;
    this.directory = mkdtempSync(join(tmpdir(), this.prefix));
    labs.add(this);
  }

  /** Adds a host: its own namespace, loopback up, no reverse-path filter, forwarding of IPv4 and IPv6 as asked. */
  async host(name: string, options: { forward?: boolean } = {}): Promise<void> {
    if (!labs.has(this)) throw new Error('the lab is no more');
    // Made and noted in one go, so that a signal finds no namespace that is not noted; and noted only when it was made
    // here, so that another's of the same name is left alone.
    const { status, stderr } = spawnSync('ip', ['netns', 'add', this.namespace(name)], IN_TEXT);
    if (status !== 0) throw new Error(`ip netns add ${this.namespace(name)}: ${stderr.trim()}`);
    this.#hosts.add(name);
    await this.ip(name, 'link', 'set', 'lo', 'up');
    const forward = options.forward ? 1 : 0;
    await this.sysctl(name, {
      'net.ipv4.ip_forward': forward,
      'net.ipv6.conf.all.forwarding': forward,
      'net.ipv4.conf.all.rp_filter': 0,
      'net.ipv4.conf.default.rp_filter': 0,
      // An address is usable at once, with no wait for a neighbour that might have it too.
      'net.ipv6.conf.all.accept_dad': 0,
      'net.ipv6.conf.default.accept_dad': 0,
    });
  }

  /** Joins two hosts by a cable, a veth pair, and puts both ends up with their addresses. */
  async link(a: Port, b: Port, mtu = 1500): Promise<void> {
    const end = (port: Port): string[] => ['name', port.name, 'netns', this.namespace(port.host), 'mtu', String(mtu)];
    await must(['ip', 'link', 'add', ...end(a), 'type', 'veth', 'peer', ...end(b)]);
    for (const { host, name, addresses = [] } of [a, b]) {
      for (const address of addresses) await this.ip(host, 'address', 'add', address, 'dev', name);
      await this.ip(host, 'link', 'set', name, 'up');
    }
  }

  /** The name under which `ip netns` knows a host. */
  namespace(host: string): string {
    return this.prefix + host;
  }

  /** Runs a program on a host to its end; an exit code other than 0 is a result, not an error. */
  run(host: string, argv: readonly string[], options?: RunOptions): Promise<Result> {
    return execute(this.#on(host, argv), options);
  }

  /** Runs a program on a host to its end and gives its standard output; throws with what it said when it fails. */
  must(host: string, argv: readonly string[], options?: RunOptions): Promise<string> {
    return must(this.#on(host, argv), options);
  }

  /** `ip` on a host: `lab.ip('a', 'route', 'add', …)`. */
  async ip(host: string, ...args: readonly string[]): Promise<void> {
    await must(['ip', '-n', this.namespace(host), ...args]);
  }

  async sysctl(host: string, values: Readonly<Record<string, string | number>>): Promise<void> {
    await this.must(host, ['sysctl', '-qw', ...Object.entries(values).map(([key, value]) => `${key}=${value}`)]);
  }

  /** Starts a program on a host; it is stopped with the lab if not before. */
  spawn(host: string, argv: readonly string[], options: SpawnOptions = {}): Running {
    const log = options.log ?? join(this.directory, `${host}-${this.#running.size}.log`);
    const running = new Running(this.#on(host, argv), log, options.env);
    this.#running.add(running);
    return running;
  }

  /** Leaves the lab as it is when the process ends. */
  keep(): void {
    labs.delete(this);
    for (const running of this.#running) running.release();
  }

  /** Stops what was started, then removes the namespaces and the directory. May be called again. */
  async dispose(): Promise<void> {
    await Promise.allSettled([...this.#running].map((running) => running.stop(LAST_MOMENT)));
    this.disposeNow();
  }

  /** The same without the event loop, for the end of the process. */
  disposeNow(): void {
    if (!labs.delete(this)) return;
    removeNamespaces([...this.#hosts].map((host) => this.namespace(host)));
    removeTraces((name) => name.startsWith(this.prefix));
  }

  #on(host: string, argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.namespace(host), ...argv];
  }
}

/** The hosts of labs whose names begin with a text. */
export const hostsOf = (prefix: string): string[] => named(NAMESPACES, (name) => name.startsWith(prefix));

/** Removes the labs whose names begin with a text, and what runs in them. */
export function removeLabs(prefix: string): void {
  removeNamespaces(hostsOf(prefix));
  removeTraces((name) => name.startsWith(prefix));
}

function removeTraces(isOurs: (name: string) => boolean): void {
  for (const place of TRACES) {
    for (const name of named(place, isOurs)) rmSync(join(place, name), { recursive: true, force: true });
  }
}

function named(place: string, isWanted: (name: string) => boolean): string[] {
  return existsSync(place) ? readdirSync(place).filter(isWanted) : [];
}

/**
 * Namespaces go with the programs in them, which were all started by the lab or by what the lab had started. SIGTERM
 * lets a program take back what it did outside of its namespace, its control socket for one.
 */
function removeNamespaces(namespaces: readonly string[]): void {
  const inside = (): number[] =>
    namespaces.flatMap((namespace) => {
      const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], IN_TEXT);
      return stdout.split('\n').filter(Boolean).map(Number);
    });
  const signal = (name: NodeJS.Signals): void => {
    for (const pid of inside()) {
      try {
        process.kill(pid, name);
      } catch {
        // It has ended by itself.
      }
    }
  };
  const clock = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + LAST_MOMENT;
  signal('SIGTERM');
  while (inside().length > 0 && performance.now() < end) Atomics.wait(clock, 0, 0, 20);
  signal('SIGKILL');
  for (const namespace of namespaces) spawnSync('ip', ['netns', 'delete', namespace], IN_TEXT);
}

/** Removes what processes that are no more have left, one that had this process's number too. */
function reap(): void {
  for (const name of [NAMESPACES, ...TRACES].flatMap((place) => named(place, () => true))) {
    const match = /^ist(\d+)(?:\.\d+)?-/.exec(name);
    if (match && (Number(match[1]) === process.pid || !existsSync(`/proc/${match[1]}`))) removeLabs(match[0]);
  }
}

function watchForTheEnd(): void {
  process.once('exit', () => labs.forEach((lab) => lab.disposeNow()));
  for (const signal of ENDINGS) {
    // The second signal finds no listener that waits: it ends the process, and the lab at once.
    process.once(signal, () => {
      process.once(signal, () => process.exit(128 + constants.signals[signal]));
      void Promise.all([...labs].map((lab) => lab.dispose())).finally(() =>
        process.exit(128 + constants.signals[signal]),
      );
    });
  }
}
