// What tests see of running programs from the outside.
import { existsSync, readFileSync } from 'node:fs';
import { RUN_FOLDER } from '../../src/gateway/host.ts';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import type { Lab } from './lab.ts';
import { until, type Running } from './process.ts';

/** Where the gateway of an interface answers `isthmus status`. */
export const apiPath = (device: string): string => `${RUN_FOLDER}/${device}.sock`;

/** Waits until a gateway has written down where its peer is, so that it knows when it is killed and started again. */
export const remembered = (device: string): Promise<void> =>
  until('the place of the peers to be remembered', () => existsSync(`${RUN_FOLDER}/${device}.peers.json`));

/** All that a gateway has dropped, by reason, a peer's or nobody's. */
export function dropsOf(status: GatewayStatus): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const counts of [status.drops, ...status.peers.map((peer) => peer.drops)]) {
    for (const [reason, count] of Object.entries(counts)) drops[reason] = (drops[reason] ?? 0) + count;
  }
  return drops;
}

/** The seconds that a program has had a processor, which no other program makes more. */
export function processorSeconds(running: Running): number {
  const fields = readFileSync(`/proc/${running.pid}/stat`, 'utf8').split(') ')[1].split(' ');
  // In hundredths (USER_HZ), of the program itself and of the kernel on its behalf.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The memory a program has in RAM, in MiB. */
export function residentMebibytes(running: Running): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes) / 1024;
}

/** What the kernel of a host has counted of a protocol of IPv4: `Udp`, `RcvbufErrors`. */
export async function counted(lab: Lab, host: string, protocol: string, name: string): Promise<number> {
  const table = await lab.must(host, ['cat', '/proc/net/snmp']);
  const [, names, values] = new RegExp(`^${protocol}: (.*)\\n${protocol}: (.*)$`, 'm').exec(table) ?? [];
  return Number(values.split(' ')[names.split(' ').indexOf(name)]);
}

/** Datagrams that the kernel of a host has thrown away so far, as the socket they were for was full. */
export async function overflowed(lab: Lab, host: string): Promise<number> {
  const ipv6 = /^Udp6RcvbufErrors\s+(\d+)$/m.exec(await lab.must(host, ['cat', '/proc/net/snmp6']))?.[1];
  return (await counted(lab, host, 'Udp', 'RcvbufErrors')) + Number(ipv6);
}
