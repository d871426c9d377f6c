/** The ACLs of a configuration, compiled for the data plane, with their counters by name. */
import { compileAcls } from '../policy/acl.ts';
import type { AclProgram } from '../policy/acl.ts';
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
    this.outbound = createCounters(this.#rules.length);
    this.inbound = createCounters(this.#rules.length);
    if (before === undefined) return;
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

  status(): RuleStatus[] {
    return this.#rules.map((rule, number) => ({
      ...rule,
      hits: this.outbound.hits[number] + this.inbound.hits[number],
      denied: this.outbound.denied[number] + this.inbound.denied[number],
    }));
  }
}

function createCounters(rules: number): PolicyCounters {
  const counter = () => new Float64Array(new SharedArrayBuffer(rules * Float64Array.BYTES_PER_ELEMENT));
  return { hits: counter(), denied: counter() };
}
