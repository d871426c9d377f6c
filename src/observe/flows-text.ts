/** Flows as text for people. */
import type { FlowRow, FlowsAnswer } from '../gateway/flow-top.ts';

const PROTOCOL_NAMES: Readonly<Partial<Record<number, string>>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };
const HEAD = ['peering', 'dir', 'proto', 'source', 'destination', 'verdict', 'packets', 'bytes', 'rate'];
/** Columns of numbers, which are set to the right. */
const NUMBERS = 6;

/** A table, the busiest first, and what it is a part of. */
export function formatFlows({ flows, matched, packets, bytes, watched_s, skipped_packets }: FlowsAnswer): string {
  const of = `${matched} ${matched === 1 ? 'flow' : 'flows'}, ${packets} packets, ${bytes} bytes in ${watched_s} s`;
  const skipped = skipped_packets === 0 ? '' : `; no room for flows of ${skipped_packets} packets`;
  const summary = `${flows.length} of ${of}${skipped}\n`;
  if (flows.length === 0) return summary;
  const rows = [HEAD, ...flows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column < NUMBERS ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  '),
  );
  return `${lines.join('\n')}\n${summary}`;
}

function cells(flow: FlowRow): string[] {
  return [
    flow.peering ?? '-',
    flow.direction,
    PROTOCOL_NAMES[flow.protocol] ?? String(flow.protocol),
    withPort(flow.source, flow.source_port),
    withPort(flow.destination, flow.destination_port),
    flow.drop_reason ?? 'accept',
    String(flow.packets),
    String(flow.bytes),
    formatRate(flow.rate_bps),
  ];
}

function withPort(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function formatRate(bits: number): string {
  if (bits < 1e6) return `${(bits / 1e3).toFixed(1)} kbit/s`;
  return bits < 1e9 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${(bits / 1e9).toFixed(2)} Gbit/s`;
}
