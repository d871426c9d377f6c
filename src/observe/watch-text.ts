/** A gateway at a glance, for a terminal: what `isthmus status --watch` shows anew at each interval. */
import type { EventsAnswer } from '../gateway/events.ts';
import type { FlowRow, FlowsAnswer } from '../gateway/flow-top.ts';
import type { GatewayStatus, PeerStatus } from '../gateway/status.ts';
import { latest } from './page/history.ts';
import type { History } from './page/history.ts';
import { stateOf, textOf } from './page/states.ts';
import {
  formatBits,
  formatBytes,
  formatCount,
  formatEnd,
  formatPerSecond,
  formatProtocol,
  formatSeconds,
  formatShare,
} from './page/units.ts';

export interface Watched {
  readonly status: GatewayStatus;
  /** Of this status and those before. */
  readonly history: History;
  readonly flows: FlowsAnswer;
  readonly events: EventsAnswer;
}

/** Of the terminal, in characters. */
export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

const BARS = '▁▂▃▄▅▆▇█';
const SPARK = 8;
/** Lines of a part below the peerings, each with its heading and the blank line above. */
const MOST = { drops: 5, flows: 5, events: 4 };
const HEADING = 2;

/** The whole screen: no line longer, and no more lines, than it holds. */
export function formatWatch({ status, history, flows, events }: Watched, { columns, rows }: ScreenSize): string {
  const top = [...summary(status, history), ''];
  const parts = [
    { name: 'drops', lines: dropLines(status, history).slice(0, MOST.drops + HEADING) },
    { name: 'flows', lines: flowLines(flows.flows).slice(0, MOST.flows + HEADING) },
    { name: 'events', lines: eventLines(events).slice(0, MOST.events + HEADING) },
  ];
  const peerings = peeringLines(status.peers, history);
  // What does not fit goes from the end: events first, then flows, then drops, and peerings last.
  const fitting = (): number => top.length + peerings.length + parts.reduce((sum, { lines }) => sum + lines.length, 0);
  while (fitting() > rows - 1 && parts.length > 0) parts.pop();
  const room = Math.max(2, rows - 1 - top.length);
  const shown = peerings.length <= room ? peerings : [...peerings.slice(0, room - 1), more(peerings.length - room + 1)];
  const lines = [...top, ...shown, ...parts.flatMap((part) => part.lines)];
  return lines.map((line) => `${cut(line.trimEnd(), columns)}\n`).join('');
}

/** The last values as bars, as high as they are beside the greatest of them. */
export function sparkline(values: readonly number[], width = SPARK): string {
  const last = values.slice(-width);
  const most = Math.max(...last);
  const bar = (value: number): string => BARS[most <= 0 ? 0 : Math.round((value / most) * (BARS.length - 1))];
  return last.map(bar).join('').padStart(width);
}

function summary(status: GatewayStatus, history: History): string[] {
  const { peers, flows } = status;
  const bytes = (key: 'rx_bytes' | 'tx_bytes'): string => formatBytes(peers.reduce((sum, peer) => sum + peer[key], 0));
  const { rx, tx } = history.total;
  const up = peers.filter((peer) => stateOf(peer).level === 'good').length;
  const busy = `${formatShare(history.busy('outbound'))} outbound, ${formatShare(history.busy('inbound'))} inbound`;
  return [
    `gateway ${status.gateway} on ${status.interface}, up ${formatSeconds(status.uptime_s)}, ${status.listening ? `UDP port ${status.port}` : 'NOT LISTENING'}`,
    `  traffic   ${bytes('rx_bytes')} in, ${bytes('tx_bytes')} out; now ${formatBits(latest(rx))} in, ${formatBits(latest(tx))} out`,
    `  peerings  ${up} of ${peers.length} up; ${formatCount(flows.tracked)} ${flows.tracked === 1 ? 'flow' : 'flows'}; CPU ${busy}`,
  ];
}

/** Columns of 14, 19, 13 and twice 17 characters: a terminal's 80. */
function peeringLines(peers: readonly PeerStatus[], history: History): string[] {
  const line = (name: string, state: string, trip: string, ways: readonly string[]): string =>
    `${cut(name, 13).padEnd(14)}${state.padEnd(19)}${trip.padStart(13)}${ways.join('')}`;
  const rows = peers.map((peer) => {
    const { rx, tx } = history.of(peer.name);
    const trip = peer.path?.rtt_ms == null ? '' : `${peer.path.rtt_ms.toFixed(1)} ms`;
    const lost = peer.path?.loss == null || peer.path.loss === 0 ? '' : ` -${formatShare(peer.path.loss)}`;
    const ways = [rx, tx].map((series) => `${shortBits(latest(series)).padStart(8)} ${sparkline(series)}`);
    return line(peer.name, textOf(stateOf(peer)), trip + lost, ways);
  });
  const ways = ['in, bit/s', 'out, bit/s'].map((way) => way.padStart(17));
  return [line('peering', 'state', 'round trip', ways), ...rows];
}

/** `507.3M`, where the unit stands elsewhere. */
function shortBits(bits: number): string {
  return formatBits(bits).replace(/ ([kMG])bit\/s$/, '$1');
}

function dropLines({ all_drops: drops }: GatewayStatus, history: History): string[] {
  const rows = Object.entries(drops)
    .filter(([, count]) => count > 0)
    .sort(([a, m], [b, n]) => history.dropRate(b) - history.dropRate(a) || n - m);
  if (rows.length === 0) return [];
  return [
    '',
    `${'dropped'.padEnd(37)}${'a second'.padStart(10)}${'in all'.padStart(12)}`,
    ...rows.map(([reason, count]) => {
      return `${reason.padEnd(37)}${formatPerSecond(history.dropRate(reason)).padStart(10)}${formatCount(count).padStart(12)}`;
    }),
  ];
}

function flowLines(flows: readonly FlowRow[]): string[] {
  if (flows.length === 0) return [];
  return ['', `${'flow'.padEnd(47)}${'rate'.padStart(12)}`, ...flows.map(flowLine)];
}

function flowLine(flow: FlowRow): string {
  const ends = `${formatEnd(flow.source, flow.source_port)} > ${formatEnd(flow.destination, flow.destination_port)}`;
  const what = `${formatProtocol(flow.protocol)} ${ends}`;
  return `${what.padEnd(47)}${formatBits(flow.rate_bps).padStart(12)}  ${flow.drop_reason ?? `${flow.direction}, ${flow.peering ?? 'no peering'}`}`;
}

function eventLines({ events }: EventsAnswer): string[] {
  if (events.length === 0) return [];
  const lines = events.toReversed().map(({ at, peering, text }) => {
    const time = new Date(at * 1000).toTimeString().slice(0, 8);
    return `${time}  ${peering === null ? '' : `${peering}: `}${text.replaceAll('\n', ' ')}`;
  });
  return ['', 'last events', ...lines];
}

function more(count: number): string {
  return `and ${count} more; isthmus status lists all`;
}

/** A character is a column, for all that a gateway shows. */
function cut(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, columns - 1)}…`;
}
