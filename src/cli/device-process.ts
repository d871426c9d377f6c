/** The life of `isthmus device`, step by step that of wireguard-go, so that what starts and watches the one can the other. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { openUapi, serveUapi, uapiPath } from '../control/uapi-socket.ts';
import { WireGuardDevice } from '../gateway/device.ts';
import { ip } from '../gateway/network.ts';
import { Tunnel, type Log } from '../gateway/tunnel.ts';
import { adoptTun, listenUnix, openTun, type Tun } from '../nic/native.ts';
import { DEFAULT_TIMING } from '../session/constants.ts';

/** How long a device of the same name that is about to end may keep its interface, in milliseconds. */
const PATIENCE = 2000;
const PAUSE = 50;

/** Bytes of an overlay packet to begin with, wireguard-go's: fits any underlay of 1500. */
const MTU = 1420;

const SUCCESS = 0;
const FAILURE = 1;

/** Where a started copy of this process finds what its parent opened. */
const INHERITED = { WG_TUN_FD: '3', WG_UAPI_FD: '4', WG_PROCESS_FOREGROUND: '1' } as const;

/**
 * Opens the interface `name` (a pattern such as `wg%d` is the kernel's to fill) and its UAPI socket, and runs the device:
 * here, or in a copy of this process that lives on. Resolves with the exit code. What was opened already can be handed
 * over as descriptors in WG_TUN_FD and WG_UAPI_FD; LOG_LEVEL is `verbose` or `debug`, `error` (if not set) or `silent`.
 */
export async function runDevice(name: string, inForeground: boolean): Promise<number> {
  let log = deviceLog(name);
  let socket = process.env['WG_UAPI_FD'] ? uapiPath(name) : undefined;
  try {
    const tun = await attempt('Failed to create TUN device', () => takeTun(name));
    log = deviceLog(tun.name);
    const uapi = await attempt('UAPI listen error', () => descriptor('WG_UAPI_FD') ?? openUapi(tun.name, listenUnix));
    socket = uapiPath(tun.name);
    if (inForeground) return await live(tun, uapi, log);
    await attempt('Failed to daemonize', () => startCopy(tun, uapi));
    return SUCCESS;
  } catch (error) {
    log.error((error as Error).message);
    if (socket !== undefined) rmSync(socket, { force: true });
    return FAILURE;
  }
}

/** Runs the device until a signal, its interface's deletion, or its socket's, ends it. */
async function live(tun: Tun, uapi: number, log: Log): Promise<number> {
  const signal = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  const tunnel = await Tunnel.start({ tun, timing: DEFAULT_TIMING, capture: '', log });
  log.debug('Device started');
  try {
    const device = new WireGuardDevice(tunnel);
    const path = uapiPath(tun.name);
    const listener = await attempt('Failed to listen on uapi socket', () => serveUapi({ fd: uapi, path, device, log }));
    log.debug('UAPI listener started');
    const ending = await Promise.race([signal, listener.removed, tunnel.ended]);
    listener.close();
    if (!ending || !('error' in ending)) return SUCCESS;
    log.error(ending.error.message);
    return FAILURE;
  } finally {
    log.debug('Shutting down');
    await tunnel.close();
  }
}

/** Starts this process once more, detached, with the TUN and the UAPI socket in its hands. */
async function startCopy(tun: Tun, uapi: number): Promise<void> {
  const level = process.env['LOG_LEVEL'] ?? '';
  const output = level === '' || level === 'silent' ? 'ignore' : 'inherit';
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1, -1), tun.name], {
    detached: true,
    env: { ...process.env, ...INHERITED },
    stdio: ['ignore', output, output, tun.fd, uapi],
  });
  await once(child, 'spawn');
  child.unref();
}

/** The TUN that was handed over, or a new one. */
async function takeTun(name: string): Promise<Tun> {
  const inherited = descriptor('WG_TUN_FD');
  if (inherited !== undefined) return adoptTun(inherited);
  const tun = await openFreeTun(name);
  await ip('link', 'set', 'dev', tun.name, 'mtu', String(MTU));
  return tun;
}

async function openFreeTun(name: string): Promise<Tun> {
  const until = Date.now() + PATIENCE;
  while (true) {
    try {
      return openTun(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || Date.now() > until) throw error;
    }
    await delay(PAUSE);
  }
}

/** The descriptor that an environment variable names; undefined if it is not set. */
function descriptor(variable: keyof typeof INHERITED): number | undefined {
  const text = process.env[variable] ?? '';
  if (text === '') return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${variable} is not a descriptor`);
  return Number(text);
}

/** Says in an error what it was that failed. */
async function attempt<T>(failure: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw new Error(`${failure}: ${(error as Error).message}`, { cause: error });
  }
}

/** Lines on standard output in wireguard-go's form, as LOG_LEVEL allows. */
function deviceLog(name: string): Log {
  const level = process.env['LOG_LEVEL'];
  const print = (kind: 'DEBUG' | 'ERROR', text: string): void => {
    const now = new Date();
    const two = (value: number): string => String(value).padStart(2, '0');
    const date = `${now.getFullYear()}/${two(now.getMonth() + 1)}/${two(now.getDate())}`;
    const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
    process.stdout.write(`${kind}: (${name}) ${date} ${time} ${text}\n`);
  };
  const verbose = level === 'verbose' || level === 'debug';
  const debug = (text: string): void => {
    if (verbose) print('DEBUG', text);
  };
  return {
    debug,
    info: debug,
    warn: debug,
    error: (text) => {
      if (level !== 'silent') print('ERROR', text);
    },
  };
}
