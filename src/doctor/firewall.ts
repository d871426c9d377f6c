/**
 * Whether the host's firewall drops packets of some kind. Rules are judged for a packet of which only some is known: what a
 * rule asks beyond that is neither true nor false, so that a drop is reported only where no other outcome is possible.
 */
import { contains, parsePrefix } from '../gateway/config.ts';

/** What is known of a packet. It is the first of its flow. */
export interface Packet {
  readonly family: 4 | 6;
  readonly input?: string | undefined;
  readonly output?: string | undefined;
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
  readonly protocol?: 'udp';
  readonly port?: number;
  readonly sourcePort?: number | undefined;
}

export type Field =
  'input' | 'output' | 'source' | 'destination' | 'protocol' | 'port' | 'sourcePort' | 'state' | 'family' | 'unknown';

/** A condition: the field is one of the values, or, negated, none. Addresses are CIDRs, ports `from-to`, names may end in `*`. */
export interface Condition {
  readonly field: Field;
  readonly negated: boolean;
  readonly values: readonly string[];
}

export interface Rule {
  readonly text: string;
  readonly conditions: readonly Condition[];
  readonly verdict: 'accept' | 'drop' | 'return' | 'none' | { readonly chain: string; readonly isGoto: boolean };
}

export interface Chain {
  /** `inet filter forward`: how commands name it. */
  readonly name: string;
  readonly families: readonly (4 | 6)[];
  /** Undefined: only other chains lead here. */
  readonly hook: string | undefined;
  readonly policy: 'accept' | 'drop';
  readonly rules: readonly Rule[];
  /** The command that lets packets pass at the head of the chain; `%` stands for what is asked of them. */
  readonly insert: string;
  readonly syntax: 'nft' | 'iptables';
}

/** By name. */
export type Ruleset = ReadonlyMap<string, Chain>;

export interface Drop {
  readonly chain: Chain;
  /** Undefined: the chain's policy. */
  readonly rule: Rule | undefined;
  /** A rule before it that may or may not match would have let the packet pass. */
  readonly isSure: boolean;
}

/** Who drops the packet on its way through these hooks; undefined if nobody does for certain. */
export function findDrop(ruleset: Ruleset, hooks: readonly string[], packet: Packet): Drop | undefined {
  for (const hook of hooks) {
    for (const chain of ruleset.values()) {
      if (chain.hook !== hook || !chain.families.includes(packet.family)) continue;
      const state = { isSure: true };
      const outcome = walk(ruleset, chain, packet, state, 0);
      if (outcome.verdict === 'drop') return { chain, rule: outcome.rule, isSure: state.isSure };
      if (outcome.verdict === 'end' && chain.policy === 'drop') return { chain, rule: undefined, isSure: state.isSure };
    }
  }
  return undefined;
}

interface Outcome {
  readonly verdict: 'accept' | 'drop' | 'end';
  readonly rule?: Rule;
}

/** Chains call each other to this depth in the kernel too. */
const MAX_DEPTH = 16;

function walk(ruleset: Ruleset, chain: Chain, packet: Packet, state: { isSure: boolean }, depth: number): Outcome {
  for (const rule of chain.rules) {
    const isMatch = all(rule.conditions.map((condition) => holds(condition, packet)));
    if (isMatch === false) continue;
    let { verdict }: { verdict: Rule['verdict'] | 'end' } = rule;
    let decider = rule;
    let isLast = false;
    if (typeof verdict === 'object') {
      const next = ruleset.get(verdict.chain);
      isLast = verdict.isGoto;
      const inner = { isSure: true };
      const outcome: Outcome =
        next === undefined || depth === MAX_DEPTH ? { verdict: 'end' } : walk(ruleset, next, packet, inner, depth + 1);
      if (!inner.isSure || (next === undefined && isMatch !== undefined)) state.isSure = false;
      decider = outcome.rule ?? rule;
      verdict = outcome.verdict;
    }
    if (isMatch === undefined) {
      if (verdict === 'accept' || verdict === 'return' || isLast) state.isSure = false;
      continue;
    }
    if (verdict === 'accept' || verdict === 'drop') return { verdict, rule: decider };
    if (verdict === 'return' || isLast) return { verdict: 'end' };
  }
  return { verdict: 'end' };
}

function all(answers: readonly (boolean | undefined)[]): boolean | undefined {
  if (answers.includes(false)) return false;
  return answers.includes(undefined) ? undefined : true;
}

function holds({ field, negated, values }: Condition, packet: Packet): boolean | undefined {
  const found = isOneOf(field, values, packet);
  return found === undefined ? undefined : found !== negated;
}

function isOneOf(field: Field, values: readonly string[], packet: Packet): boolean | undefined {
  switch (field) {
    case 'unknown':
      return undefined;
    case 'state':
      return values.includes('new');
    case 'family':
      return values.includes(String(packet.family));
    case 'input':
    case 'output':
      return ofKnown(packet[field], (name) => values.some((value) => namesLink(value, name)));
    case 'source':
    case 'destination':
      return ofKnown(packet[field], (address) => values.some((value) => holdsAddress(value, address)));
    case 'protocol':
      return ofKnown(packet.protocol, (protocol) => values.includes(protocol));
    case 'port':
    case 'sourcePort':
      return ofKnown(packet[field], (port) => values.some((value) => holdsPort(value, port)));
  }
}

function ofKnown<T>(value: T | undefined, test: (value: T) => boolean): boolean | undefined {
  return value === undefined ? undefined : test(value);
}

function namesLink(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

function holdsAddress(cidr: string, address: string): boolean {
  try {
    return contains(parsePrefix(cidr), parsePrefix(address));
  } catch {
    return false;
  }
}

function holdsPort(range: string, port: number): boolean {
  const [from, to = from] = range.split('-').map(Number);
  return from <= port && port <= to;
}
