/** The faults that no single value shows: names used twice or never made, ranges in conflict, rules at odds. */
import { PROBE_INTERVAL, canonical, comparePrefixes, overlaps } from '../gateway/config.ts';
import { formatPrefix } from '../gateway/text.ts';
import type { Prefix } from '../routing/prefix.ts';
import { checkFilters, checkRule } from './config-filters.ts';
import { flowLogTarget } from './config-flow-logs.ts';
import { didYouMean } from './config-nearest.ts';
import { checkPrefixListNames } from './config-prefix-lists.ts';
import type { Entry, Report } from './config-raw.ts';
import { acls, formatPath, get, members, oneOrMore, valid } from './config-raw.ts';
import { checkRoutes } from './config-routes.ts';
import { dscp } from './config-shape.ts';
import * as text from './config-text.ts';
import type { Path, Position } from './config-yaml.ts';

const LONGEST = 600_000;

/** Stands for the DSCPs that no class names. */
const REST_OF_DSCPS = -1;

type Locate = (path: Path) => Position;

/** Reports every fault of this kind in the plain value of a file. */
export function checkConfig(root: unknown, locate: Locate, report: Report): void {
  const peerings = members(get(root, 'peerings'), ['peerings']);
  checkNames(peerings, 'peerings', locate, report);
  checkAcls(root, locate, report);
  checkAclReferences(root, peerings, report);
  checkBundles(root, peerings, locate, report);
  checkShapes(root, peerings, locate, report);
  checkFilters(root, peerings, locate, report);
  checkFlowLogs(root, peerings, report);
  checkPage(root, report);
  checkOverlaps(root, peerings, locate, report);
  for (const { path, value } of peerings) {
    const accepted = oneOrMore(get(get(value, 'learn'), 'accept'), [...path, 'learn', 'accept']);
    checkPrefixListNames(root, accepted, report);
  }
  checkRoutes(root, peerings, locate, report);
}

