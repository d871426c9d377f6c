import { lstatSync, mkdirSync, unlinkSync, watch } from 'node:fs';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ConfigurableDevice } from '../gateway/device-state.ts';
import type { Log } from '../gateway/tunnel.ts';
import { uapiServer } from './uapi.ts';

/** Where `wg` looks. */
const DIRECTORY = '/var/run/wireguard';

/**
 * How often a device of the same name that is about to end is asked whether it still has its socket, and the milliseconds
 * in between. Counted, not timed: on a machine that stands still for a while it does not get on with its end either.
 */
const ATTEMPTS = 40;
const PAUSE = 50;

/** The path of the socket of the device `name`. */
export function uapiPath(name: string): string {
  return `${DIRECTORY}/${name}.sock`;
}

/**
 * Binds the socket of the device `name`, in the place of one that nobody listens on any more, and gives its descriptor.
 * `listenUnix` binds and listens with mode 0600. Throws if another process listens on it, and what the system throws.
 */
export async function openUapi(name: string, listenUnix: (path: string) => number): Promise<number> {
  const path = uapiPath(name);
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  for (let attempt = 1; await isAnswered(path); attempt++) {
    if (attempt === ATTEMPTS) throw new Error('unix socket in use');
    await delay(PAUSE);
  }
  unlinkIfThere(path);
  return listenUnix(path);
}

export interface UapiListener {
  /** Resolves when the socket's file has been deleted or replaced, the sign for a device to end. */
  readonly removed: Promise<void>;
  /** Ends all conversations and deletes the socket's file, unless it is another's by now. */
  close(): void;
}

/**
 * Serves the UAPI of `device` on `fd`, a listening Unix socket that is bound to `path`. Rejects if it is none, or if there
 * is no such path.
 */
export async function serveUapi(options: {
  fd: number;
  path: string;
  device: ConfigurableDevice;
  log: Log;
}): Promise<UapiListener> {
  const { fd, path, device, log } = options;
  const inode = inodeOf(path);
  if (inode === undefined) throw new Error(`${path} does not exist`);
  const conversations = new Set<Socket>();
  const server = uapiServer(device, log).on('connection', (socket: Socket) => {
    conversations.add(socket);
    socket.once('close', () => conversations.delete(socket));
  });
  const watcher = watch(path);
  try {
    await once(server.listen({ fd }), 'listening');
  } catch (error) {
    watcher.close();
    throw error;
  }
  // A connection that cannot be taken, for want of descriptors, is no reason to end.
  server.on('error', (error) => log.error(`UAPI: ${error.message}`));
  const removed = new Promise<void>((resolve) => {
    const look = (): void => {
      if (inodeOf(path) !== inode) resolve();
    };
    // While the socket is bound its inode lives on; what is seen of a deletion is the count of links.
    watcher.on('change', look).on('error', () => resolve());
    look();
  });
  return {
    removed,
    close() {
      watcher.close();
      server.close();
      for (const socket of conversations) socket.destroy();
      if (inodeOf(path) === inode) unlinkIfThere(path);
    },
  };
}

/** Whether a process listens on the Unix socket at `path`. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket
      .on('connect', () => {
        socket.destroy();
        resolve(true);
      })
      .on('error', () => resolve(false));
  });
}

/** The inode that `path` names, undefined if it names none. */
function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
