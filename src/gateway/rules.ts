/** The ACLs of a configuration, compiled for the data plane, with their counters by name. */
import { compileAcls } from '../policy/acl.ts';
import type { AclProgram } from '../policy/acl.ts';
import { createPolicyCounters, POLICY_EVENT } from '../policy/policy.ts';
import type { PolicyCounters } from '../policy/policy.ts';
import type { AclConfig } from './config.ts';

export interface RuleStatus {
  readonly acl: string;
  readonly name: string;
  readonly action: 'allow' | 'deny';
  /** Packets that the rule decided: those that began a flow, or that it denied. */
  readonly hits: number;
  readonly denied: number;
}

export class Rules {
  readonly program: AclProgram;
  readonly outbound: PolicyCounters;
  readonly inbound: PolicyCounters;
  readonly #rules: Pick<RuleStatus, 'acl' | 'name' | 'action'>[];

  /** `before`: whose counts go on, for rules that keep their names. */
  constructor(acls: readonly AclConfig[], before?: Rules) {
    this.program = compileAcls(acls);
    this.#rules = acls.flatMap(({ name: acl, rules }) => rules.map(({ name, action }) => ({ acl, name, action })));
    this.outbound = createPolicyCounters(this.program);
    this.inbound = createPolicyCounters(this.program);
    if (before === undefined) return;
    this.outbound.events.set(before.outbound.events);
    this.inbound.events.set(before.inbound.events);
    const old = new Map(before.#rules.map(({ acl, name }, number) => [`${acl}/${name}`, number]));
    for (const [number, { acl, name }] of this.#rules.entries()) {
      const was = old.get(`${acl}/${name}`);
      if (was === undefined) continue;
      for (const direction of ['outbound', 'inbound'] as const) {
        this[direction].hits[number] = before[direction].hits[was];
        this[direction].denied[number] = before[direction].denied[was];
      }
    }
  }

  /** How often flows were displaced, and TCP packets out of window. */
  events(): { displaced: number; out_of_window: number } {
    const sum = (event: number) => this.outbound.events[event] + this.inbound.events[event];
    return { displaced: sum(POLICY_EVENT.displaced), out_of_window: sum(POLICY_EVENT.outOfWindow) };
  }

  /** `list/rule` by rule number. */
  names(): string[] {
    return this.#rules.map(({ acl, name }) => `${acl}/${name}`);
  }

  status(): RuleStatus[] {
    return this.#rules.map((rule, number) => ({
      ...rule,
      hits: this.outbound.hits[number] + this.inbound.hits[number],
      denied: this.outbound.denied[number] + this.inbound.denied[number],
    }));
  }
}
