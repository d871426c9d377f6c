/** The flows that carry most, out of the records of a flow log: ours, or one of AWS's. */
import { contains } from '../gateway/config.ts';
import { DEFAULT_FLOW_FORMAT, FLOW_FIELD_NAMES } from '../gateway/flow-fields.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { isProtocol } from '../gateway/flow-top.ts';
import type { FlowQuery, FlowRow } from '../gateway/flow-top.ts';
import { parsePrefix } from '../gateway/text.ts';
import type { Prefix } from '../routing/prefix.ts';
import { parseFlowHeader, parseFlowRecord } from './flow-log-format.ts';
import type { FlowRecord, ReadFields } from './flow-log-format.ts';

/** A flow in one direction as records tell of it. What their format leaves out is null, a port is 0. */
export interface LoggedFlow extends Omit<FlowRow, 'direction' | 'drop_reason' | 'source' | 'destination' | 'protocol'> {
  readonly direction: FlowRow['direction'] | null;
  readonly source: string | null;
  readonly destination: string | null;
  readonly protocol: number | null;
  readonly drop_reason: string | null;
}

/** The JSON of `isthmus flows --read FILE --json`. */
export interface LoggedFlows {
  /** Unix seconds of the first and the last packet; null without any, or where the format has no times. */
  readonly start: number | null;
  readonly end: number | null;
  /** Records of flows, records that say that others are missing, and lines that are no record. */
  readonly records: number;
  readonly skipdata: number;
  readonly unreadable_lines: number;
  /** Flows that the question fits, and the sums of them. */
  readonly matched: number;
  readonly packets: number;
  readonly bytes: number;
  /** Packets of flows beyond the first million, which are in the sums only. */
  readonly skipped_packets: number;
  readonly flows: readonly LoggedFlow[];
}

/** Flows that are told apart. */
const MAX_FLOWS = 1 << 20;
/** A line longer than this is not shown. */
const SHOWN = 80;

interface Sums {
  readonly record: FlowRecord;
  rule: string | null;
  packets: number;
  bytes: number;
  first: number;
  last: number;
}

/**
 * Reads `lines`, adding up the records of each flow. `fields` is the format; without it a line that names the fields says
 * which it is, as in AWS's files, or else the number of fields tells the default format from that of all. Throws an
 * `IsthmusError` (`ISTHMUS_USAGE`) where the format is not known.
 */
export async function readTopFlows(
  lines: AsyncIterable<string>,
  query: FlowQuery,
  fields?: ReadFields,
): Promise<LoggedFlows> {
  const reading = new Reading(query);
  let format = fields;
  for await (const line of lines) {
    if (line.trim() === '') continue;
    const header = parseFlowHeader(line);
    if (header !== undefined) format = header;
    else reading.take(line, (format ??= formatOf(line)));
  }
  return reading.answer();
}

function formatOf(line: string): ReadFields {
  const count = line.trim().split(/\s+/).length;
  const found = [DEFAULT_FLOW_FORMAT, FLOW_FIELD_NAMES].find(({ length }) => length === count);
  if (found !== undefined) return found;
  const shown = line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
  throw new IsthmusError(
    'ISTHMUS_USAGE',
    `"${shown}" has ${count} fields, and no line names them; wanted --format '\${srcaddr} \${dstaddr} …', as the log was made`,
  );
}

class Reading {
  readonly #query: FlowQuery;
  readonly #flows = new Map<string, Sums>();
  /** Whether an address is in the network that is asked for. */
  readonly #fits = new Map<string, boolean>();
  #records = 0;
  #skipdata = 0;
  #unreadable = 0;
  #start = Infinity;
  #end = -Infinity;
  #packets = 0;
  #bytes = 0;
  #skipped = 0;

  constructor(query: FlowQuery) {
    this.#query = query;
  }