/** A token and names are the page's; and a token goes over the network in clear, so it stays on the host. */
function checkPage(root: unknown, report: Report): void {
  const metrics = get(get(root, 'gateway'), 'metrics');
  const path = ['gateway', 'metrics'];
  if (get(metrics, 'page') !== true) {
    for (const key of ['token', 'hosts']) {
      if (get(metrics, key) === undefined) continue;
      report([...path, key], 'ISTHMUS_CONFIG_VALUE', `${key} is for the status page; wanted page: true`, 'key');
    }
    return;
  }
  const listen = valid(text.metrics, get(metrics, 'listen'));
  if (get(metrics, 'token') === undefined || listen === undefined || isLoopback(listen.address)) return;
  const wanted = 'wanted a loopback address such as 127.0.0.1, reached through SSH or a proxy with TLS';
  const message = `the token would cross the network unencrypted to ${listen.address}; ${wanted}`;
  report([...path, 'token'], 'ISTHMUS_CONFIG_VALUE', message, 'key');
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function checkNames(entries: Entry[], of: string, locate: Locate, report: Report): void {
  const first = new Map<string, Path>();
  for (const { path, value } of entries) {
    const name = valid(text.name, get(value, 'name'));
    if (name === undefined) continue;
    const earlier = first.get(name);
    if (earlier === undefined) {
      first.set(name, path);
    } else {
      const { line } = locate([...earlier, 'name']);
      report(
        [...path, 'name'],
        'ISTHMUS_CONFIG_DUPLICATE',
        `the name ${text.shown(name)} is that of ${formatPath(earlier)} (line ${line}); wanted a name once among ${of}`,
      );
    }
  }
}

function checkAcls(root: unknown, locate: Locate, report: Report): void {
  for (const { name, path, rules } of acls(root)) {
    if (valid(text.name, name) === undefined) {
      report(path, 'ISTHMUS_CONFIG_VALUE', 'an ACL is named with up to 63 letters, digits, ".", "_" and "-"', 'key');
    }
    checkNames(rules, `the rules of ${formatPath(path)}`, locate, report);
    for (const rule of rules) {
      checkRule(rule, report);
      for (const key of ['source', 'destination'] as const) {
        checkPrefixListNames(root, oneOrMore(get(rule.value, key), [...rule.path, key]), report);
      }
    }
  }
}

/** In one direction no two classes share a name or a DSCP, and one at most takes what no other does. */
function checkShapes(root: unknown, peerings: Entry[], locate: Locate, report: Report): void {
  for (const { path, value } of peerings) {
    for (const direction of ['out', 'in']) {
      const at = [...path, 'shape', direction, 'classes'];
      const classes = members(get(get(get(value, 'shape'), direction), 'classes'), at);
      checkNames(classes, `the classes of ${formatPath(at)}`, locate, report);
      const taken = new Map<number, Path>();
      for (const each of classes) checkClass(each, taken, locate, report);
      checkClassRules(root, value, classes, locate, report);
    }
  }
}

function checkClass({ path, value }: Entry, taken: Map<number, Path>, locate: Locate, report: Report): void {
  const given = get(value, 'dscp');
  if (given === undefined && get(value, 'rules') !== undefined) return;
  const entries = given === undefined ? [{ path, value: REST_OF_DSCPS }] : oneOrMore(given, [...path, 'dscp']);
  for (const entry of entries) {
    const number = given === undefined ? REST_OF_DSCPS : valid(dscp, entry.value);
    if (number === undefined) continue;
    const earlier = taken.get(number);
    if (earlier === undefined) {
      taken.set(number, entry.path);
      continue;
    }
    const { line } = locate(earlier);
    const what = given === undefined ? 'has no dscp, and so takes the rest,' : `${text.shown(entry.value)} is taken`;
    const wanted = given === undefined ? 'one class at most without dscp' : 'each DSCP in one class';
    const as = given === undefined ? 'as does' : 'by';
    report(entry.path, 'ISTHMUS_CONFIG_SHAPE', `${what} ${as} ${formatPath(earlier)} (line ${line}); wanted ${wanted}`);
  }
}

/** A class's rules are in the peering's access list, and each in one class. */
function checkClassRules(root: unknown, peering: unknown, classes: Entry[], locate: Locate, report: Report): void {
  const acl = get(peering, 'acl');
  const list = acls(root).find(({ name }) => name === acl);
  const known = list?.rules.flatMap(({ value }) => valid(text.name, get(value, 'name')) ?? []);
  const taken = new Map<string, Path>();
  for (const entry of classes.flatMap(({ path, value }) => oneOrMore(get(value, 'rules'), [...path, 'rules']))) {
    const name = valid(text.name, entry.value);
    if (name === undefined) continue;
    const earlier = taken.get(name);
    if (earlier === undefined) taken.set(name, entry.path);
    else {
      const by = `${text.shown(name)} is taken by ${formatPath(earlier)} (line ${locate(earlier).line})`;
      report(entry.path, 'ISTHMUS_CONFIG_SHAPE', `${by}; wanted each rule in one class`);
    }
    if (known === undefined || known.includes(name)) continue;
    const wanted = known.length === 0 ? 'which names none' : `wanted one of ${known.join(', ')}`;
    const message = `${text.shown(name)} is no rule of acls.${String(acl)}${didYouMean(name, known)}; ${wanted}`;
    report(entry.path, 'ISTHMUS_CONFIG_SHAPE', message);
  }
}

function checkAclReferences(root: unknown, peerings: Entry[], report: Report): void {
  const names = acls(root).map(({ name }) => name);
  for (const { path, value } of peerings) {
    const acl = valid(text.name, get(value, 'acl'));
    if (acl === undefined || names.includes(acl)) continue;
    const known = names.length === 0 ? 'and there are none' : `wanted one of ${names.join(', ')}`;
    report(
      [...path, 'acl'],
      'ISTHMUS_CONFIG_UNKNOWN_ACL',
      `${text.shown(acl)} is not among acls${didYouMean(acl, names)}; ${known}`,
    );
  }
}

/** The peerings of a bundle, each with the place of the bundle's first one. */
function firstOfBundles(peerings: Entry[]): Map<string, Entry> {
  const first = new Map<string, Entry>();
  for (const peering of peerings) {
    const bundle = valid(text.name, get(peering.value, 'bundle'));
    if (bundle !== undefined && !first.has(bundle)) first.set(bundle, peering);
  }
  return first;
}

/** A bundle's peerings lead to the same place, and a bundle that is described has some. */
function checkBundles(root: unknown, peerings: Entry[], locate: Locate, report: Report): void {
  const first = firstOfBundles(peerings);
  const subnetsOf = ({ path, value }: Entry): Set<string> => {
    const prefixes = oneOrMore(get(value, 'subnets'), path).map((entry) => valid(text.anyPrefix, entry.value));
    return new Set(prefixes.flatMap((prefix) => (prefix === undefined ? [] : formatPrefix(canonical(prefix)))));
  };
  for (const peering of peerings) {
    const bundle = valid(text.name, get(peering.value, 'bundle'));
    const leader = bundle === undefined ? undefined : first.get(bundle);
    if (bundle === undefined || leader === undefined || leader === peering) continue;
    const [wanted, found] = [subnetsOf(leader), subnetsOf(peering)];
    if (wanted.size === found.size && [...wanted].every((subnet) => found.has(subnet))) continue;
    const { line } = locate(leader.path);
    report(
      [...peering.path, 'subnets'],
      'ISTHMUS_CONFIG_BUNDLE',
      `${[...found].join(', ')} differs from ${formatPath(leader.path)} (line ${line}), the first peering of bundle ${bundle}; ` +
        `wanted ${[...wanted].join(', ')}`,
    );
  }
  const described = get(root, 'bundles');
  if (typeof described !== 'object' || described === null || Array.isArray(described)) return;
  for (const name of Object.keys(described)) {
    checkProbing(get(described, name), ['bundles', name], report);
    if (first.has(name)) continue;
    const names = [...first.keys()];
    const known = names.length === 0 ? 'and no peering is in any' : `wanted one of ${names.join(', ')}`;
    report(
      ['bundles', name],
      'ISTHMUS_CONFIG_BUNDLE',
      `no peering is in the bundle ${text.shown(name)}${didYouMean(name, names)}; ${known}`,
      'key',
    );
  }
}

/** One probe may be lost without a path's fall. */
function checkProbing(bundle: unknown, path: Path, report: Report): void {
  const duration = (key: string): number | undefined =>
    valid((value) => text.duration(value, 1, LONGEST), get(bundle, key));
  const probe = duration('probe') ?? PROBE_INTERVAL;
  const downAfter = duration('down_after');
  if (downAfter === undefined || downAfter >= 2 * probe) return;
  report(
    [...path, 'down_after'],
    'ISTHMUS_CONFIG_DURATION',
    `${downAfter / 1000} s is too soon for a probe every ${probe / 1000} s; wanted at least twice that`,
  );
}

/** A flow log names peerings that are there, and no two logs go to one file. */
function checkFlowLogs(root: unknown, peerings: Entry[], report: Report): void {
  const names = peerings.flatMap(({ value }) => valid(text.name, get(value, 'name')) ?? []);
  const files = new Map<string, Path>();
  for (const { path, value } of members(get(get(root, 'gateway'), 'flow_logs'), ['gateway', 'flow_logs'])) {
    for (const named of oneOrMore(get(value, 'peerings'), [...path, 'peerings'])) {
      const name = valid(text.name, named.value);
      if (name === undefined || names.includes(name)) continue;
      const known = names.length === 0 ? 'and there are none' : `wanted one of ${names.join(', ')}`;
      const message = `${text.shown(name)} is not among peerings${didYouMean(name, names)}; ${known}`;
      report(named.path, 'ISTHMUS_CONFIG_PEERING', message);
    }
    const target = valid(flowLogTarget, get(value, 'to'));
    if (target?.kind !== 'file') continue;
    const earlier = files.get(target.path);
    if (earlier === undefined) files.set(target.path, path);
    else {
      const message = `${target.path} is the file of ${formatPath(earlier)}; wanted one of its own for each flow log`;
      report([...path, 'to'], 'ISTHMUS_CONFIG_DUPLICATE', message);
    }
  }
}

interface Range {
  readonly prefix: Prefix;
  /** -1 for this gateway, else the peering's index, or that of its bundle's first: ranges of one side may lie within each other. */
  readonly side: number;
  readonly path: Path;
}

/** No address may belong to two sides. Sorted by address, ranges that contain one another form a stack. */
function checkOverlaps(root: unknown, peerings: Entry[], locate: Locate, report: Report): void {
  const ranges = collectRanges(root, peerings);
  const order = ranges
    .map((_, index) => index)
    .sort((a, b) => comparePrefixes(ranges[a].prefix, ranges[b].prefix) || a - b);
  const stack: number[] = [];
  for (const index of order) {
    const range = ranges[index];
    while (stack.length > 0 && !overlaps(ranges[stack[stack.length - 1]].prefix, range.prefix)) stack.pop();
    const rival = stack.findLast((each) => ranges[each].side !== range.side);
    stack.push(index);
    if (rival === undefined) continue;
    const [earlier, later] = rival < index ? [ranges[rival], range] : [range, ranges[rival]];
    const { line } = locate(earlier.path);
    report(
      later.path,
      'ISTHMUS_CONFIG_OVERLAP',
      `${formatPrefix(later.prefix)} overlaps ${formatPrefix(earlier.prefix)} at ${formatPath(earlier.path)} (line ${line}); ` +
        'wanted each address on one side only',
    );
  }
}

function collectRanges(root: unknown, peerings: Entry[]): Range[] {
  const ranges: Range[] = [];
  const add = (side: number, owner: unknown, path: Path, key: string, parse: (value: unknown) => Prefix): void => {
    for (const entry of oneOrMore(get(owner, key), [...path, key])) {
      const prefix = valid(parse, entry.value);
      if (prefix !== undefined) ranges.push({ prefix, side, path: entry.path });
    }
  };
  const gateway = get(root, 'gateway');
  // Host bits are a fault of their own; what a range covers is plain all the same.
  const network = (value: unknown): Prefix => canonical(text.anyPrefix(value));
  add(-1, gateway, ['gateway'], 'address', (value) => ownAddress(text.anyPrefix(value)));
  add(-1, gateway, ['gateway'], 'subnets', network);
  const first = firstOfBundles(peerings);
  for (const peering of peerings) {
    const { path, value } = peering;
    const bundle = valid(text.name, get(value, 'bundle'));
    const side = peerings.indexOf((bundle === undefined ? undefined : first.get(bundle)) ?? peering);
    add(side, value, path, 'subnets', network);
    add(side, value, path, 'address', network);
  }
  return ranges;
}

/** Of an overlay network only our own address is ours. */
function ownAddress(prefix: Prefix): Prefix {
  return { ...prefix, bits: prefix.family === 4 ? 32 : 128 };
}
