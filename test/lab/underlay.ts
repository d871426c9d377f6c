// What the network between two gateways does to their datagrams.
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.ts';
import { until, type Running } from './process.ts';

const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/**
 * Drops a share of what arrives at a host's interface, 0 to 100 percent, until it is called again. What one UDP_SEGMENT
 * call sent passes a veth pair as one packet and is lost as one; `relay` loses single datagrams.
 */
export async function lose(lab: Lab, host: string, port: string, percent: number): Promise<void> {
  const table = `netdev lose-${port}`;
  const chain = `type filter hook ingress device "${port}" priority 0;`;
  const drop = percent >= 100 ? 'drop' : `numgen random mod 100 < ${percent} drop`;
  const rules = percent > 0 ? `table ${table} { chain arriving { ${chain} ${drop}; }; }` : '';
  // The first line is for the second to find the table, which would otherwise be an error.
  await lab.must(host, ['nft', '-f', '-'], { input: `table ${table}\ndelete table ${table}\n${rules}\n` });
}

/** Cuts a host off at an interface, in both directions and without its noticing, as a fault far away does. */
export async function cut(lab: Lab, host: string, port: string): Promise<void> {
  await lose(lab, host, port, 100);
  const rules = `table inet cut { chain leaving { type filter hook output priority 0; oifname "${port}" drop; }; }`;
  await lab.must(host, ['nft', '-f', '-'], { input: rules });
}

/** Undoes `cut`. */
export async function restore(lab: Lab, host: string, port: string): Promise<void> {
  await lab.must(host, ['nft', 'delete', 'table', 'inet', 'cut']);
  await lose(lab, host, port, 0);
}

/**
 * Makes a forwarding host a NAT (IPv4) that hides all behind the address of an interface and forgets a UDP mapping
 * after `idle` seconds without a datagram.
 */
export async function masquerade(lab: Lab, host: string, port: string, idle = 2): Promise<void> {
  const chain = 'type nat hook postrouting priority 100;';
  // Another source port for each new mapping, so that a mapping that was forgotten does not come back by chance.
  const rule = `oifname "${port}" masquerade fully-random`;
  await lab.must(host, ['nft', '-f', '-'], { input: `table ip nat { chain leaving { ${chain} ${rule}; }; }` });
  await lab.sysctl(host, {
    'net.netfilter.nf_conntrack_udp_timeout': idle,
    'net.netfilter.nf_conntrack_udp_timeout_stream': idle,
  });
}

export interface RelayOptions {
  /** `address:port` it listens on, and where it passes things on to. */
  readonly listen: string;
  readonly to: string;
  /** Percent of the datagrams. */
  readonly loss?: number;
  readonly duplicate?: number;
  readonly reorder?: number;
  /** Milliseconds, each way. */
  readonly delay?: number;
  readonly seed?: number;
}

/** A UDP relay on a host in the middle; it tells what it did when it is stopped. */
export async function relay(lab: Lab, host: string, options: RelayOptions): Promise<Running> {
  const running = lab.spawn(host, [process.execPath, program('relay'), ...flags(options)]);
  await until('the relay', () => running.output().includes('ready'));
  return running;
}

export interface FloodOptions {
  /** `address:port` of the target. */
  readonly to: string;
  readonly count: number;
  /** Datagrams a second. */
  readonly rate: number;
  readonly seed?: number;
  /** A capture by tcpdump, from an Ethernet interface, of datagrams to bend and repeat. */
  readonly samples?: string;
}

export interface FloodResult {
  readonly sent: number;
  /** How many answers came back, by the message type in their first byte. */
  readonly answers: Readonly<Record<string, number>>;
}

/** Sends random, truncated, repeated and bit-flipped datagrams, and no more than it was told. */
export async function flood(lab: Lab, host: string, options: FloodOptions): Promise<FloodResult> {
  const timeout = Math.ceil((options.count / options.rate) * 4000) + 30_000;
  const output = await lab.must(host, [process.execPath, program('flood'), ...flags(options)], { timeout });
  return JSON.parse(output) as FloodResult;
}

function flags(options: object): string[] {
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
}
