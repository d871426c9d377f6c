/** Flow log records as text: written in AWS's format, and read, AWS's own ones too. */
import { fieldOf, isFlowField, versionOfFormat } from '../gateway/flow-fields.ts';
import type { FlowField } from '../gateway/flow-fields.ts';
import type { SeenFlow } from '../gateway/flow-view.ts';

/** What AWS calls its fields, those to come too. */
const FIELD_NAME = /^[a-z][a-z0-9-]+$/;
/** What AWS writes for a value that is not known. */
const UNKNOWN = '-';

export type LogStatus = 'OK' | 'NODATA' | 'SKIPDATA';

/** Fields by their names; null for `-`. */
export type FlowRecord = Readonly<Partial<Record<FlowField, string | number | null>>>;

/** Writes the records of one format. `values` says where they are made. */
export class FlowFormat {
  readonly fields: readonly FlowField[];
  readonly #version: string;
  readonly #values: Readonly<Partial<Record<FlowField, string>>>;

  constructor(fields: readonly FlowField[], values: Readonly<Partial<Record<FlowField, string>>>) {
    this.fields = fields;
    this.#version = String(versionOfFormat(fields));
    this.#values = values;
  }

  /** The record of a flow, without the end of the line. */
  line(flow: SeenFlow): string {
    let text = '';
    for (const field of this.fields) text += `${text === '' ? '' : ' '}${this.#valueOf(field, flow)}`;
    return text;
  }

  /** The record that stands for an interval without flows, or with some that were not recorded: in Unix seconds. */
  emptyLine(status: Exclude<LogStatus, 'OK'>, start: number, end: number): string {
    const known: Partial<Record<FlowField, string>> = {
      ...this.#values,
      version: this.#version,
      start: String(start),
      end: String(end),
      'log-status': status,
    };
    return this.fields.map((field) => known[field] ?? UNKNOWN).join(' ');
  }

  #valueOf(field: FlowField, flow: SeenFlow): string | number {
    switch (field) {
      case 'version':
        return this.#version;
      case 'srcaddr':
      case 'pkt-srcaddr':
        return flow.source;
      case 'dstaddr':
      case 'pkt-dstaddr':
        return flow.destination;
      case 'srcport':
        return flow.sourcePort;
      case 'dstport':
        return flow.destinationPort;
      case 'protocol':
        return flow.protocol;
      case 'packets':
        return flow.packets;
      case 'bytes':
        return flow.bytes;
      case 'start':
        return flow.first;
      case 'end':
        return flow.last;
      case 'action':
        return flow.reason === 'none' ? 'ACCEPT' : 'REJECT';
      case 'log-status':
        return 'OK';
      case 'tcp-flags':
        return flow.tcpFlags;
      case 'type':
        return flow.version === 4 ? 'IPv4' : 'IPv6';
      case 'flow-direction':
        return flow.direction === 'in' ? 'ingress' : 'egress';
      case 'peering':
        return flow.peering ?? UNKNOWN;
      case 'rule':
        return flow.rule ?? UNKNOWN;
      case 'drop-reason':
        return flow.reason === 'none' ? UNKNOWN : flow.reason;
      default:
        return this.#values[field] ?? UNKNOWN;
    }
  }
}

/** The fields of a log that is read; undefined for those that are not ours to know, as AWS's from version 6 on. */
export type ReadFields = readonly (FlowField | undefined)[];

/**
 * Reads one record of these fields, ours or AWS's. Undefined if the line has another number of fields, or something
 * else where a number belongs.
 */
export function parseFlowRecord(line: string, fields: ReadFields): FlowRecord | undefined {
  const texts = line.trim().split(/\s+/);
  if (texts.length !== fields.length) return undefined;
  const record: Partial<Record<FlowField, string | number | null>> = {};
  for (const [place, field] of fields.entries()) {
    const text = texts[place];
    if (field === undefined) continue;
    if (text === UNKNOWN) record[field] = null;
    else if (fieldOf(field).holds === 'text') record[field] = text;
    else if (/^\d+$/.test(text)) record[field] = Number(text);
    else return undefined;
  }
  return record;
}

/** The fields that a line names, as AWS begins its files in S3; undefined if it is no such line: most are known. */
export function parseFlowHeader(line: string): ReadFields | undefined {
  const names = line.trim().split(/\s+/);
  const known = names.map((name) => (isFlowField(name) ? name : undefined));
  const isHeader = names.every((name) => FIELD_NAME.test(name)) && known.filter(Boolean).length > names.length / 2;
  return isHeader ? known : undefined;
}
