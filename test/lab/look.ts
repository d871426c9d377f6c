// What tests see of running programs from the outside.
import { readFileSync } from 'node:fs';
import { RUN_FOLDER } from '../../src/gateway/host.ts';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import type { Running } from './process.ts';

/** Where the gateway of an interface answers `isthmus status`. */
export const apiPath = (device: string): string => `${RUN_FOLDER}/${device}.sock`;

/** All that a gateway has dropped, by reason, a peer's or nobody's. */
export function dropsOf(status: GatewayStatus): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const counts of [status.drops, ...status.peers.map((peer) => peer.drops)]) {
    for (const [reason, count] of Object.entries(counts)) drops[reason] = (drops[reason] ?? 0) + count;
  }
  return drops;
}

/** The memory a program has in RAM, in MiB. */
export function residentMebibytes(running: Running): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes) / 1024;
}
