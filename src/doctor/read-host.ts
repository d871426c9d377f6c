/** Reads what a host is like, from /proc, its devices and its clock. Changes nothing. */
import { createSocket } from 'node:dgram';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { release } from 'node:os';
import type { GatewayConfig } from '../gateway/config.ts';
import { look } from './command.ts';
import type { HostState } from './context.ts';

const CAP_NET_ADMIN = 12n;

/** `files`: those whose times are looked at. `isOurs`: the gateway runs, so that the port is its own. */
export async function readHost(
  config: GatewayConfig | undefined,
  files: readonly string[],
  isOurs: boolean,
): Promise<HostState> {
  const port = config === undefined || isOurs ? '' : await tryPort(config.listen.port, config.listen.address);
  const device = config?.interface ?? '';
  const ofInterface = (what: string): string | undefined =>
    sysctl(`ipv4/conf/${device}/${what}`) ?? sysctl(`ipv4/conf/default/${what}`);
  const forwards = (value: string | undefined): boolean | undefined =>
    value === undefined ? undefined : value === '1';
  return {
    netAdmin: hasNetAdmin(),
    tun: tryTun(),
    hasIp: (await look('ip', '-V')).found,
    kernel: release(),
    now: Date.now(),
    newest: newestOf(files),
    synchronised: await isSynchronised(),
    forwarding: { 4: forwards(sysctl('ipv4/ip_forward')), 6: forwards(sysctl('ipv6/conf/all/forwarding')) },
    interfaceForwarding: forwards(ofInterface('forwarding')),
    reversePathFilter: Math.max(Number(sysctl('ipv4/conf/all/rp_filter')), Number(ofInterface('rp_filter'))),
    port,
    portHolder: port === 'EADDRINUSE' ? await holderOf(config!.listen.port) : undefined,
  };
}

function sysctl(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/net/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function hasNetAdmin(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

function tryTun(): string {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return '';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

function tryPort(port: number, address: string | undefined): Promise<string> {
  const type = address?.includes(':') === false ? 'udp4' : 'udp6';
  return new Promise((resolve) => {
    const socket = createSocket(type);
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.bind(port, address, () => socket.close(() => resolve('')));
  });
}

async function holderOf(port: number): Promise<string | undefined> {
  const { stdout } = await look('ss', '-Hulnp', `sport = :${port}`);
  const [, name, pid] = (/users:\(\("([^"]+)",pid=(\d+)/.exec(stdout) ?? []) as (string | undefined)[];
  return name === undefined ? undefined : `${name}, process ${pid}`;
}

function newestOf(files: readonly string[]): HostState['newest'] {
  const times = files.flatMap((path) => {
    const at = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    return at === undefined ? [] : [{ path, at }];
  });
  return times.sort((a, b) => b.at - a.at)[0];
}

/** Asked of systemd, where there is one. */
async function isSynchronised(): Promise<boolean | undefined> {
  const { code, stdout } = await look('timedatectl', 'show', '-p', 'NTPSynchronized', '--value');
  const answer = stdout.trim();
  return code === 0 && (answer === 'yes' || answer === 'no') ? answer === 'yes' : undefined;
}
