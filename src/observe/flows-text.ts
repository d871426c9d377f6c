/** Flows as text for people. */
import type { FlowsAnswer } from '../gateway/flow-top.ts';
import { columns } from './columns.ts';
import type { LoggedFlow, LoggedFlows } from './flow-log-read.ts';
import { formatEnd, formatProtocol } from './page/units.ts';

const HEAD = ['peering', 'dir', 'proto', 'source', 'destination', 'verdict', 'packets', 'bytes', 'rate'];
/** Columns of numbers, which are set to the right. */
const NUMBERS = 6;

/** A table, the busiest first, and what it is a part of. */
export function formatFlows({ flows, matched, packets, bytes, watched_s, skipped_packets }: FlowsAnswer): string {
  const of = `${matched} ${matched === 1 ? 'flow' : 'flows'}, ${packets} packets, ${bytes} bytes in ${watched_s} s`;
  const skipped = skipped_packets === 0 ? '' : `; no room for flows of ${skipped_packets} packets`;
  return `${table(flows)}${flows.length} of ${of}${skipped}\n`;
}

/** The same out of a flow log. */
export function formatLoggedFlows(answer: LoggedFlows): string {
  const { flows, matched, packets, bytes, start, end, records, skipdata, unreadable_lines, skipped_packets } = answer;
  const time = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
  const span = start === null || end === null ? '' : `, ${time(start)} to ${time(end)}`;
  const notes = [
    ...(skipdata > 0 ? [`flows are missing where the log has SKIPDATA: ${skipdata} times`] : []),
    ...(unreadable_lines > 0 ? [`${unreadable_lines} lines are no records of this format`] : []),
    ...(skipped_packets > 0 ? [`no room for flows of ${skipped_packets} packets`] : []),
  ];
  const of = `${matched} ${matched === 1 ? 'flow' : 'flows'}, ${packets} packets, ${bytes} bytes in ${records} records${span}`;
  return `${table(flows)}${[`${flows.length} of ${of}`, ...notes].join('; ')}\n`;
}

/** The head and a line for each flow; nothing without any. */
function table(flows: readonly LoggedFlow[]): string {
  if (flows.length === 0) return '';
  return `${columns([HEAD, ...flows.map(cells)], NUMBERS).join('\n')}\n`;
}

function cells(flow: LoggedFlow): string[] {
  return [
    flow.peering ?? '-',
    flow.direction ?? '-',
    flow.protocol === null ? '-' : formatProtocol(flow.protocol),
    withPort(flow.source, flow.source_port),
    withPort(flow.destination, flow.destination_port),
    flow.drop_reason ?? flow.action,
    String(flow.packets),
    String(flow.bytes),
    formatRate(flow.rate_bps),
  ];
}

function withPort(address: string | null, port: number): string {
  return address === null ? '-' : formatEnd(address, port);
}

function formatRate(bits: number): string {
  if (bits < 1e6) return `${(bits / 1e3).toFixed(1)} kbit/s`;
  return bits < 1e9 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${(bits / 1e9).toFixed(2)} Gbit/s`;
}
