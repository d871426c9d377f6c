/** Security groups and network ACLs: what no single value of theirs shows to be wrong, and what they come to. */
import type { AclRuleConfig, NetworkAclConfig, SecurityGroupConfig } from '../gateway/config.ts';
import { contains, overlaps } from '../gateway/config.ts';
import { formatPrefix } from '../gateway/text.ts';
import type { Prefix } from '../routing/prefix.ts';
import { didYouMean } from './config-nearest.ts';
import { checkPrefixListNames, expand } from './config-prefix-lists.ts';
import type { PrefixLists } from './config-prefix-lists.ts';
import type { Entry, Report } from './config-raw.ts';
import { formatPath, get, members, oneOrMore, valid } from './config-raw.ts';
import type { RawConfig } from './config-schema.ts';
import * as text from './config-text.ts';
import type { Path, Position } from './config-yaml.ts';

const PROTOCOLS_WITH_PORTS = ['tcp', 'udp', 'sctp', 'dccp', 'udplite'];
const ICMP_PROTOCOLS = ['icmp', 'icmpv6'];
const SIDES = ['ingress', 'egress'] as const;
/** The network ACL that need not be written: AWS's default one. */
const DEFAULT_NETWORK_ACL = 'default';

type Locate = (path: Path) => Position;

/** Reports a rule whose ports or ICMP type do not go with its protocol, or that has a rate for what it denies. */
export function checkRule({ path, value }: Entry, report: Report): void {
  if (get(value, 'action') === 'deny') {
    for (const key of ['rate', 'per_flow']) {
      if (get(value, key) === undefined) continue;
      report(
        [...path, key],
        'ISTHMUS_CONFIG_RULE',
        `${key} with action deny; wanted action allow, or no ${key}`,
        'key',
      );
    }
  }
  const given = get(value, 'protocol');
  const protocol = valid(text.protocol, given ?? 'all');
  if (protocol === undefined) return;
  const protocolText = given === undefined ? 'all, as none is given' : text.shown(given);
  const demand = (key: string, wanted: readonly string[]): void => {
    if (get(value, key) === undefined || wanted.some((name) => text.PROTOCOLS[name] === protocol)) return;
    report(
      [...path, key],
      'ISTHMUS_CONFIG_RULE',
      `${key} with protocol ${protocolText}; wanted protocol ${wanted.join(', ')}, or no ${key}`,
      'key',
    );
  };
  demand('ports', PROTOCOLS_WITH_PORTS);
  demand('icmp', ICMP_PROTOCOLS);
}

/** Reports every fault of security groups, network ACLs and what names them. */
export function checkFilters(root: unknown, peerings: Entry[], locate: Locate, report: Report): void {
  const groups = named(root, 'security_groups', report);
  const networkAcls = named(root, 'network_acls', report);
  for (const group of groups) checkGroup(root, group, groups, report);
  for (const networkAcl of networkAcls) checkNumbers(networkAcl, locate, report);
  checkSubnets(root, networkAcls, locate, report);
  const known = {
    security_groups: groups.map(({ name }) => name),
    network_acl: [...networkAcls.map(({ name }) => name), DEFAULT_NETWORK_ACL],
  };
  for (const { path, value } of [{ path: ['gateway'], value: get(root, 'gateway') }, ...peerings]) {
    for (const key of ['security_groups', 'network_acl'] as const) {
      for (const entry of oneOrMore(get(value, key), [...path, key])) checkName(entry, key, known[key], report);
    }
    if (get(value, 'acl') === undefined || get(value, 'security_groups') === undefined) continue;
    const message = 'security_groups beside acl; wanted one of them';
    report([...path, 'security_groups'], 'ISTHMUS_CONFIG_RULE', message, 'key');
  }
}

interface Named extends Entry {
  readonly name: string;
}

function named(root: unknown, key: string, report: Report): Named[] {
  const all = get(root, key);
  if (typeof all !== 'object' || all === null || Array.isArray(all)) return [];
  return Object.entries(all).map(([name, value]: [string, unknown]) => {
    const path = [key, name];
    if (valid(text.name, name) === undefined) {
      report(path, 'ISTHMUS_CONFIG_VALUE', 'is named with up to 63 letters, digits, ".", "_" and "-"', 'key');
    }
    for (const side of SIDES) {
      for (const rule of members(get(value, side), [...path, side])) checkRule(rule, report);
    }
    return { name, path, value };
  });
}

