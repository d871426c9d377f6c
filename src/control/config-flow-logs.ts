/** The notations of flow logs in a configuration. Each function throws an `IsthmusError` as those of config-text do. */
import type { FlowLogTarget } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { DEFAULT_FLOW_FORMAT, FIXED_FLOW_FIELDS, FLOW_FIELD_NAMES, isFlowField } from '../gateway/flow-fields.ts';
import type { FlowField } from '../gateway/flow-fields.ts';
import { didYouMean } from './config-nearest.ts';
import { integer, shown, unwanted } from './config-text.ts';

const MIB = 1 << 20;
const SIZE_UNITS: Readonly<Record<string, number>> = { KiB: 1 << 10, MiB: MIB, GiB: 1 << 30 };
const MAX_BYTES_DEFAULT = 100 * MIB;
const KEEP_DEFAULT = 5;

/** `stdout`, `{file: PATH, max_size: 100MiB, keep: 5}` or `{command: [PROGRAM, ARGUMENT, …]}`. */
export function flowLogTarget(value: unknown): FlowLogTarget {
  const wanted = 'stdout, {file: PATH} or {command: [PROGRAM, ARGUMENT]}';
  if (value === 'stdout') return { kind: 'stdout' };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unwanted(value, wanted);
  const entries: Readonly<Record<string, unknown>> = { ...value };
  const { file, command, max_size: maxSize, keep, ...others } = entries;
  if (Object.keys(others).length > 0 || (file === undefined) === (command === undefined)) throw unwanted(value, wanted);
  if (command !== undefined) {
    if (maxSize !== undefined || keep !== undefined) throw bad('has max_size or keep, which only a file has');
    if (!isWords(command) || command.length === 0 || command[0] === '') {
      throw bad(`has ${shown(command)} as its command; wanted a list of texts: the program and its arguments`);
    }
    return { kind: 'command', argv: command };
  }
  if (typeof file !== 'string' || !file.startsWith('/')) {
    throw bad(`has ${shown(file)} as its file; wanted an absolute path such as /var/log/isthmus/flows.log`);
  }
  return {
    kind: 'file',
    path: file,
    maxBytes: maxSize === undefined ? MAX_BYTES_DEFAULT : size(maxSize),
    keep: keep === undefined ? KEEP_DEFAULT : integer(keep, 1, 1000),
  };
}

/** `default`, `all`, or fields as AWS writes them: `${version} ${srcaddr}`. */
export function flowLogFormat(value: unknown): readonly FlowField[] {
  if (value === 'default') return DEFAULT_FLOW_FORMAT;
  if (value === 'all') return FLOW_FIELD_NAMES;
  const wanted = 'default, all, or fields such as ${srcaddr} ${dstaddr} ${action}';
  if (typeof value !== 'string' || value.trim() === '') throw unwanted(value, wanted);
  const fields = value
    .trim()
    .split(/\s+/)
    .map((word) => {
      const name = /^\$\{([^{}]+)\}$/.exec(word)?.[1];
      if (name === undefined) throw bad(`has ${shown(word)}; wanted ${wanted}`);
      if (!isFlowField(name)) {
        const known = FLOW_FIELD_NAMES.join(', ');
        throw bad(`has the unknown field ${shown(name)}${didYouMean(name, FLOW_FIELD_NAMES)}; wanted ${known}`);
      }
      return name;
    });
  const twice = fields.find((name, place) => fields.indexOf(name) !== place);
  if (twice !== undefined) throw bad(`has the field ${twice} twice; wanted it once`);
  return fields;
}

/** What the fields that say where a record was made hold. */
export function flowLogValues(value: unknown): Readonly<Partial<Record<FlowField, string>>> {
  const wanted = `a mapping with some of ${FIXED_FLOW_FIELDS.join(', ')}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unwanted(value, wanted);
  const values: Partial<Record<FlowField, string>> = {};
  for (const [name, text] of Object.entries(value as Readonly<Record<string, unknown>>)) {
    if (!isFlowField(name) || !FIXED_FLOW_FIELDS.includes(name)) {
      throw bad(`has the key ${shown(name)}${didYouMean(name, FIXED_FLOW_FIELDS)}; wanted ${wanted}`);
    }
    if (typeof text !== 'string' || !/^\S{1,128}$/.test(text)) {
      throw bad(`has ${shown(text)} as ${name}; wanted a text without spaces, in quotes if it is all digits`);
    }
    values[name] = text;
  }
  return values;
}

/** 60 or 600 seconds, AWS's two aggregation intervals. */
export function flowLogInterval(value: unknown): 60 | 600 {
  if (value === '60s' || value === '1m') return 60;
  if (value === '600s' || value === '10m') return 600;
  throw unwanted(value, '60s or 600s');
}

function size(value: unknown): number {
  const parts = typeof value === 'string' ? /^(\d{1,9}) ?([A-Za-z]+)$/.exec(value) : null;
  const bytes = parts === null ? NaN : Number(parts[1]) * (SIZE_UNITS[parts[2]] ?? NaN);
  if (bytes >= MIB && bytes <= 2 ** 40) return bytes;
  throw bad(`has ${shown(value)} as max_size; wanted 1MiB to 1024GiB, with KiB, MiB or GiB`);
}

function isWords(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((word) => typeof word === 'string');
}

function bad(message: string): IsthmusError {
  return new IsthmusError('ISTHMUS_CONFIG_VALUE', message);
}
