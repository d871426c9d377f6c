/**
 * Prefix lists: networks under a name, written in the configuration or in a file of one CIDR a line. A route or a rule
 * takes one as `{prefix_list: NAME}` wherever it takes a network.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ErrorCode } from '../gateway/errors.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { formatPrefix } from '../gateway/text.ts';
import type { Prefix } from '../routing/prefix.ts';
import { didYouMean } from './config-nearest.ts';
import type { Entry, Report } from './config-raw.ts';
import { entriesOf, formatPath, get, members, valid } from './config-raw.ts';
import * as text from './config-text.ts';
import type { Path, Position } from './config-yaml.ts';

/** A list that stands for its networks. */
export interface PrefixListReference {
  readonly prefixList: string;
}

/** Every list's networks, by its name. */
export type PrefixLists = ReadonlyMap<string, readonly Prefix[]>;

export interface PrefixListOptions {
  /** Relative paths of lists start here. */
  readonly directory: string;
  readonly locate: (path: Path) => Position;
  readonly report: Report;
  /** Takes a fault in the file of a list; `path` is the list's. */
  readonly reportIn: (file: string, at: Position, path: Path, code: ErrorCode, message: string) => void;
}

/** Of the faults in one file, as many as are shown: a file of another kind has one in every line. */
const FAULTS_SHOWN = 20;

/** A CIDR, or `{prefix_list: NAME}`. */
export function network(value: unknown): Prefix | PrefixListReference {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return text.cidr(value);
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0][0] === 'prefix_list') return { prefixList: text.name(entries[0][1]) };
  throw text.unwanted(value, 'a CIDR such as 10.0.0.0/16, or {prefix_list: NAME}');
}

/** The same, or `{group: NAME}` for the members of a security group. */
export function networkOrGroup(value: unknown): Prefix | PrefixListReference | { readonly group: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return text.cidr(value);
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0][0] === 'group') return { group: text.name(entries[0][1]) };
  if (entries.length === 1 && entries[0][0] === 'prefix_list') return network(value);
  throw text.unwanted(value, 'a CIDR such as 10.0.0.0/16, {prefix_list: NAME} or {group: NAME}');
}

/** The networks, those of the lists in their places. */
export function expand(networks: readonly (Prefix | PrefixListReference)[], lists: PrefixLists): Prefix[] {
  return networks.flatMap((each) => ('prefixList' in each ? lists.get(each.prefixList)! : [each]));
}

/** Reads every list of the file, and those in files of their own. A list with a fault is not among them. */
export function readPrefixLists(root: unknown, options: PrefixListOptions): PrefixLists {
  const lists = new Map<string, readonly Prefix[]>();
  for (const [name, { path, value }] of entriesOf(root, 'prefix_lists')) {
    if (valid(text.name, name) === undefined) {
      const message = 'a prefix list is named with up to 63 letters, digits, ".", "_" and "-"';
      options.report(path, 'ISTHMUS_CONFIG_VALUE', message, 'key');
      continue;
    }
    const file = get(value, 'file');
    const list = typeof file === 'string' ? readList(file, path, options) : inlineList(value, path, options);
    if (list === undefined) continue;
    lists.set(name, list);
    if (list.length > 0) continue;
    options.report(path, 'ISTHMUS_CONFIG_PREFIX_LIST', 'the list holds no network; wanted at least one');
  }
  return lists;
}

/** Reports each `{prefix_list: NAME}` among the entries that no list has the name of. */
export function checkPrefixListNames(root: unknown, entries: readonly Entry[], report: Report): void {
  const names = [...entriesOf(root, 'prefix_lists').keys()];
  for (const { path, value } of entries) {
    const name = valid(text.name, get(value, 'prefix_list'));
    if (name === undefined || names.includes(name)) continue;
    const known = names.length === 0 ? 'and there are none' : `wanted one of ${names.join(', ')}`;
    report(
      [...path, 'prefix_list'],
      'ISTHMUS_CONFIG_UNKNOWN_NAME',
      `${text.shown(name)} is not among prefix_lists${didYouMean(name, names)}; ${known}`,
    );
  }
}

/** Undefined if it is no list at all, which the schema reports, as it does each entry that is no CIDR. */
function inlineList(value: unknown, path: Path, { locate, report }: PrefixListOptions): Prefix[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const first = new Map<string, Path>();
  const list: Prefix[] = [];
  for (const entry of members(value, path)) {
    const prefix = valid(text.cidr, entry.value);
    if (prefix === undefined) continue;
    list.push(prefix);
    const key = formatPrefix(prefix);
    const earlier = first.get(key);
    if (earlier === undefined) first.set(key, entry.path);
    else {
      const { line } = locate(earlier);
      const message = `${key} is ${formatPath(earlier)} (line ${line}) already; wanted each network once in a list`;
      report(entry.path, 'ISTHMUS_CONFIG_DUPLICATE', message);
    }
  }
  // A list whose entries are all at fault is not empty besides.
  return list.length === 0 && value.length > 0 ? undefined : list;
}

function readList(given: string, path: Path, options: PrefixListOptions): Prefix[] | undefined {
  const file = resolve(options.directory, given);
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    const reason = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
    const name = text.isLikeASecret(given) ? 'the file' : file;
    const message = `${name} ${reason}; wanted a file of one CIDR a line`;
    options.report([...path, 'file'], 'ISTHMUS_CONFIG_PREFIX_LIST', message);
    return undefined;
  }
  const lines = new Map<string, number>();
  const list: Prefix[] = [];
  let faults = 0;
  for (const [index, line] of content.split('\n').entries()) {
    const entry = line.replace(/#.*/, '').trim();
    if (entry === '') continue;
    try {
      const prefix = text.cidr(entry);
      const key = formatPrefix(prefix);
      const earlier = lines.get(key);
      if (earlier !== undefined) {
        const message = `${key} is in line ${earlier} already; wanted each network once in a list`;
        throw new IsthmusError('ISTHMUS_CONFIG_DUPLICATE', message);
      }
      lines.set(key, index + 1);
      list.push(prefix);
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      const at = { line: index + 1, column: line.indexOf(entry) + 1 };
      if (++faults <= FAULTS_SHOWN) options.reportIn(file, at, path, error.code, error.message);
    }
  }
  return faults === 0 ? list : undefined;
}
