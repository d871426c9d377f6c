/**
 * What systemd, or another supervisor with its protocol, is told of this process, and keeps for it: sd_notify(3),
 * sd_watchdog_enabled(3), sd_listen_fds(3). Without a supervisor nothing is sent.
 */
import { isUp } from '../gateway/status.ts';
import type { GatewayStatus } from '../gateway/status.ts';
import { closeFd, notify } from '../nic/native.ts';

/** Descriptors that are handed over begin here. */
const FIRST_DESCRIPTOR = 3;
/** Looks at whether all goes well in the time in which the supervisor wants to hear so: one may find a thread that is late. */
const LOOKS = 4;
/** How often the line that `systemctl status` shows is made anew, ms. */
const STATUS_EVERY = 10_000;

export class Supervisor {
  readonly #socket: string;
  /** In which the supervisor wants to hear that all goes well, ms; 0: it does not. */
  readonly #watchdog: number;
  readonly #descriptors = new Map<string, number>();
  readonly #timers: NodeJS.Timeout[] = [];
  #status = '';

  /** Takes from `environment` what is meant for the process `pid`: programs that it starts are not to believe it theirs. */
  constructor(environment: NodeJS.ProcessEnv, pid: number) {
    const take = (name: string): string => {
      const value = environment[name] ?? '';
      Reflect.deleteProperty(environment, name);
      return value;
    };
    this.#socket = take('NOTIFY_SOCKET');
    const watched = take('WATCHDOG_PID');
    const microseconds = Number(take('WATCHDOG_USEC'));
    const isOurs = watched === '' || watched === String(pid);
    this.#watchdog = isOurs && Number.isFinite(microseconds) ? microseconds / 1000 : 0;
    const [count, names, receiver] = [Number(take('LISTEN_FDS')), take('LISTEN_FDNAMES'), take('LISTEN_PID')];
    if (receiver !== String(pid) || !Number.isInteger(count)) return;
    const named = names.split(':');
    for (let at = 0; at < count; at++) this.#descriptors.set(named[at] ?? '', FIRST_DESCRIPTOR + at);
  }

  /** The descriptor that was kept under this name; undefined if there is none. The others are closed, and kept no more. */
  takeDescriptor(name: string): number | undefined {
    const wanted = this.#descriptors.get(name);
    this.#descriptors.delete(name);
    for (const [other, fd] of this.#descriptors) {
      closeFd(fd);
      this.#send(`FDSTOREREMOVE=1\nFDNAME=${other}`);
    }
    this.#descriptors.clear();
    return wanted;
  }

  /** Has the supervisor keep a descriptor for the process that comes after this one, in place of an earlier one. */
  keepDescriptor(name: string, fd: number): void {
    this.#send(`FDSTOREREMOVE=1\nFDNAME=${name}`);
    this.#send(`FDSTORE=1\nFDNAME=${name}`, fd);
  }

  ready(): void {
    this.#send('READY=1');
  }

  reloading(): void {
    // CLOCK_MONOTONIC, which is what systemd compares with.
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** From now on tells how the program fares (`status`: one line) and, as long as `isAlive`, that it does. */
  follow(status: () => string, isAlive: () => boolean): void {
    if (this.#socket === '') return;
    const tell = (): void => this.#tell(status());
    tell();
    this.#timers.push(setInterval(tell, STATUS_EVERY));
    if (this.#watchdog === 0) return;
    const look = (): void => {
      if (isAlive()) this.#send('WATCHDOG=1');
    };
    this.#timers.push(setInterval(look, this.#watchdog / LOOKS));
  }

  /** The program is about to end, and is not watched any more. */
  stopping(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#send('STOPPING=1');
  }

  #tell(status: string): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#send(`STATUS=${status}`);
  }

  /** A supervisor that can't be reached is no reason to stop. */
  #send(text: string, fd?: number): void {
    if (this.#socket !== '') notify(this.#socket, text, fd);
  }
}

/** What `systemctl status` shows of a gateway. */
export function statusLine({ port, peers, listening }: GatewayStatus): string {
  const inSession = peers.filter(isUp).length;
  const socket = listening ? `UDP port ${port}` : 'the interface is down';
  return `${socket}; sessions with ${inSession} of ${peers.length} peers`;
}