function checkName({ path, value }: Entry, key: string, known: readonly string[], report: Report): void {
  const name = valid(text.name, value);
  if (name === undefined || known.includes(name)) return;
  const [of, code] =
    key === 'network_acl'
      ? (['network_acls', 'ISTHMUS_CONFIG_UNKNOWN_ACL'] as const)
      : (['security_groups', 'ISTHMUS_CONFIG_UNKNOWN_GROUP'] as const);
  const wanted = known.length === 0 ? 'and there are none' : `wanted one of ${known.join(', ')}`;
  report(path, code, `${text.shown(name)} is not among ${of}${didYouMean(name, known)}; ${wanted}`);
}

/** A group that a rule refers to says who its members are. */
function checkGroup(root: unknown, { path, value }: Named, groups: readonly Named[], report: Report): void {
  for (const [side, key] of [
    ['ingress', 'source'],
    ['egress', 'destination'],
  ] as const) {
    for (const rule of members(get(value, side), [...path, side])) {
      const entries = oneOrMore(get(rule.value, key), [...rule.path, key]);
      checkPrefixListNames(root, entries, report);
      for (const entry of entries) {
        const at = [...entry.path, 'group'];
        const name = get(entry.value, 'group');
        if (name === undefined) continue;
        checkName({ path: at, value: name }, 'security_groups', groups.map((group) => group.name), report); // prettier-ignore
        const found = groups.find((group) => group.name === name);
        if (found === undefined || get(found.value, 'members') !== undefined) continue;
        const message = `the group ${text.shown(name)} has no members; wanted ${formatPath([...found.path, 'members'])}`;
        report(at, 'ISTHMUS_CONFIG_RULE', message);
      }
    }
  }
}

function checkNumbers({ path, value }: Named, locate: Locate, report: Report): void {
  for (const side of SIDES) {
    const first = new Map<unknown, Path>();
    for (const rule of members(get(value, side), [...path, side])) {
      const number = get(rule.value, 'rule');
      const earlier = first.get(number);
      if (number === undefined) continue;
      if (earlier === undefined) {
        first.set(number, rule.path);
        continue;
      }
      const { line } = locate(earlier);
      const message = `the number ${text.shown(number)} is that of ${formatPath(earlier)} (line ${line}); wanted a number once`;
      report([...rule.path, 'rule'], 'ISTHMUS_CONFIG_DUPLICATE', message);
    }
  }
}

/** Subnets of network ACLs are parts of the local VPC, and each has one network ACL. */
function checkSubnets(root: unknown, networkAcls: readonly Named[], locate: Locate, report: Report): void {
  const local = oneOrMore(get(get(root, 'gateway'), 'subnets'), []).flatMap(
    ({ value }) => valid(text.cidr, value) ?? [],
  );
  const taken: { prefix: Prefix; path: Path }[] = [];
  for (const { path, value } of networkAcls) {
    for (const entry of oneOrMore(get(value, 'subnets'), [...path, 'subnets'])) {
      const prefix = valid(text.cidr, entry.value);
      if (prefix === undefined) continue;
      if (!local.some((network) => contains(network, prefix))) {
        const message = `${formatPrefix(prefix)} is no part of the local VPC; wanted a network within gateway.subnets`;
        report(entry.path, 'ISTHMUS_CONFIG_VALUE', message);
      }
      const rival = taken.find((other) => overlaps(other.prefix, prefix));
      taken.push({ prefix, path: entry.path });
      if (rival === undefined) continue;
      const where = `${formatPath(rival.path)} (line ${locate(rival.path).line})`;
      const message = `${formatPrefix(prefix)} overlaps ${formatPrefix(rival.prefix)} at ${where}; wanted one network ACL for a subnet`;
      report(entry.path, 'ISTHMUS_CONFIG_OVERLAP', message);
    }
  }
}

type LineOf = (path: Path) => number;
type RawRule = RawConfig['acls'][string]['rules'][number];

/** The egress rule of a group that says nothing of egress. */
const EVERYTHING_OUT = {
  name: 'default',
  protocol: -1,
  ports: [],
  icmp: undefined,
  destination: [],
  rate: undefined,
  per_flow: undefined,
};

