import { compileAcls, type AclPrefix, type AclSpec, type Attachments } from '../../src/policy/acl.ts';
import { createFlowTable, type FlowTableData } from '../../src/policy/flow-table.ts';
import { createPolicyCounters, type PolicyCounters } from '../../src/policy/counters.ts';
import { IN, OUT } from '../../src/policy/direction.ts';
import { Policy } from '../../src/policy/policy.ts';
import { DROP_REASONS } from '../../src/wire/drop.ts';
import { Packet } from '../../src/wire/packet.ts';
import { rule } from '../dataplane/gateways.ts';
import { ip, packetWords, tcp, udp, type IpOptions } from '../wire/packets.ts';

export const ALLOW_OUT: AclSpec = { rules: [rule({ direction: 'out' })], otherwise: 'deny' };
export const NOTHING: AclSpec = { rules: [], otherwise: 'deny' };

/** A gateway's policy in virtual time, seen from one peering unless told otherwise. */
export class World {
  seconds = 1000;
  peer = 1;
  acl = 0;
  rule = -1;
  /** Of the last packet. */
  begunBy = -1;
  readonly flows: FlowTableData;
  counters!: PolicyCounters;
  #policy!: Policy;

  constructor(specs: AclSpec[], flows = createFlowTable(1024, 42), attachments?: Attachments) {
    this.flows = flows;
    this.load(specs, attachments);
  }

  /** New rules, the same flows. */
  load(specs: AclSpec[], attachments?: Attachments): void {
    const program = compileAcls(specs, attachments);
    this.counters = createPolicyCounters(program);
    this.#policy = new Policy(program, this.flows, this.counters);
  }

  out(bytes: Uint8Array, count = 1): string {
    return this.#judge(bytes, OUT, count);
  }

  in(bytes: Uint8Array, count = 1): string {
    return this.#judge(bytes, IN, count);
  }

  /** From this peering, with lists `acl`, to another. */
  transit(bytes: Uint8Array, to: number, toLists: number, count = 1): string {
    const packet = parsed(bytes);
    const verdict = this.#policy.judgeTransit(packet, bytes, 0, this.peer, this.acl, to, toLists, this.seconds, count);
    return this.#told(verdict);
  }

  #told(verdict: number): string {
    this.rule = this.#policy.rule;
    this.begunBy = this.#policy.begunBy;
    return verdict === 0 ? 'pass' : DROP_REASONS[verdict];
  }

  /** The drop reason, or `pass`. The packet lies somewhere in a slab, as it does in the data plane. */
  #judge(bytes: Uint8Array, direction: number, count: number): string {
    const slab = new Uint8Array(bytes.length + 100).fill(0xee);
    slab.set(bytes, 50);
    const packet = new Packet();
    if (!packet.parse(slab, 50, bytes.length)) throw new Error('the test made a bad packet');
    const verdict = this.#policy.judge(packet, slab, 50, this.peer, this.acl, direction, this.seconds, count);
    return this.#told(verdict);
  }
}

function parsed(bytes: Uint8Array): Packet {
  const packet = new Packet();
  if (!packet.parse(bytes, 0, bytes.length)) throw new Error('the test made a bad packet');
  return packet;
}

/** Packets between a host here and one at the peer. */
export function between(here: string, there: string) {
  const v6 = here.includes(':');
  const go = (protocol: number) => (payload: Uint8Array, options?: IpOptions) =>
    ip(here, there, protocol, payload, options);
  const come = (protocol: number) => (payload: Uint8Array, options?: IpOptions) =>
    ip(there, here, protocol, payload, options);
  const icmpProtocol = v6 ? 58 : 1;
  return {
    v6,
    here,
    there,
    tcpGo: (flags: number, port = 5000) => go(6)(tcp(port, 443, flags)),
    tcpCome: (flags: number, port = 5000) => come(6)(tcp(443, port, flags)),
    udpGo: (port = 5000, options?: IpOptions) => go(17)(udp(port, 53, 16), options),
    udpCome: (port = 5000, options?: IpOptions) => come(17)(udp(53, port, 16), options),
    icmpGo: go(icmpProtocol),
    icmpCome: come(icmpProtocol),
    ask: v6 ? 128 : 8,
    answer: v6 ? 129 : 0,
  };
}

export const SIDES = [
  between('172.31.0.9', '192.168.0.1'),
  between('10.0.0.1', '200.0.0.1'),
  between('fd00::9', '2001:db8::1'),
];

export function prefix(address: string): AclPrefix {
  return {
    family: address.includes(':') ? 6 : 4,
    address: packetWords(address),
    bits: address.includes(':') ? 128 : 32,
  };
}
