import type { LiveEnd, LiveStep } from '../gateway/live.ts';
import type { TraceAnswer } from '../gateway/trace.ts';
import { formatEnd } from './page/units.ts';

/** A trace as people read it: a line for each step, then the verdict. */
export function formatTrace({ steps, passes, reason, to }: TraceAnswer): string {
  const lines = steps.map((step) => `${step.passes ? '  ' : 'x '}${step.step.padEnd(12)}${step.text}`);
  const end = passes ? `passes, to ${to}` : `dropped: ${reason}`;
  return `${[...lines, end].join('\n')}\n`;
}

const PROTOCOL_NAMES: Readonly<Partial<Record<number, string>>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp' };
const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack'];

/** A line of a live trace as people read it; nothing for an end that missed nothing. */
export function formatLive(line: LiveStep | LiveEnd): string {
  if ('lost' in line) return line.lost === 0 ? '' : `${line.lost} more matched than could be shown\n`;
  const ends = [formatEnd(line.source, line.source_port), formatEnd(line.destination, line.destination_port)];
  const flags = TCP_FLAGS.filter((_, bit) => ((line.tcp_flags >> bit) & 1) === 1);
  const kind = line.icmp_type >= 0 ? ` type ${line.icmp_type}` : flags.length > 0 ? ` ${flags.join('+')}` : '';
  const what = `${PROTOCOL_NAMES[line.protocol] ?? `protocol ${line.protocol}`}${kind}`;
  const way = `${line.from} -> ${line.to ?? '?'}`;
  const verdict = line.reason === null ? 'passes' : `dropped: ${line.reason}`;
  const rule = line.rule === null ? '' : `, rule ${line.rule}`;
  const count = line.packets === 1 ? '' : `, ${line.packets} packets`;
  return `${way}  ${what}  ${ends.join(' -> ')}  ${verdict}${rule}${count}\n`;
}
