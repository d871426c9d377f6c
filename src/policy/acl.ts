import { FRAGMENT, PROTOCOL, type Packet } from '../wire/packet.ts';
import { IN, OUT } from './direction.ts';

/**
 * Access control lists: ordered rules, the first that matches decides, and a default where none does. Compiled to
 * integers in shared memory, read by both data-plane threads. A list is walked only for the first packet of a flow.
 */

/** An address and how many of its leading bits count: int32 words, IPv4 in word 3 with words 0 to 2 zero. */
export interface AclPrefix {
  readonly family: 4 | 6;
  readonly address: readonly [number, number, number, number];
  readonly bits: number;
}

export interface AclRule {
  readonly name: string;
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
}

export interface AclSpec {
  readonly rules: readonly AclRule[];
  /** The default: what happens to a packet that no rule matches. */
  readonly otherwise: 'allow' | 'deny';
}

/** What `compileAcls` makes for `Acl`: typed arrays over `SharedArrayBuffer`s, posted to a worker without a copy. */
export interface AclProgram {
  /** `ACL_WORDS` for each ACL: its first rule, the rule behind its last, whether the default allows. */
  readonly acls: Int32Array;
  /** `RULE_WORDS` for each rule, laid out as `RULE`. */
  readonly rules: Int32Array;
  /** `PREFIX_WORDS` for each prefix: IP version, address, mask. */
  readonly prefixes: Int32Array;
  /** Two words for each range. */
  readonly ports: Int32Array;
}

const ACL_WORDS = 3;
const PREFIX_WORDS = 9;
const RULE_WORDS = 12;
/** `…Begin` and `…End` are word offsets into `prefixes` or `ports`. */
const RULE = {
  allow: 0,
  directions: 1,
  protocol: 2,
  icmpType: 3,
  icmpCode: 4,
  sourcesBegin: 5,
  sourcesEnd: 6,
  destinationsBegin: 7,
  destinationsEnd: 8,
  portsBegin: 9,
  portsEnd: 10,
} as const;
const DIRECTIONS = { in: 1 << IN, out: 1 << OUT, both: (1 << IN) | (1 << OUT) } as const;

/** Rules are numbered through all ACLs: the first rule of the second ACL follows the last rule of the first. */
export function compileAcls(specs: readonly AclSpec[]): AclProgram {
  const acls: number[] = [];
  const rules: number[] = [];
  const prefixes: number[] = [];
  const ports: number[] = [];
  const addPrefixes = (list: readonly AclPrefix[]): [number, number] => {
    const begin = prefixes.length;
    for (const { family, address, bits } of list) prefixes.push(family, ...address, ...prefixMask(family, bits));
    return [begin, prefixes.length];
  };
  const addPorts = (list: AclRule['ports']): [number, number] => {
    const begin = ports.length;
    for (const [from, to] of list) ports.push(from, to);
    return [begin, ports.length];
  };
  for (const spec of specs) {
    const first = rules.length / RULE_WORDS;
    acls.push(first, first + spec.rules.length, spec.otherwise === 'allow' ? 1 : 0);
    for (const rule of spec.rules) {
      rules.push(rule.action === 'allow' ? 1 : 0, DIRECTIONS[rule.direction]);
      rules.push(rule.protocol, rule.icmpType, rule.icmpCode);
      rules.push(...addPrefixes(rule.sources), ...addPrefixes(rule.destinations), ...addPorts(rule.ports), 0);
    }
  }
  return { acls: shared(acls), rules: shared(rules), prefixes: shared(prefixes), ports: shared(ports) };
}

/** How many rules a program holds, in all its ACLs. */
export function ruleCount(program: AclProgram): number {
  return program.rules.length / RULE_WORDS;
}

export class Acl {
  readonly #acls: Int32Array;
  readonly #rules: Int32Array;
  readonly #prefixes: Int32Array;
  readonly #ports: Int32Array;

  constructor(program: AclProgram) {
    this.#acls = program.acls;
    this.#rules = program.rules;
    this.#prefixes = program.prefixes;
    this.#ports = program.ports;
  }

