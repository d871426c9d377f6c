/** A tunnel's UDP socket: opened when the link comes up, changed while packets flow, closed when no thread uses it. */
import { closeFd, openUdp, setMark } from '../nic/native.ts';
import type { UdpSocket } from '../nic/native.ts';
import type { Log } from './tunnel.ts';

export interface Listen {
  /** 0: any. */
  readonly port: number;
  /** SO_MARK, 0: none. */
  readonly mark: number;
  /** Four words of a local address; absent: all. */
  readonly address?: Int32Array | undefined;
}

/** Has both threads use this socket; undefined: none. */
type Announce = (socket: UdpSocket | undefined) => void;

export class Underlay {
  readonly #announce: Announce;
  readonly #log: Log;
  #listen: Listen = { port: 0, mark: 0 };
  #socket: UdpSocket | undefined;
  /** Why there is no socket although the link is up. */
  #error: Error | undefined;
  /** Threads that still use a socket that is to be closed, by fd. */
  readonly #releasing = new Map<number, number>();

  constructor(announce: Announce, log: Log) {
    this.#announce = announce;
    this.#log = log;
  }

  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  /** -1 while there is no socket. */
  get fd(): number {
    return this.#socket?.fd ?? -1;
  }

  /** The bound port; without a socket the one that was asked for. */
  get port(): number {
    return this.#socket?.port ?? this.#listen.port;
  }

  get mark(): number {
    return this.#listen.mark;
  }

  /** Why the last attempt to open the socket failed, until one succeeds. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Says where to listen. With the socket open it is done at once, and throws if it can't be, leaving all as it was. */
  listen(listen: Listen): void {
    const { port, mark, address } = this.#listen;
    const sameAddress = String(listen.address) === String(address);
    if (this.#socket !== undefined) {
      if (listen.port === (port || this.#socket.port) && sameAddress) {
        if (listen.mark !== mark) setMark(this.#socket.fd, listen.mark);
      } else {
        this.#use(openUdp(listen.port, listen.mark, listen.address));
      }
    }
    this.#listen = listen;
  }

  /** Returns whether it is open now. What is in the way is logged once. */
  open(): boolean {
    try {
      this.#use(openUdp(this.#listen.port, this.#listen.mark, this.#listen.address));
    } catch (error) {
      // The next tick tries again: the port may become free.
      if (this.#error === undefined) this.#log.error(`UDP port ${this.#listen.port}: ${(error as Error).message}`);
      this.#error = error as Error;
      return false;
    }
    this.#error = undefined;
    return true;
  }

  /** The threads stop using the socket, which is then closed. */
  shut(): void {
    this.#use(undefined);
  }

  /** A thread uses `fd` no more. */
  released(fd: number): void {
    const left = (this.#releasing.get(fd) ?? 1) - 1;
    if (left > 0) this.#releasing.set(fd, left);
    else if (this.#releasing.delete(fd)) closeFd(fd);
  }

  /** For when the threads have ended: closes everything. */
  close(): void {
    if (this.#socket !== undefined) closeFd(this.#socket.fd);
    for (const fd of this.#releasing.keys()) closeFd(fd);
    this.#socket = undefined;
  }

  /** The old socket is closed once both threads have let go of it. */
  #use(socket: UdpSocket | undefined): void {
    if (this.#socket !== undefined) this.#releasing.set(this.#socket.fd, 2);
    this.#socket = socket;
    this.#announce(socket);
  }
}