  take(line: string, format: ReadFields): void {
    const record = parseFlowRecord(line, format);
    if (record === undefined) {
      this.#unreadable++;
      return;
    }
    const status = record['log-status'];
    if (status === 'SKIPDATA') this.#skipdata++;
    // Our records of an interval without flows have no addresses either.
    if (status === 'SKIPDATA' || status === 'NODATA' || (record.srcaddr ?? record['pkt-srcaddr'] ?? null) === null)
      return;
    this.#records++;
    if (this.#isAskedFor(record)) this.#add(record);
  }

  answer(): LoggedFlows {
    const { sort, cursor, limit } = this.#query;
    const rows = Array.from(this.#flows.values(), rowOf);
    const rank = ({ bytes, packets, rate_bps }: LoggedFlow): number =>
      sort === 'bytes' ? bytes : sort === 'packets' ? packets : rate_bps;
    return {
      start: Number.isFinite(this.#start) ? this.#start : null,
      end: Number.isFinite(this.#end) ? this.#end : null,
      records: this.#records,
      skipdata: this.#skipdata,
      unreadable_lines: this.#unreadable,
      matched: rows.length,
      packets: this.#packets,
      bytes: this.#bytes,
      skipped_packets: this.#skipped,
      flows: rows.sort((a, b) => rank(b) - rank(a)).slice(cursor, cursor + limit),
    };
  }

  #add(record: FlowRecord): void {
    const [packets, bytes] = [Number(record.packets ?? 0), Number(record.bytes ?? 0)];
    const [first, last] = [Number(record.start ?? Infinity), Number(record.end ?? -Infinity)];
    this.#packets += packets;
    this.#bytes += bytes;
    this.#start = Math.min(this.#start, first);
    this.#end = Math.max(this.#end, last);
    const key = KEY.map((field) => record[field]).join(' ');
    const flow = this.#flows.get(key);
    const rule = textOf(record.rule);
    if (flow !== undefined) {
      flow.packets += packets;
      flow.bytes += bytes;
      flow.rule = rule ?? flow.rule;
      flow.first = Math.min(flow.first, first);
      flow.last = Math.max(flow.last, last);
    } else if (this.#flows.size < MAX_FLOWS) {
      this.#flows.set(key, { record, rule, packets, bytes, first, last });
    } else {
      this.#skipped += packets;
    }
  }

  #isAskedFor(record: FlowRecord): boolean {
    const { peering, address, port, protocol } = this.#query;
    if (peering !== undefined && record.peering !== peering) return false;
    if (protocol !== undefined && !isProtocol(protocol, Number(record.protocol))) return false;
    if (port !== undefined && record.srcport !== port && record.dstport !== port) return false;
    return address === undefined || this.#isIn(address, sourceOf(record)) || this.#isIn(address, destinationOf(record));
  }

  #isIn(network: Prefix, address: string | null): boolean {
    if (address === null) return false;
    const known = this.#fits.get(address);
    if (known !== undefined) return known;
    let fits = false;
    try {
      fits = contains(network, parsePrefix(address));
    } catch {
      // What is no address is in no network.
    }
    if (this.#fits.size < MAX_FLOWS) this.#fits.set(address, fits);
    return fits;
  }
}

/** What makes a flow, of what a format may have. */
const KEY = [
  ...(['interface-id', 'peering', 'flow-direction', 'protocol', 'srcaddr', 'srcport', 'dstaddr', 'dstport'] as const),
  ...(['pkt-srcaddr', 'pkt-dstaddr', 'action', 'drop-reason'] as const),
];

function rowOf({ record, rule, packets, bytes, first, last }: Sums): LoggedFlow {
  const seconds = Math.max(1, last - first);
  const direction = record['flow-direction'];
  return {
    peering: textOf(record.peering),
    direction: direction === 'ingress' ? 'in' : direction === 'egress' ? 'out' : null,
    protocol: record.protocol === undefined || record.protocol === null ? null : Number(record.protocol),
    source: sourceOf(record),
    source_port: Number(record.srcport ?? 0),
    destination: destinationOf(record),
    destination_port: Number(record.dstport ?? 0),
    action: record.action === 'REJECT' ? 'reject' : 'accept',
    drop_reason: textOf(record['drop-reason']),
    rule,
    packets,
    bytes,
    rate_bps: Number.isFinite(seconds) ? Math.round((bytes * 8) / seconds) : 0,
    first: Number.isFinite(first) ? first : 0,
    last: Number.isFinite(last) ? last : 0,
  };
}

function sourceOf(record: FlowRecord): string | null {
  return textOf(record['pkt-srcaddr'] ?? record.srcaddr);
}

function destinationOf(record: FlowRecord): string | null {
  return textOf(record['pkt-dstaddr'] ?? record.dstaddr);
}

function textOf(value: string | number | null | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}
