/** The ACLs, security groups and network ACLs of a configuration, compiled for the data plane, with their counters. */
import { compileAcls } from '../policy/acl.ts';
import type { AclProgram, AclRule, AclSpec, AttachmentLists } from '../policy/acl.ts';
import { createPolicyCounters, POLICY_EVENT } from '../policy/counters.ts';
import type { PolicyCounters } from '../policy/counters.ts';
import type { Prefix } from '../routing/prefix.ts';
import { DROP } from '../wire/drop.ts';
import type { AclRuleConfig, GatewayConfig, PeeringConfig } from './config.ts';

export interface RuleStatus {
  readonly kind: 'acl' | 'security-group' | 'network-acl';
  /** Name of the ACL or group. */
  readonly acl: string;
  /** Of a network ACL the number, or `*`. */
  readonly name: string;
  readonly action: 'allow' | 'deny';
  readonly direction: 'in' | 'out' | 'both';
  /** Where the file has the rule; 0 for one that is not written. */
  readonly line: number;
  /** Packets that the rule decided: those that began a flow, or that it denied. */
  readonly hits: number;
  readonly denied: number;
}

type Known = Omit<RuleStatus, 'hits' | 'denied'>;
type Filters = Pick<
  GatewayConfig,
  'acls' | 'securityGroups' | 'networkAcls' | 'localGroups' | 'localNetworkAcl' | 'peerings'
>;

/** What the compiled rules of one list are about, while they are put together. */
interface List {
  readonly spec: AclSpec;
  readonly known: readonly Known[];
}

export class Rules {
  readonly program: AclProgram;
  readonly outbound: PolicyCounters;
  readonly inbound: PolicyCounters;
  /** Of the present rules, in the order of the file, by id. A rule keeps its id as long as it keeps its name. */
  readonly #rules = new Map<number, Known>();
  readonly #ids: Map<string, number>;
  readonly #names: string[];
  /** As `Attachments` has it. */
  readonly #noted: number;
  readonly #lists: AclSpec[] = [];
  /** Place of each list by what it is made of, and of each attachment by its lists. */
  readonly #listPlaces = new Map<string, number>();
  readonly #attachments: AttachmentLists[] = [];
  readonly #config: Filters;

  /** `before`: whose ids and counts go on. */
  constructor(config: Filters, before?: Rules) {
    this.#config = config;
    this.#ids = new Map(before === undefined ? [] : before.#ids);
    this.#names = before === undefined ? [] : [...before.#names];
    this.#noted = before === undefined ? 0 : before.#noted + before.#lists.length + 1;
    for (const list of this.#allLists()) for (const known of list.known) this.#rules.set(this.#idOf(known), known);
    const local = { list: this.#groups(config.localGroups), networkAcl: this.#localNetworkAcl() };
    for (const peering of config.peerings) this.placeOf(peering);
    this.program = compileAcls(this.#lists, {
      local,
      peerings: this.#attachments,
      noted: this.#noted,
      ids: this.#ids.size,
    });
    this.outbound = countersAfter(this.program, before?.outbound);
    this.inbound = countersAfter(this.program, before?.inbound);
  }

  /** Which of the program's attachments a peering of this configuration is. */
  placeOf({ acl, groups, networkAcl }: PeeringConfig): number {
    const list = acl >= 0 ? this.#acl(acl) : this.#groups(groups);
    const lists = { list, networkAcl: this.#networkAcl(networkAcl) };
    const place = this.#attachments.findIndex((each) => each.list === list && each.networkAcl === lists.networkAcl);
    return place >= 0 ? place : this.#attachments.push(lists) - 1;
  }

  /** How often flows were displaced, and TCP packets out of window. */
  events(): { displaced: number; out_of_window: number } {
    const sum = (event: number) => this.outbound.events[event] + this.inbound.events[event];
    return { displaced: sum(POLICY_EVENT.displaced), out_of_window: sum(POLICY_EVENT.outOfWindow) };
  }

  /** `list/rule` by rule id, those of former rules too. */
  names(): string[] {
    return this.#names;
  }

  status(): RuleStatus[] {
    return Array.from(this.#rules, ([id, rule]) => ({
      ...rule,
      hits: this.outbound.hits[id] + this.inbound.hits[id],
      denied: this.outbound.denied[id] + this.inbound.denied[id],
    }));
  }

  /** The rule with an id that the data plane told, if it is one of the present ones. */
  rule(id: number): Known | undefined {
    return this.#rules.get(id);
  }

