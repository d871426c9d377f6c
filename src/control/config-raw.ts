/**
 * Reading of a value that may be anything: the checks that go across a file see as much of it as is well formed, so
 * that a fault in one place does not hide those in others.
 */
import type { ErrorCode } from '../gateway/errors.ts';
import { isLikeASecret } from './config-text.ts';
import type { Path } from './config-yaml.ts';

/** Takes a fault found at `path`; `of` says whether its key or its value is what is wrong. */
export type Report = (path: Path, code: ErrorCode, message: string, of?: 'key' | 'value') => void;

export interface Entry {
  readonly path: Path;
  readonly value: unknown;
}

export function get(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key))
    return undefined;
  return (value as Record<string, unknown>)[key];
}

/** The members of a list, each with its path. */
export function members(list: unknown, path: Path): Entry[] {
  return Array.isArray(list) ? list.map((value: unknown, index) => ({ path: [...path, index], value })) : [];
}

/** The same for what may be one value or a list of them. */
export function oneOrMore(value: unknown, path: Path): Entry[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? members(value, path) : [{ path, value }];
}

/** The entries of a mapping from names at the top of the file. */
export function entriesOf(root: unknown, key: string): Map<string, Entry> {
  const all = get(root, key);
  if (typeof all !== 'object' || all === null || Array.isArray(all)) return new Map();
  return new Map(Object.entries(all).map(([name, value]: [string, unknown]) => [name, { path: [key, name], value }]));
}

/** The rules of every ACL: a list of them, or a mapping that has them under `rules`. */
export function acls(root: unknown): { name: string; path: Path; rules: Entry[] }[] {
  return Array.from(entriesOf(root, 'acls'), ([name, { path, value }]) => ({
    name,
    path,
    rules: Array.isArray(value) ? members(value, path) : members(get(value, 'rules'), [...path, 'rules']),
  }));
}

/** What `parse` makes of the value, or undefined where it refuses: that fault is reported elsewhere. */
export function valid<T>(parse: (value: unknown) => T, value: unknown): T | undefined {
  try {
    return parse(value);
  } catch {
    return undefined;
  }
}

/** `peerings[0].subnets[1]`. */
export function formatPath(path: Path): string {
  const texts = path.map((step) => {
    if (typeof step === 'number') return `[${step}]`;
    return isLikeASecret(step) ? '.…' : `.${step}`;
  });
  return texts.join('').replace(/^\./, '');
}