  /** The number of the first rule of ACL `acl` that matches, or -1: its default decides. Hot path. */
  judge(acl: number, direction: number, packet: Packet): number {
    const rules = this.#rules;
    const end = this.#acls[acl * ACL_WORDS + 1];
    for (let rule = this.#acls[acl * ACL_WORDS]; rule < end; rule++) {
      const at = rule * RULE_WORDS;
      if (
        ((rules[at + RULE.directions] >>> direction) & 1) !== 0 &&
        protocolMatches(rules[at + RULE.protocol], packet) &&
        (rules[at + RULE.icmpType] === -1 || rules[at + RULE.icmpType] === packet.icmpType) &&
        (rules[at + RULE.icmpCode] === -1 || rules[at + RULE.icmpCode] === packet.icmpCode) &&
        this.#portsMatch(rules[at + RULE.portsBegin], rules[at + RULE.portsEnd], packet) &&
        this.#sourceMatches(rules[at + RULE.sourcesBegin], rules[at + RULE.sourcesEnd], packet) &&
        this.#destinationMatches(rules[at + RULE.destinationsBegin], rules[at + RULE.destinationsEnd], packet)
      ) {
        return rule;
      }
    }
    return -1;
  }

  /** Whether what `judge` returned for `acl` means that the packet may pass. */
  allows(acl: number, rule: number): boolean {
    return (rule < 0 ? this.#acls[acl * ACL_WORDS + 2] : this.#rules[rule * RULE_WORDS + RULE.allow]) === 1;
  }

  #portsMatch(begin: number, end: number, packet: Packet): boolean {
    if (begin === end) return true;
    if (packet.fragment === FRAGMENT.later || !hasPorts(packet.protocol)) return false;
    for (let at = begin; at < end; at += 2) {
      if (packet.dstPort >= this.#ports[at] && packet.dstPort <= this.#ports[at + 1]) return true;
    }
    return false;
  }

  #sourceMatches(begin: number, end: number, packet: Packet): boolean {
    if (begin === end) return true;
    const { version, src0, src1, src2, src3 } = packet;
    for (let at = begin; at < end; at += PREFIX_WORDS) {
      if (this.#prefixHolds(at, version, src0, src1, src2, src3)) return true;
    }
    return false;
  }

  #destinationMatches(begin: number, end: number, packet: Packet): boolean {
    if (begin === end) return true;
    const { version, dst0, dst1, dst2, dst3 } = packet;
    for (let at = begin; at < end; at += PREFIX_WORDS) {
      if (this.#prefixHolds(at, version, dst0, dst1, dst2, dst3)) return true;
    }
    return false;
  }

  #prefixHolds(at: number, version: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const words = this.#prefixes;
    return (
      words[at] === version &&
      ((words[at + 4] ^ w3) & words[at + 8]) === 0 &&
      ((words[at + 1] ^ w0) & words[at + 5]) === 0 &&
      ((words[at + 2] ^ w1) & words[at + 6]) === 0 &&
      ((words[at + 3] ^ w2) & words[at + 7]) === 0
    );
  }
}

function protocolMatches(protocol: number, packet: Packet): boolean {
  return (
    protocol === -1 ||
    protocol === packet.protocol ||
    (protocol === PROTOCOL.icmp && packet.version === 6 && packet.protocol === PROTOCOL.icmpv6)
  );
}

function hasPorts(protocol: number): boolean {
  return (
    protocol === PROTOCOL.tcp ||
    protocol === PROTOCOL.udp ||
    protocol === PROTOCOL.udplite ||
    protocol === PROTOCOL.sctp ||
    protocol === PROTOCOL.dccp
  );
}

/** Four words with the bits set that count. */
function prefixMask(family: 4 | 6, bits: number): number[] {
  const first = family === 4 ? 96 : 0;
  return [0, 32, 64, 96].map((start) => {
    const ones = Math.min(32, Math.max(0, first + bits - start));
    return ones === 0 ? 0 : -1 << (32 - ones);
  });
}

function shared(words: readonly number[]): Int32Array {
  const array = new Int32Array(new SharedArrayBuffer(words.length * 4));
  array.set(words);
  return array;
}
