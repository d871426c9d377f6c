import { DROP } from '../wire/drop.ts';
import type { Packet } from '../wire/packet.ts';
import { AclIndex, AclIndexBuilder } from './acl-index.ts';
import { LIMIT } from './rate-limit.ts';

/**
 * Lists of rules: the first that matches decides, and a default where none does. Access lists, security groups and
 * network ACLs are all compiled to these: integers in shared memory, read by both data-plane threads.
 */

/** An address and how many of its leading bits count: int32 words, IPv4 in word 3 with words 0 to 2 zero. */
export interface AclPrefix {
  readonly family: 4 | 6;
  readonly address: readonly [number, number, number, number];
  readonly bits: number;
}

export interface AclRule {
  readonly name: string;
  /** What the rule is counted under, and what a flow that it let begin remembers; left out, its place among all rules. */
  readonly id?: number;
  readonly action: 'allow' | 'deny';
  readonly direction: 'in' | 'out' | 'both';
  /** IP protocol number; -1 for all; 1 is ICMP of the packet's own family, so of IPv6 it is 58. */
  readonly protocol: number;
  /** Empty for any source; otherwise a packet of a family that isn't listed does not match. */
  readonly sources: readonly AclPrefix[];
  readonly destinations: readonly AclPrefix[];
  /** Destination ports, both ends included; empty for any. With ports a rule matches only protocols that have them. */
  readonly ports: readonly (readonly [from: number, to: number])[];
  /** As numbered in the packet's own family; -1 for any. Otherwise the rule matches ICMP only. */
  readonly icmpType: number;
  readonly icmpCode: number;
  /** Bytes per second for all flows that the rule lets begin, and for each of them; left out, as much as will. */
  readonly rate?: number;
  readonly perFlow?: number;
}

export interface AclSpec {
  readonly rules: readonly AclRule[];
  /** The default: what happens to a packet that no rule matches. */
  readonly otherwise: 'allow' | 'deny';
  /** `DROP` numbers of what a rule denies, and of what the default does; left out, those of an access list. */
  readonly deniedByRule?: number;
  readonly deniedByDefault?: number;
}

/** The lists that stand at an attachment, by their places; -1 for none. */
export interface AttachmentLists {
  /** Stateful: an access list, or the union of security groups. */
  readonly list: number;
  /** Stateless. */
  readonly networkAcl: number;
}

/** What `compileAcls` makes for `Acl`: typed arrays over `SharedArrayBuffer`s, posted to a worker without a copy. */
export interface AclProgram {
  /** `LIST_WORDS` for each list, laid out as `LIST`. */
  readonly lists: Int32Array;
  /** `RULE_WORDS` for each rule, laid out as `RULE`. */
  readonly rules: Int32Array;
  readonly index: Int32Array;
  /** Two words for each attachment, the local VPC's first: its list and its network ACL. */
  readonly attachments: Int32Array;
  /** How many rule ids there are. */
  readonly ids: number;
  /** By rule id, as `LIMIT` lays them out. */
  readonly limits: Float64Array;
  /** By rule id; of ids without a rule the empty text. */
  readonly names: readonly string[];
  /** By attachment, behind that of a peering without lists: what its network ACL is noted by. Never 0; 19 bits. */
  readonly notes: Int32Array;
}

const LIST_WORDS = 5;
const LIST = { first: 0, allows: 1, head: 2, deniedByRule: 3, deniedByDefault: 4 } as const;
const RULE_WORDS = 4;
/** The index looks at the first two. */
const RULE = { icmpType: 0, icmpCode: 1, allow: 2, id: 3 } as const;
const NO_LISTS: AttachmentLists = { list: -1, networkAcl: -1 };
const NOTES = (1 << 19) - 1;

/** How the lists stand at the attachments. */
export interface Attachments {
  readonly local: AttachmentLists;
  /** A peering names one of these by its place. */
  readonly peerings: readonly AttachmentLists[];
  /** How many lists there were in all programs before this one, and one for each of these: no note of theirs is given anew. */
  readonly noted: number;
  /** One more than the highest rule id. */
  readonly ids: number;
}

/**
 * Rules are numbered through all lists: the first rule of the second list follows the last rule of the first. Without
 * `attachments` the local VPC has no lists, and a peering names the one that is all it has.
 */
