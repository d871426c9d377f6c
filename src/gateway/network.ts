/**
 * What the gateway changes on its host, by iproute2 and /proc: link, addresses, routes, forwarding. The kernel takes
 * back all that hangs on the interface when the interface goes; forwarding is put back by `restore`.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Prefix } from '../routing/prefix.ts';
import { canonical, formatPrefix } from '../routing/prefix.ts';
import { IsthmusError } from './errors.ts';

const run = promisify(execFile);

const FORWARDING = { 4: '/proc/sys/net/ipv4/ip_forward', 6: '/proc/sys/net/ipv6/conf/all/forwarding' } as const;

/** Bytes that a packet grows by on an underlay of each family: IP, UDP, header, tag. */
export const UNDERLAY_OVERHEAD = { 4: 60, 6: 80 } as const;
/** What the internet carries; a larger interface MTU is good for private underlays only. */
const INTERNET_MTU = 1500;
/**
 * What IPv6 needs (RFC 8200 §5). The kernel believes an ICMP error that says less of the path, from whomever; then it cuts our
 * datagrams, and the overlay keeps its IPv6.
 */
const LEAST_MTU = 1280;

/** What the kernel notes of our routes: made on the command line, as opposed to a daemon's. */
const PROTOCOL = 'boot';

/** Runs `ip` with these arguments. Throws an `IsthmusError` with what it says. */
export async function ip(...words: string[]): Promise<string> {
  try {
    return (await run('ip', words)).stdout;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    const said = (stderr ?? '').trim() || message;
    throw new IsthmusError('ISTHMUS_NETWORK', `ip ${words.join(' ')}: ${said}`);
  }
}

/** Gives the link its addresses and MTU and brings it up. IPv6 addresses of its own making are switched off. */
export async function configureLink(name: string, addresses: readonly Prefix[], mtu: number): Promise<void> {
  await ip('link', 'set', 'dev', name, 'addrgenmode', 'none').catch(() => undefined);
  await ip('link', 'set', 'dev', name, 'mtu', String(mtu), 'txqueuelen', '1000');
  for (const address of addresses) await addAddress(name, address);
  await ip('link', 'set', 'dev', name, 'up');
}

export async function addAddress(name: string, address: Prefix): Promise<void> {
  const noDad = address.family === 6 ? ['nodad'] : [];
  await ip('address', 'replace', formatPrefix(address), 'dev', name, ...noDad);
}

export async function removeAddress(name: string, address: Prefix): Promise<void> {
  await ip('address', 'delete', formatPrefix(address), 'dev', name);
}

/**
 * Leads routes into the tunnel, however many, by one call of `ip`, and gives those it made to `made`, also if it throws. A
 * route that leads there already (a routing daemon may have made it) is no error; one for the same network that leads
 * elsewhere is left alone, and is an error, once all the others are done.
 */
export async function addRoutes(
  name: string,
  prefixes: readonly Prefix[],
  made: (prefixes: Prefix[]) => void = () => undefined,
): Promise<void> {
  if (prefixes.length === 0) return;
  const lines = prefixes.map((prefix) => `route add ${formatPrefix(canonical(prefix))} dev ${name} proto ${PROTOCOL}`);
  const failures = await runBatch(lines);
  const failed = new Set(failures.map(({ number }) => number));
  made(prefixes.filter((_, index) => !failed.has(index + 1)));
  for (const { number, message } of failures) {
    if (message.includes('File exists') && (await leadsTo(name, prefixes[number - 1]))) continue;
    throw new IsthmusError('ISTHMUS_NETWORK', `ip ${lines[number - 1]}: ${message}`);
  }
}

/** Takes routes out of the tunnel. One that is gone, or that a routing daemon has made, is no error and is left alone. */
export async function removeRoutes(name: string, prefixes: readonly Prefix[]): Promise<void> {
  if (prefixes.length === 0) return;
  const lines = prefixes.map(
    (prefix) => `route delete ${formatPrefix(canonical(prefix))} dev ${name} proto ${PROTOCOL}`,
  );
  const failure = (await runBatch(lines)).find(({ message }) => !message.includes('No such process'));
  if (failure === undefined) return;
  throw new IsthmusError('ISTHMUS_NETWORK', `ip ${lines[failure.number - 1]}: ${failure.message}`);
}

/** Runs `ip` on every line. Returns what it says of those that failed, with their numbers from 1 on. */
async function runBatch(lines: readonly string[]): Promise<{ number: number; message: string }[]> {
  const running = run('ip', ['-force', '-batch', '-'], { maxBuffer: Infinity });
  // It may end before it has read all; what it then says is the error.
  running.child.stdin!.on('error', () => undefined).end(`${lines.join('\n')}\n`);
  try {
    await running;
    return [];
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    const failures = [...(stderr ?? '').matchAll(/(.*)\nCommand failed -:(\d+)/g)];
    if (failures.length === 0)
      throw new IsthmusError('ISTHMUS_NETWORK', `ip -batch: ${(stderr ?? '').trim() || message}`);
    return failures.map(([, said, number]) => ({ number: Number(number), message: said.trim() }));
  }
}

/** Whether the route for exactly this network, if there is one, is by this interface. */
async function leadsTo(name: string, prefix: Prefix): Promise<boolean> {
  const family = `-${prefix.family}`;
  const text = await ip('-json', family, 'route', 'show', 'exact', formatPrefix(canonical(prefix)), 'dev', name);
  return (JSON.parse(text) as unknown[]).length > 0;
}

/** Switches forwarding on for the families in use. Returns what puts it back. Throws an `IsthmusError` if it can't be. */
export function enableForwarding(families: Iterable<4 | 6>): () => void {
  const changed: string[] = [];
  for (const family of new Set(families)) {
    const path = FORWARDING[family];
    if (readFileSync(path, 'utf8').trim() !== '0') continue;
    try {
      writeFileSync(path, '1');
    } catch (error) {
      const name = path.slice('/proc/sys/'.length).replaceAll('/', '.');
      const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error';
      throw new IsthmusError('ISTHMUS_NETWORK', `cannot switch forwarding on (${reason}): sysctl -w ${name}=1`);
    }
    changed.push(path);
  }
  return () => {
    for (const path of changed) writeFileSync(path, '0');
  };
}

/** The overlay MTU that fits the path to `remote` (an IP address), or to anywhere: the outgoing link's, less the overhead. */
export async function automaticMtu(remote: string | undefined): Promise<number> {
  let mtu = INTERNET_MTU;
  try {
    const route = remote === undefined ? ['show', 'default'] : ['get', remote];
    const [{ dev, metrics }] = JSON.parse(await ip('-json', 'route', ...route)) as [
      { dev: string; metrics?: [{ mtu?: number }] },
    ];
    const [link] = JSON.parse(await ip('-json', 'link', 'show', 'dev', dev)) as [{ mtu: number }];
    mtu = metrics?.[0].mtu ?? link.mtu;
  } catch {
    // No route yet: the internet's size is safe.
  }
  if (remote === undefined || !isPrivate(remote)) mtu = Math.min(mtu, INTERNET_MTU);
  return Math.max(LEAST_MTU, mtu - UNDERLAY_OVERHEAD[6]);
}

/** RFC 1918, RFC 4193 and link-local addresses: the path stays inside a network whose links are known. */
function isPrivate(address: string): boolean {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|f[cd]|fe[89ab])/i.test(address);
}