  #allLists(): List[] {
    const { acls, securityGroups, networkAcls } = this.#config;
    return [
      ...acls.map(({ name, rules }) => this.#list('acl', name, rules)),
      ...securityGroups.map(({ name, ingress, egress }) => this.#list('security-group', name, [...ingress, ...egress])),
      ...networkAcls.map(({ name }) => this.#networkAclList(name, [])),
    ];
  }

  #list(kind: Known['kind'], acl: string, rules: readonly AclRuleConfig[]): List {
    const known = rules.map(({ name, action, direction, line }) => ({ kind, acl, name, action, direction, line }));
    const denial = DROP[kind === 'network-acl' ? 'network-acl' : 'security-group'];
    const denials = kind === 'acl' ? {} : { deniedByRule: denial, deniedByDefault: denial };
    const compiled = rules.map((rule, index): AclRule => ({ ...rule, id: this.#idOf(known[index]) }));
    return { known, spec: { rules: compiled, otherwise: 'deny', ...denials } };
  }

  #idOf({ kind, acl, name, direction }: Known): number {
    // In a network ACL a number may stand for a rule of either direction.
    const key = kind === 'acl' ? `${kind}/${acl}/${name}` : `${kind}/${acl}/${direction}/${name}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#ids.set(key, this.#names.length);
    return this.#names.push(`${acl}/${name}`) - 1;
  }

  #placed(key: string, make: () => AclSpec): number {
    const place = this.#listPlaces.get(key) ?? this.#lists.push(make()) - 1;
    this.#listPlaces.set(key, place);
    return place;
  }

  #acl(number: number): number {
    const { name, rules, otherwise } = this.#config.acls[number];
    return this.#placed(`acl ${name}`, () => ({ ...this.#list('acl', name, rules).spec, otherwise }));
  }

  /** The union of groups: all of them allow, so their order is of no account. */
  #groups(names: readonly string[]): number {
    if (names.length === 0) return -1;
    return this.#placed(`groups ${[...new Set(names)].sort().join(' ')}`, () => {
      const groups = this.#config.securityGroups.filter(({ name }) => names.includes(name));
      const specs = groups.map((group) =>
        this.#list('security-group', group.name, [...group.ingress, ...group.egress]),
      );
      return { ...specs[0].spec, rules: specs.flatMap(({ spec }) => spec.rules) };
    });
  }

  #networkAcl(name: string | undefined): number {
    if (name === undefined) return -1;
    return this.#placed(`network ACL ${name}`, () => this.#networkAclList(name, []).spec);
  }

  /** Each subnet has its own, then comes the one of all others. Subnets of two do not overlap. */
  #localNetworkAcl(): number {
    const { networkAcls, localNetworkAcl } = this.#config;
    const parts = networkAcls.filter(({ subnets }) => subnets.length > 0);
    if (parts.length === 0) return this.#networkAcl(localNetworkAcl);
    const lists = parts.map(({ name, subnets }) => this.#networkAclList(name, subnets).spec);
    const rest = localNetworkAcl === undefined ? undefined : this.#networkAclList(localNetworkAcl, []).spec;
    const rules = [...lists, ...(rest === undefined ? [] : [rest])].flatMap((spec) => spec.rules);
    return this.#placed('network ACLs of the local VPC', () => {
      return { ...lists[0], rules, otherwise: rest === undefined ? 'allow' : 'deny' };
    });
  }

  /** A network ACL's rules, and the last that denies, about some of the local VPC's subnets or, with none, everything. */
  #networkAclList(name: string, subnets: readonly Prefix[]): List {
    const { ingress, egress, line } = this.#config.networkAcls.find((each) => each.name === name)!;
    const last = (direction: 'in' | 'out'): AclRuleConfig => ({
      ...{ name: '*', action: 'deny', direction, protocol: -1, sources: [], destinations: [], ports: [] },
      ...{ icmpType: -1, icmpCode: -1, line },
    });
    const within = (rule: AclRuleConfig): AclRuleConfig =>
      rule.direction === 'in' ? { ...rule, destinations: subnets } : { ...rule, sources: subnets };
    return this.#list('network-acl', name, [...ingress, last('in'), ...egress, last('out')].map(within));
  }
}

/** Counters that go on from earlier ones: ids are never given anew. */
function countersAfter(program: AclProgram, before?: PolicyCounters): PolicyCounters {
  const counters = createPolicyCounters(program);
  if (before === undefined) return counters;
  for (const key of ['hits', 'denied', 'events'] as const) counters[key].set(before[key]);
  return counters;
}
