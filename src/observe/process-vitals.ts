import { readFileSync, readdirSync } from 'node:fs';
import { threadSeconds } from '../gateway/vitals.ts';

/** How the process of a gateway fares. Counts are since its start. */
export interface ProcessVitals {
  readonly cpu_s: number;
  readonly main_cpu_s: number;
  readonly resident_bytes: number;
  readonly heap_bytes: number;
  readonly open_fds: number;
  readonly max_fds: number;
  /** Seconds since 1970. */
  readonly started_at_s: number;
}

const MICROSECONDS = 1e6;

/** Reads them, all from the kernel and V8 at once. */
export function processVitals(): ProcessVitals {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return {
    cpu_s: (user + system) / MICROSECONDS,
    main_cpu_s: threadSeconds(process.pid),
    resident_bytes: rss,
    heap_bytes: heapUsed,
    open_fds: readdirSync('/proc/self/fd').length,
    max_fds: openFilesLimit(),
    started_at_s: performance.timeOrigin / 1000,
  };
}

/** The soft limit, which only root's `unlimited` lacks. */
function openFilesLimit(): number {
  const match = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return match === null || match[1] === 'unlimited' ? Infinity : Number(match[1]);
}