/** What rules of all kinds have in common. */
function ruleOf(
  { protocol, ports, icmp }: Pick<RawRule, 'protocol' | 'ports' | 'icmp'>,
  line: number,
): Pick<AclRuleConfig, 'protocol' | 'ports' | 'icmpType' | 'icmpCode' | 'line'> {
  return { protocol, ports, icmpType: icmp?.type ?? -1, icmpCode: icmp?.code ?? -1, line };
}

/** The rates of a rule, as far as it has any. */
export function ratesOf({
  rate,
  per_flow: perFlow,
}: Pick<RawRule, 'rate' | 'per_flow'>): Pick<AclRuleConfig, 'rate' | 'perFlow'> {
  return { ...(rate !== undefined && { rate }), ...(perFlow !== undefined && { perFlow }) };
}

export function buildGroups(raw: RawConfig, lists: PrefixLists, lineOf: LineOf): SecurityGroupConfig[] {
  const groups = raw.security_groups;
  const addresses = (list: RawConfig['security_groups'][string]['ingress'][number]['source']): Prefix[] =>
    list.flatMap((each) => ('group' in each ? groups[each.group].members : expand([each], lists)));
  return Object.entries(groups).map(([name, { ingress, egress, members: own }]) => ({
    name,
    members: own,
    ingress: ingress.map(({ source, ...rule }, index) => ({
      ...ruleOf(rule, lineOf(['security_groups', name, 'ingress', index])),
      ...ratesOf(rule),
      name: rule.name ?? `ingress[${index}]`,
      action: 'allow',
      direction: 'in',
      sources: addresses(source),
      destinations: own,
    })),
    egress: (egress ?? [EVERYTHING_OUT]).map(({ destination, ...rule }, index) => ({
      ...ruleOf(rule, lineOf(['security_groups', name, 'egress', index])),
      ...ratesOf(rule),
      name: rule.name ?? `egress[${index}]`,
      action: 'allow',
      direction: 'out',
      sources: own,
      destinations: addresses(destination),
    })),
  }));
}

export function buildNetworkAcls(raw: RawConfig, lineOf: LineOf): NetworkAclConfig[] {
  const { gateway, peerings, network_acls: listed } = raw;
  const built = Object.entries(listed).map(([name, { ingress, egress, subnets }]): NetworkAclConfig => {
    const rulesOf = (side: (typeof SIDES)[number], rules: typeof ingress): AclRuleConfig[] =>
      rules
        .map(({ rule: number, action, cidr, ...rule }, index) => ({
          ...ruleOf(rule, lineOf(['network_acls', name, side, index])),
          ...numbered(side, number, action, cidr),
        }))
        .sort((a, b) => Number(a.name) - Number(b.name));
    const line = lineOf(['network_acls', name]);
    return { name, subnets, ingress: rulesOf('ingress', ingress), egress: rulesOf('egress', egress), line };
  });
  const isDefaultWanted = [gateway, ...peerings].some(({ network_acl: name }) => name === DEFAULT_NETWORK_ACL);
  return isDefaultWanted && !(DEFAULT_NETWORK_ACL in listed) ? [...built, defaultNetworkAcl()] : built;
}

function numbered(side: (typeof SIDES)[number], number: number, action: 'allow' | 'deny', cidr: Prefix) {
  const isIngress = side === 'ingress';
  return {
    name: String(number),
    action,
    direction: isIngress ? ('in' as const) : ('out' as const),
    sources: isIngress ? [cidr] : [],
    destinations: isIngress ? [] : [cidr],
  };
}

/** Allows everything, as AWS's: rule 100 for IPv4 and 101 for IPv6. */
function defaultNetworkAcl(): NetworkAclConfig {
  const everything = ruleOf({ protocol: -1, ports: [], icmp: undefined }, 0);
  const rules = (side: (typeof SIDES)[number]): AclRuleConfig[] =>
    ([100, 101] as const).map((number) => ({
      ...everything,
      ...numbered(side, number, 'allow', { family: number === 100 ? 4 : 6, address: [0, 0, 0, 0], bits: 0 }),
    }));
  return { name: DEFAULT_NETWORK_ACL, subnets: [], ingress: rules('ingress'), egress: rules('egress'), line: 0 };
}
