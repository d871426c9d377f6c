import test from 'ava';
import { formatFault, readConfig } from '../../src/control/config.ts';
import { Rules } from '../../src/gateway/rules.ts';
import { createFlowTable } from '../../src/policy/flow-table.ts';
import { IN, OUT } from '../../src/policy/direction.ts';
import { Policy } from '../../src/policy/policy.ts';
import { DROP_REASONS } from '../../src/wire/drop.ts';
import { Packet, TCP_FLAG } from '../../src/wire/packet.ts';
import { ENVIRONMENT, inMemory } from '../control/config-samples.ts';
import { echo, icmp, ip, quoting, tcp, udp } from '../wire/packets.ts';

/** Tests by the table of security groups and network ACLs; each title has the words of the line that it proves. */

const HERE = '172.31.1.9';
const THERE = '192.168.0.1';

/** A gateway's rules as the file has them, judged in virtual time. Peering 0 is `a`, 192.168.0.0/16 and fd00:b::/32. */
class Site {
  seconds = 1000;
  rules: Rules;
  #policy!: Policy;
  readonly #flows = createFlowTable(1024, 42);
  #config;

  constructor(filters: Filters) {
    this.#config = configOf(filters);
    this.rules = new Rules(this.#config);
    this.#use();
  }

  reload(filters: Filters): void {
    this.#config = configOf(filters);
    this.rules = new Rules(this.#config, this.rules);
    this.#use();
  }

  /** `path`: by which peering it comes, 0 or 1, as if both were one bundle. */
  in(bytes: Uint8Array, path = 0): string {
    return this.#judge(bytes, IN, path);
  }

  out(bytes: Uint8Array): string {
    return this.#judge(bytes, OUT);
  }

  /** From peering a to peering b. */
  across(bytes: Uint8Array): string {
    const [a, b] = this.#config.peerings.map((peering) => this.rules.placeOf(peering));
    return told(this.#policy.judgeTransit(parsed(bytes), bytes, 0, 0, a, 1, b, this.seconds, 1));
  }

  /** From peering b to peering a. */
  back(bytes: Uint8Array): string {
    const [a, b] = this.#config.peerings.map((peering) => this.rules.placeOf(peering));
    return told(this.#policy.judgeTransit(parsed(bytes), bytes, 0, 1, b, 0, a, this.seconds, 1));
  }

  hits(name: string): number {
    return this.rules.status().find((rule) => rule.name === name)!.hits;
  }

  /** The list and the rule that decided last, or that let the flow begin. */
  get decided(): string {
    const { rule, begunBy } = this.#policy;
    const found = this.rules.rule(rule < 0 ? begunBy : rule);
    return found === undefined ? 'none' : `${found.acl} ${found.name}`;
  }

  #use(): void {
    this.#policy = new Policy(this.rules.program, this.#flows, this.rules.inbound);
  }

  #judge(bytes: Uint8Array, direction: number, path = 0): string {
    const place = this.rules.placeOf(this.#config.peerings[path]);
    return told(this.#policy.judge(parsed(bytes), bytes, 0, 0, place, direction, this.seconds, 1));
  }
}

interface Filters {
  readonly local?: string;
  readonly a?: string;
  readonly b?: string;
  readonly lists?: string;
}

function textOf({ local = '', a = '', b = '', lists = '' }: Filters): string {
  return `gateway: {name: g, subnets: [172.31.0.0/16, 'fd00:a::/32']${local}}
peerings:
  - {name: a, role: server, psk: {env: PSK}, subnets: [192.168.0.0/16, 'fd00:b::/32']${a}}
  - {name: b, role: server, psk: {env: OTHER_PSK}, subnets: [192.0.2.0/24]${b}}
${lists}`;
}

function configOf(filters: Filters) {
  const result = readConfig(inMemory(textOf(filters)), ENVIRONMENT);
  if ('faults' in result) throw new Error(result.faults.map(formatFault).join('\n'));
  return result.config;
}

function faultsOf(filters: Filters): string[] {
  const result = readConfig(inMemory(textOf(filters)), ENVIRONMENT);
  return 'faults' in result ? result.faults.map(({ path, message, code }) => `${path}: ${message} (${code})`) : [];
}

function parsed(bytes: Uint8Array): Packet {
  const packet = new Packet();
  if (!packet.parse(bytes, 0, bytes.length)) throw new Error('the test made a bad packet');
  return packet;
}

function told(verdict: number): string {
  return verdict === 0 ? 'pass' : DROP_REASONS[verdict];
}

const tcpIn = (port: number, to = HERE, from = THERE, source = 5000): Uint8Array =>
  ip(from, to, 6, tcp(source, port, TCP_FLAG.syn));
const udpIn = (port = 53, to = HERE, from = THERE): Uint8Array => ip(from, to, 17, udp(5000, port));
const udpOut = (port = 53, to = THERE, from = HERE): Uint8Array => ip(from, to, 17, udp(5000, port));
const answer = (bytes: Uint8Array): Uint8Array => {
  const reply = bytes.slice();
  reply.copyWithin(12, 16, 20);
  reply.set(bytes.subarray(12, 16), 16);
  reply.set(bytes.subarray(20, 22), 22);
  reply.set(bytes.subarray(22, 24), 20);
  return reply;
};

const WEB = `security_groups:
  web: {ingress: [{name: https, source: 192.168.0.0/16, protocol: tcp, ports: 443}]}
  dns: {ingress: [{name: dns, source: 192.168.0.0/16, protocol: udp, ports: 53}]}
`;

test('security group: rules | allow only; several groups form a union', (t) => {
  const one = new Site({ local: ', security_groups: web', lists: WEB });
  t.is(one.in(tcpIn(443)), 'pass');
  t.is(one.decided, 'web https');
  t.is(one.in(udpIn()), 'security-group');
  const both = new Site({ local: ', security_groups: [web, dns]', lists: WEB });
  t.is(both.in(tcpIn(443)), 'pass');
  t.is(both.in(udpIn()), 'pass');
  t.is(both.in(tcpIn(80)), 'security-group');
  const [denies] = faultsOf({ lists: 'security_groups: {web: {ingress: [{action: deny, source: 10.0.0.0/8}]}}' });
  t.regex(denies, /^security_groups\.web\.ingress\[0\]\.action: unknown key "action"/);
});

test('security group: state | stateful', (t) => {
  const site = new Site({ local: ', security_groups: closed', lists: 'security_groups: {closed: {}}' });
  t.is(site.in(udpIn(5000, HERE, THERE)), 'security-group');
  t.is(site.out(udpOut()), 'pass');
  t.is(site.in(answer(udpOut())), 'pass');
});

test('security group: default | nothing in, everything out', (t) => {
  const site = new Site({ a: ', security_groups: [closed]', lists: 'security_groups: {closed: {}}' });
  t.is(site.in(tcpIn(443)), 'security-group');
  t.is(site.out(udpOut()), 'pass');
  t.is(site.out(ip('fd00:a::1', 'fd00:b::1', 17, udp(1, 2))), 'pass');
  const mute = new Site({ a: ', security_groups: mute', lists: 'security_groups: {mute: {egress: []}}' });
  t.is(mute.out(udpOut()), 'security-group');
});

test('security group: match | protocol, port range, ICMP type and code, CIDR, prefix list, group', (t) => {
  const lists = `security_groups:
  g:
    members: [172.31.1.0/24]
    ingress:
      - {source: 192.168.0.0/24, protocol: tcp, ports: 8000-8080}
      - {source: 192.168.0.0/16, protocol: icmp, icmp: {type: 8, code: 0}}
      - {source: {group: ops}, protocol: tcp, ports: 22}
      - {source: {prefix_list: partners}, protocol: tcp, ports: 8443}
    egress:
      - {destination: {group: ops}}
  ops: {members: [192.168.7.0/28, 'fd00:b::/64']}
prefix_lists: {partners: [192.168.9.0/24, 192.168.10.0/24]}
`;
  const site = new Site({ local: ', security_groups: g', lists });
  t.is(site.in(tcpIn(8040)), 'pass');
  t.is(site.in(tcpIn(8081)), 'security-group');
  t.is(site.in(tcpIn(8040, HERE, '192.168.1.1')), 'security-group');
  t.is(site.in(ip(THERE, HERE, 1, echo(8, 1))), 'pass');
  t.is(site.in(ip(THERE, HERE, 1, icmp(8, 1, new Uint8Array(4)))), 'security-group', 'another code');
  t.is(site.in(ip(THERE, HERE, 1, icmp(13, 0, new Uint8Array(4)))), 'security-group');
  t.is(site.in(tcpIn(22)), 'security-group');
  t.is(site.in(tcpIn(8443)), 'security-group');
  t.is(site.in(tcpIn(8443, HERE, '192.168.10.1')), 'pass');
  t.is(site.in(tcpIn(22, HERE, '192.168.7.3')), 'pass');
  t.is(site.in(tcpIn(22, '172.31.2.1', '192.168.7.3')), 'security-group', 'no member');
  t.is(site.out(udpOut(53, '192.168.7.4')), 'pass');
  t.is(site.out(udpOut(53, THERE)), 'security-group');
  t.is(site.out(udpOut(53, '192.168.7.4', '172.31.2.1')), 'security-group', 'no member');
});

const ALL = ', security_groups: all';
const OPEN = `security_groups: {all: {ingress: [{source: 0.0.0.0/0}, {source: '::/0'}]}}\n`;

test('network ACL: rules | allow or deny; numbers 1 to 32766, lowest first, first match wins, `*` denies', (t) => {
  const lists = `${OPEN}network_acls:
  edge:
    ingress:
      - {rule: 32766, action: deny, cidr: 192.168.0.0/16, protocol: tcp}
      - {rule: 100, action: allow, cidr: 192.168.0.0/24, protocol: tcp}
      - {rule: 1, action: deny, cidr: 192.168.0.0/16, protocol: tcp, ports: 23}
`;
  const site = new Site({ local: `${ALL}, network_acl: edge`, lists });
  t.is(site.in(tcpIn(23)), 'network-acl');
  t.is(site.decided, 'edge 1');
  t.is(site.in(tcpIn(80)), 'pass');
  t.is(site.in(tcpIn(80, HERE, '192.168.1.1')), 'network-acl');
  t.is(site.decided, 'edge 32766');
  t.is(site.in(udpIn()), 'network-acl');
  t.is(site.decided, 'edge *');
  const number = (rule: number): string[] =>
    faultsOf({ lists: `network_acls: {e: {ingress: [{rule: ${rule}, action: deny, cidr: 10.0.0.0/8}]}}` });
  t.deepEqual(number(1), []);
  t.deepEqual(number(32_766), []);
  for (const bad of [0, 32_767]) {
    t.deepEqual(number(bad), [
      `network_acls.e.ingress[0].rule: is ${bad}; wanted a whole number from 1 to 32766 (ISTHMUS_CONFIG_VALUE)`,
    ]);
  }
});

test('network ACL: state | stateless', (t) => {
  const lists = `${OPEN}network_acls:
  edge: {egress: [{rule: 1, action: allow, cidr: 0.0.0.0/0}], ingress: [{rule: 1, action: allow, cidr: 0.0.0.0/0, protocol: udp, ports: 53}]}
`;
  const site = new Site({ a: ', network_acl: edge', local: ALL, lists });
  t.is(site.out(udpOut()), 'pass');
  t.is(site.in(answer(udpOut())), 'network-acl', 'the reply has no rule');
  t.is(site.in(ip(THERE, HERE, 1, icmp(3, 1, quoting(udpOut())))), 'network-acl', 'nor has an error');
  t.is(site.in(udpIn()), 'pass');
  t.is(site.out(answer(udpIn())), 'pass');
});

test('network ACL: what it said of a flow is asked again when rules change, in each direction', (t) => {
  const lists = (action: string) => `${OPEN}network_acls:
  edge: {egress: [{rule: 1, action: allow, cidr: 0.0.0.0/0}], ingress: [{rule: 1, action: ${action}, cidr: 0.0.0.0/0}]}
`;
  const site = new Site({ a: ', network_acl: edge', local: ALL, lists: lists('allow') });
  t.is(site.out(udpOut()), 'pass');
  for (let packet = 0; packet < 5; packet++) t.is(site.in(answer(udpOut())), 'pass');
  t.is(site.hits('1'), 1, 'once for the flow');
  site.reload({ a: ', network_acl: edge', local: ALL, lists: lists('deny') });
  t.is(site.in(answer(udpOut())), 'network-acl');
  t.is(site.in(answer(udpOut())), 'network-acl');
  t.is(site.out(udpOut()), 'pass');
  site.reload({ a: ', network_acl: edge', local: ALL, lists: lists('allow') });
  t.is(site.in(answer(udpOut())), 'pass');
  t.is(site.in(ip(THERE, HERE, 1, echo(8, 1))), 'pass');
});

test('network ACL: what one said of a flow does not stand for another, where the flow is of two peerings', (t) => {
  const lists = `${OPEN}network_acls:
  open: {egress: [{rule: 1, action: allow, cidr: 0.0.0.0/0}], ingress: [{rule: 1, action: allow, cidr: 0.0.0.0/0}]}
  shut: {egress: [{rule: 1, action: allow, cidr: 0.0.0.0/0}]}
`;
  const filters = { a: ', network_acl: open', b: ', network_acl: shut', local: ALL, lists };
  const site = new Site(filters);
  const asked = () => {
    t.is(site.out(udpOut()), 'pass');
    t.is(site.in(answer(udpOut())), 'pass');
    t.is(site.in(answer(udpOut()), 1), 'network-acl');
    t.is(site.in(answer(udpOut())), 'pass');
  };
  asked();
  site.reload({ ...filters, a: ', network_acl: shut', b: ', network_acl: open' });
  t.is(site.in(answer(udpOut())), 'network-acl');
  t.is(site.in(answer(udpOut()), 1), 'pass');
});

test('network ACL: default | the default one allows all (rule 100; IPv6 101); a new one denies all', (t) => {
  const site = new Site({ local: `${ALL}, network_acl: default`, lists: OPEN });
  t.is(site.in(udpIn()), 'pass');
  t.is(site.in(ip('fd00:b::1', 'fd00:a::1', 17, udp(1, 2))), 'pass');
  t.deepEqual(
    site.rules.status().flatMap(({ kind, name, direction, hits }) => (kind === 'network-acl' ? [[name, direction, hits]] : [])),
    [['100', 'in', 1], ['101', 'in', 1], ['*', 'in', 0], ['100', 'out', 0], ['101', 'out', 0], ['*', 'out', 0]],
  ); // prettier-ignore
  const fresh = new Site({ local: `${ALL}, network_acl: fresh`, lists: `${OPEN}network_acls: {fresh: {}}` });
  t.is(fresh.in(udpIn()), 'network-acl');
  t.is(fresh.out(udpOut()), 'network-acl');
  t.is(new Site({ local: ALL, lists: OPEN }).in(udpIn()), 'pass', 'without any nothing is denied');
});

test('network ACL: match | protocol, ports, ICMP type and code, CIDR in canonical form', (t) => {
  const lists = `${OPEN}network_acls:
  edge:
    ingress:
      - {rule: 10, action: allow, cidr: 192.168.0.0/16, protocol: udp, ports: [53, 100-200]}
      - {rule: 20, action: allow, cidr: 192.168.0.0/16, protocol: icmp, icmp: {type: 3, code: 4}}
`;
  const site = new Site({ local: `${ALL}, network_acl: edge`, lists });
  t.is(site.in(udpIn(150)), 'pass');
  t.is(site.in(udpIn(201)), 'network-acl');
  t.is(site.in(ip(THERE, HERE, 1, icmp(3, 4, new Uint8Array(4)))), 'pass');
  t.is(site.in(ip(THERE, HERE, 1, icmp(3, 3, new Uint8Array(4)))), 'network-acl');
  t.deepEqual(faultsOf({ lists: 'network_acls: {e: {ingress: [{rule: 1, action: deny, cidr: 100.68.0.18/18}]}}' }), [
    'network_acls.e.ingress[0].cidr: 100.68.0.18/18 has host bits set; wanted 100.68.0.0/18 (ISTHMUS_CONFIG_CIDR)',
  ]);
});

test('`-1` means all protocols, or any ICMP type or code. IPv4 and IPv6 rules stand apart.', (t) => {
  const lists = `${OPEN}network_acls:
  edge:
    ingress:
      - {rule: 10, action: deny, cidr: 192.168.0.0/16, protocol: icmp, icmp: {type: 8, code: -1}}
      - {rule: 20, action: deny, cidr: '::/0', protocol: icmp, icmp: {type: -1, code: -1}}
      - {rule: 100, action: allow, cidr: 0.0.0.0/0, protocol: -1}
`;
  const site = new Site({ local: `${ALL}, network_acl: edge`, lists });
  t.is(site.in(ip(THERE, HERE, 1, icmp(8, 7, new Uint8Array(4)))), 'network-acl');
  t.is(site.in(ip(THERE, HERE, 1, icmp(13, 0, new Uint8Array(4)))), 'pass');
  t.is(site.in(ip(THERE, HERE, 47, new Uint8Array(8))), 'pass');
  t.is(site.in(ip('fd00:b::1', 'fd00:a::1', 58, echo(128, 1))), 'network-acl');
  t.is(site.decided, 'edge 20');
  t.is(site.in(ip('fd00:b::1', 'fd00:a::1', 47, new Uint8Array(8))), 'network-acl', 'rule 100 is for IPv4');
});

test('Idle time-outs of tracked flows: ICMP is always tracked.', (t) => {
  const site = new Site({ local: ALL, lists: OPEN });
  t.is(site.in(ip(THERE, HERE, 1, echo(8, 1))), 'pass');
  site.reload({ local: ', security_groups: mute', lists: 'security_groups: {mute: {egress: []}}' });
  t.is(site.out(ip(HERE, THERE, 1, echo(0, 1))), 'pass');
  site.seconds += 30;
  t.is(site.out(ip(HERE, THERE, 1, echo(0, 1))), 'security-group');
});

test('When a rule is removed, tracked flows live on until they time out; new ones are judged by the new rules.', (t) => {
  const site = new Site({ local: ', security_groups: dns', lists: WEB });
  t.is(site.in(udpIn()), 'pass');
  const id = site.decided;
  site.reload({ local: ', security_groups: web', lists: WEB });
  t.is(site.in(udpIn()), 'pass');
  t.is(site.decided, id, 'the flow remembers its rule');
  t.is(site.in(udpIn(53, '172.31.1.10')), 'security-group');
  site.seconds += 30;
  t.is(site.in(udpIn()), 'security-group');
  t.is(site.hits('dns'), 1, 'counts go on');
});

test('a subnet has its own network ACL, the rest of the local VPC the one of the gateway', (t) => {
  const lists = `${OPEN}network_acls:
  quiet: {subnets: [172.31.2.0/24], ingress: [{rule: 1, action: allow, cidr: 0.0.0.0/0, protocol: tcp}]}
  edge: {ingress: [{rule: 1, action: allow, cidr: 0.0.0.0/0, protocol: udp}]}
`;
  const site = new Site({ local: `${ALL}, network_acl: edge`, lists });
  t.is(site.in(udpIn(53, '172.31.2.1')), 'network-acl');
  t.is(site.decided, 'quiet *');
  t.is(site.in(tcpIn(80, '172.31.2.1')), 'pass');
  t.is(site.in(udpIn(53, '172.31.3.1')), 'pass');
  t.is(site.in(tcpIn(80, '172.31.3.1')), 'network-acl');
  t.is(new Site({ local: ALL, lists }).in(tcpIn(80, '172.31.3.1')), 'pass', 'without one for the rest');
});

test('a rate of a group counts wherever the group stands; the one of the peering first', (t) => {
  const lists = `security_groups:
  fast: {ingress: [{name: all, source: 0.0.0.0/0}]}
  slow: {ingress: [{name: all, source: 0.0.0.0/0, rate: 8mbit, per_flow: 800kbit}]}
  slower: {ingress: [{name: all, source: 0.0.0.0/0, rate: 80kbit}], egress: [{destination: 0.0.0.0/0, per_flow: 64kbit}]}
`;
  const begunBy = (a: string, local: string): string => {
    const site = new Site({ local: `, security_groups: ${local}`, a: `, security_groups: ${a}`, lists });
    t.is(site.in(tcpIn(443)), 'pass');
    return site.decided;
  };
  t.is(begunBy('fast', 'slow'), 'slow all');
  t.is(begunBy('slow', 'fast'), 'slow all');
  t.is(begunBy('slow', 'slower'), 'slow all');
  t.is(begunBy('slower', 'slow'), 'slower all');
  t.is(begunBy('[slower, fast]', 'fast'), 'fast all', 'of one attachment, the rule that stands first in the file');
  const { securityGroups } = configOf({ lists });
  const rates = securityGroups.flatMap(({ ingress, egress }) =>
    [...ingress, ...egress].map(({ rate, perFlow }) => [rate, perFlow]),
  );
  t.deepEqual(rates, [
    [undefined, undefined],
    [undefined, undefined],
    [1e6, 1e5],
    [undefined, undefined],
    [1e4, undefined],
    [undefined, 8e3],
  ]);
});

test('from peering to peering: ingress at the first and egress at the second, and no flow where the second denies', (t) => {
  const lists = `security_groups:
  open: {ingress: [{name: any, source: 0.0.0.0/0}]}
  mute: {egress: [{destination: 192.0.2.7, protocol: tcp}]}
`;
  const groups = {
    a: ', security_groups: open',
    b: ', security_groups: mute',
    local: ', security_groups: mute',
    lists,
  };
  const site = new Site(groups);
  t.is(site.across(tcpIn(80, '192.0.2.7')), 'pass');
  t.is(site.decided, 'open any');
  t.is(site.back(answer(tcpIn(80, '192.0.2.7'))), 'pass');
  t.is(site.across(tcpIn(80, '192.0.2.8')), 'security-group');
  t.is(site.back(answer(tcpIn(80, '192.0.2.8'))), 'security-group');
  site.reload({ ...groups, b: ', security_groups: open' });
  t.is(site.back(answer(tcpIn(80, '192.0.2.8'))), 'pass', 'judged anew: nothing was left behind');
});

test('where an access list and a group of the local VPC let a flow begin, both count it, and it is the list of the peering', (t) => {
  const site = new Site({
    a: ', acl: simple',
    local: ', security_groups: dns',
    lists: `acls: {simple: [{name: any, action: allow}]}\n${WEB}`,
  });
  t.is(site.in(udpIn()), 'pass');
  t.is(site.decided, 'simple any');
  t.is(site.hits('dns'), 1);
  t.is(site.in(tcpIn(443)), 'security-group');
});

const FAULTS: readonly (readonly [Filters, string])[] = [
  [
    { local: ', security_groups: wbe', lists: WEB },
    'gateway.security_groups: "wbe" is not among security_groups (did you mean "web"?); wanted one of web, dns (ISTHMUS_CONFIG_UNKNOWN_GROUP)',
  ],
  [
    { a: ', network_acl: edge' },
    'peerings[0].network_acl: "edge" is not among network_acls; wanted one of default (ISTHMUS_CONFIG_UNKNOWN_ACL)',
  ],
  [
    { a: ', acl: x, security_groups: [web]', lists: `acls: {x: []}\n${WEB}` },
    'peerings[0].security_groups: security_groups beside acl; wanted one of them (ISTHMUS_CONFIG_RULE)',
  ],
  [
    { lists: 'security_groups: {x: {ingress: [{source: {group: y}}]}, y: {}}' },
    'security_groups.x.ingress[0].source.group: the group "y" has no members; wanted security_groups.y.members (ISTHMUS_CONFIG_RULE)',
  ],
  [
    { lists: 'security_groups: {x: {ingress: [{source: {groop: y}}]}}' },
    'security_groups.x.ingress[0].source: is a mapping; wanted a CIDR such as 10.0.0.0/16, {prefix_list: NAME} or {group: NAME} (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    { lists: 'security_groups: {x: {ingress: [{source: {prefix_list: y}}]}}' },
    'security_groups.x.ingress[0].source.prefix_list: "y" is not among prefix_lists; and there are none (ISTHMUS_CONFIG_UNKNOWN_NAME)',
  ],
  [
    { lists: 'security_groups: {x: {egress: [{destination: 10.0.0.0/8, ports: 80}]}}' },
    'security_groups.x.egress[0].ports: ports with protocol all, as none is given; wanted protocol tcp, udp, sctp, dccp, udplite, or no ports (ISTHMUS_CONFIG_RULE)',
  ],
  [
    {
      lists:
        'network_acls: {x: {egress: [{rule: 5, action: deny, cidr: 10.0.0.0/8}, {rule: 5, action: deny, cidr: 11.0.0.0/8}]}}',
    },
    'network_acls.x.egress[1].rule: the number 5 is that of network_acls.x.egress[0] (line 5); wanted a number once (ISTHMUS_CONFIG_DUPLICATE)',
  ],
  [
    { lists: 'network_acls: {x: {subnets: 10.0.0.0/8}}' },
    'network_acls.x.subnets: 10.0.0.0/8 is no part of the local VPC; wanted a network within gateway.subnets (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    { lists: 'network_acls: {x: {subnets: 172.31.0.0/20}, y: {subnets: [172.31.1.0/24]}}' },
    'network_acls.y.subnets[0]: 172.31.1.0/24 overlaps 172.31.0.0/20 at network_acls.x.subnets (line 5); wanted one network ACL for a subnet (ISTHMUS_CONFIG_OVERLAP)',
  ],
];

for (const [filters, fault] of FAULTS) {
  test(`fault: ${fault}`, (t) => t.deepEqual(faultsOf(filters), [fault]));
}
