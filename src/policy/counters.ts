import { ruleCount, type AclProgram } from './acl.ts';

/** Datagrams by rule id, counted by one thread: it alone writes here, others read. */
export interface PolicyCounters {
  /**
   * Those that the rule decided. A stateful rule decides what begins a flow, and ICMP that isn't an echo; a network ACL's
   * what it denies, and what it allows until the flow's direction is known to be allowed.
   */
  readonly hits: Float64Array;
  /** Those among them that the rule denied. */
  readonly denied: Float64Array;
  /** `POLICY_EVENT`. */
  readonly events: Float64Array;
}

/** What else is counted. */
export const POLICY_EVENT = {
  /** Flows forgotten to make room for others. */
  displaced: 0,
  /** TCP packets that lay outside their connection's window. They pass, and change nothing. */
  outOfWindow: 1,
  words: 2,
} as const;

/** Counters for the rules of `program`, in shared memory. */
export function createPolicyCounters(program: AclProgram): PolicyCounters {
  const counter = (places: number) => new Float64Array(new SharedArrayBuffer(places * Float64Array.BYTES_PER_ELEMENT));
  const rules = ruleCount(program);
  return { hits: counter(rules), denied: counter(rules), events: counter(POLICY_EVENT.words) };
}
