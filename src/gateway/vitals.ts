/** How the process fares: what its threads have used of the CPU, how full the flow table is, what the TUN carried. */
import { readFileSync } from 'node:fs';
import { FlowTable } from '../policy/flow-table.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import { bootTime } from '../nic/native.ts';
import type { FlowsStatus, LocalStatus } from './status.ts';

/** Linux's USER_HZ, the unit of times in /proc, is 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
/** Slots of the flow table that are looked at, at most: about a millisecond's worth. */
const SAMPLE = 1 << 18;

/** CPU seconds, user and system, of a thread of this process by the kernel's number; 0 of one that has ended. */
export function threadSeconds(tid: number): number {
  let text: string;
  try {
    text = readFileSync(`/proc/self/task/${tid}/stat`, 'utf8');
  } catch {
    return 0;
  }
  // The second field is a name in brackets that may hold anything; utime and stime are the 14th and 15th.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The live flows of a table; of a large one, an estimate from a part of it. */
export function flowsStatus(flows: FlowTableData): Pick<FlowsStatus, 'tracked' | 'capacity'> {
  const { live, slots } = new FlowTable(flows).stats(Math.floor(bootTime() / 1000), SAMPLE);
  return { tracked: live, capacity: slots / 2 };
}

/** What the kernel counted at an interface of this process's network namespace. What it received, the gateway sent. */
export function localStatus(name: string): LocalStatus | null {
  const line = readFileSync('/proc/self/net/dev', 'utf8')
    .split('\n')
    .find((each) => each.trimStart().startsWith(`${name}:`));
  if (line === undefined) return null;
  const counts = line
    .slice(line.indexOf(':') + 1)
    .trim()
    .split(/ +/)
    .map(Number);
  const [tx_bytes, tx_packets] = counts;
  const [rx_bytes, rx_packets] = counts.slice(8);
  return { rx_bytes, tx_bytes, rx_packets, tx_packets };
}