export function compileAcls(specs: readonly AclSpec[], attachments?: Attachments): AclProgram {
  const lists: number[] = [];
  const rules: number[] = [];
  const names = new Map<number, string>();
  const rates: (readonly [id: number, rate: number, perFlow: number])[] = [];
  const index = new AclIndexBuilder();
  for (const spec of specs) {
    const { otherwise, deniedByRule = DROP['acl-rule'], deniedByDefault = DROP['acl-default'] } = spec;
    const first = rules.length / RULE_WORDS;
    lists.push(first, otherwise === 'allow' ? 1 : 0, index.add(spec.rules), deniedByRule, deniedByDefault);
    for (const [
      place,
      { name, icmpType, icmpCode, action, id = first + place, rate = 0, perFlow = 0 },
    ] of spec.rules.entries()) {
      names.set(id, name);
      if (rate > 0 || perFlow > 0) rates.push([id, rate, perFlow]);
      rules.push(icmpType, icmpCode, action === 'allow' ? 1 : 0, id);
    }
  }
  const { local, peerings, ids, noted } = attachments ?? {
    local: NO_LISTS,
    peerings: specs.map((_, list) => ({ list, networkAcl: -1 })),
    ids: rules.length / RULE_WORDS,
    noted: 0,
  };
  const limits = new Float64Array(new SharedArrayBuffer(ids * LIMIT.words * Float64Array.BYTES_PER_ELEMENT));
  for (const [id, rate, perFlow] of rates) limits.set([rate / 1000, perFlow / 1000], id * LIMIT.words);
  return {
    limits,
    names: Array.from({ length: ids }, (_, id) => names.get(id) ?? ''),
    lists: shared(lists),
    rules: shared(rules),
    index: index.finish(),
    attachments: shared([local, ...peerings].flatMap(({ list, networkAcl }) => [list, networkAcl])),
    ids,
    notes: shared([NO_LISTS, ...peerings].map(({ networkAcl }) => 1 + ((noted + 1 + networkAcl) % NOTES))),
  };
}

/** How many rule ids a program has: those that count need as many places. */
export function ruleCount(program: AclProgram): number {
  return program.ids;
}

export class Acl {
  readonly #lists: Int32Array;
  readonly #rules: Int32Array;
  readonly #index: AclIndex;
  readonly #limits: Float64Array;

  constructor(program: AclProgram) {
    this.#lists = program.lists;
    this.#rules = program.rules;
    this.#limits = program.limits;
    this.#index = new AclIndex(program.index, program.rules, RULE_WORDS);
  }

  /** Rules that the last `judge` compared one by one. */
  get compared(): number {
    return this.#index.compared;
  }

  /** The number of the first rule of list `list` that matches, or -1: its default decides. Hot path. */
  judge(list: number, direction: number, packet: Packet): number {
    const at = list * LIST_WORDS;
    return this.#index.find(this.#lists[at + LIST.head], this.#lists[at + LIST.first], direction, packet);
  }

  /** Whether what `judge` returned for `list` means that the packet may pass. */
  allows(list: number, rule: number): boolean {
    return (
      (rule < 0 ? this.#lists[list * LIST_WORDS + LIST.allows] : this.#rules[rule * RULE_WORDS + RULE.allow]) === 1
    );
  }

  /** The `DROP` number of a denial by what `judge` returned for `list`. */
  denial(list: number, rule: number): number {
    return this.#lists[list * LIST_WORDS + (rule < 0 ? LIST.deniedByDefault : LIST.deniedByRule)];
  }

  /** Whether the rule with this id says how much may pass of what it lets begin. */
  hasRate(id: number): boolean {
    return this.#limits[id * LIMIT.words + LIMIT.rate] > 0 || this.#limits[id * LIMIT.words + LIMIT.perFlow] > 0;
  }

  /** The id of a rule by its number; -1 stays. */
  idOf(rule: number): number {
    return rule < 0 ? -1 : this.#rules[rule * RULE_WORDS + RULE.id];
  }
}

function shared(words: readonly number[]): Int32Array {
  const array = new Int32Array(new SharedArrayBuffer(words.length * 4));
  array.set(words);
  return array;
}
