/** What a gateway opens and looks at on its host, with errors that say what to do. */
import { existsSync, readdirSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createCapture } from '../nic/capture.ts';
import { openTun } from '../nic/native.ts';
import { addressWords } from '../wire/endpoint.ts';
import type { GatewayConfig, Listen } from './config.ts';
import { IsthmusError } from './errors.ts';
import type { LinkState } from './link.ts';
import { automaticMtu } from './network.ts';
import { tunnelRoutes } from './routing.ts';

/** Sockets and what is remembered across restarts. */
export const RUN_FOLDER = '/run/isthmus';

/** Whether this host, or this network namespace of it, has another gateway. */
export function othersRun(name: string): boolean {
  if (!existsSync(RUN_FOLDER)) return false;
  const here = networkInterfaces();
  return readdirSync(RUN_FOLDER).some((file) => {
    const other = /^(.*)\.sock$/.exec(file)?.[1] ?? name;
    return other !== name && other in here;
  });
}

export function startCapture(path: string): void {
  try {
    createCapture(path);
  } catch (error) {
    throw new IsthmusError('ISTHMUS_FILE_WRITE', `cannot capture: ${(error as Error).message}`);
  }
}

/** What to do when an interface can't be opened, by the system's error. */
const ADVICE: Readonly<Partial<Record<string, string>>> = {
  EPERM: 'run as root or with CAP_NET_ADMIN',
  EACCES: 'run as root or with CAP_NET_ADMIN',
  EBUSY: 'another program has this interface',
  EINVAL: 'an interface of another kind has this name',
  ENOENT: 'load the tun module: modprobe tun',
};

export function openInterface(name: string): ReturnType<typeof openTun> {
  try {
    return openTun(name);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const advice = ADVICE[code] ?? 'see the kernel log';
    throw new IsthmusError('ISTHMUS_TUN', `cannot open the interface ${name}: ${message}; ${advice}`);
  }
}

export function listening({ address, port }: Listen, open: () => void): void {
  try {
    open();
  } catch (error) {
    const where = address === undefined ? `UDP port ${port}` : `${address}, UDP port ${port}`;
    throw new IsthmusError('ISTHMUS_LISTEN', `cannot listen on ${where}: ${(error as Error).message}`);
  }
}

export function listenOf({ address, port }: Listen): { port: number; mark: number; address?: Int32Array } {
  return address === undefined ? { port, mark: 0 } : { port, mark: 0, address: Int32Array.from(addressWords(address)) };
}

export function mtuOf(config: GatewayConfig): Promise<number> {
  if (config.mtu !== 'auto') return Promise.resolve(config.mtu);
  const host = config.peerings.find(({ endpoint }) => endpoint !== undefined)?.endpoint?.host;
  return automaticMtu(host !== undefined && isIP(host) !== 0 ? host : undefined);
}

export function familiesOf({ subnets, peerings }: GatewayConfig): (4 | 6)[] {
  return [...subnets, ...peerings.flatMap((peering) => peering.subnets)].map(({ family }) => family);
}

export async function linkOf(config: GatewayConfig, mtu?: number): Promise<LinkState> {
  return { addresses: config.addresses, routes: tunnelRoutes(config), mtu: mtu ?? (await mtuOf(config)) };
}
