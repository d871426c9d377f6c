import test from 'ava';
import { ROW } from '../../src/nic/layout.ts';
import { IN, OUT } from '../../src/policy/direction.ts';
import {
  FLOW_ENTRY,
  FLOW_LOG_STATE,
  createFlowLogTable,
  directionOf,
  reasonOf,
  type FlowLogData,
} from '../../src/policy/flow-log-table.ts';
import { DROP_REASONS } from '../../src/wire/drop.ts';
import { seeded } from '../session/world.ts';
import { echo, ip, tcp, udp } from '../wire/packets.ts';
import { joined, rule } from './gateways.ts';
import type { Node } from './node.ts';

const SEED = 20;

/** Lets a node note what it sees; gives its two tables. */
function watch(node: Node, capacity = 1024): { outbound: FlowLogData; inbound: FlowLogData } {
  const tables = { outbound: createFlowLogTable(capacity, 1), inbound: createFlowLogTable(capacity, 2) };
  node.outbound.apply({ type: 'flowLog', into: tables.outbound });
  node.inbound.apply({ type: 'flowLog', into: tables.inbound });
  for (const direction of [node.outbound, node.inbound]) direction.apply({ type: 'flowRules', base: 100 });
  return tables;
}

interface Sums {
  accepted: number;
  acceptedBytes: number;
  /** Packets by drop reason. */
  rejected: Record<string, number>;
}

function sumsOf({ entries, sums, state, skipped }: FlowLogData): Sums {
  const result: Sums = { accepted: 0, acceptedBytes: 0, rejected: {} };
  for (let number = 0; number < state[FLOW_LOG_STATE.count]; number++) {
    const reason = DROP_REASONS[reasonOf(entries[number * FLOW_ENTRY.words])];
    if (reason === 'none') {
      result.accepted += sums[number * 2];
      result.acceptedBytes += sums[number * 2 + 1];
    } else result.rejected[reason] = (result.rejected[reason] ?? 0) + sums[number * 2];
  }
  if (skipped[0] > 0) result.rejected['skipped'] = skipped[0];
  return result;
}

const bytesOf = (packets: Uint8Array[]): number => packets.reduce((sum, { length }) => sum + length, 0);

test(`sums of packets and bytes equal the data plane's counters over random traffic, in both threads (seed ${SEED})`, (t) => {
  const web = rule({ name: 'web', protocol: 6, ports: [[0, 3]] });
  const dns = rule({ name: 'dns', direction: 'out', protocol: 17, ports: [[0, 3]] });
  const { underlay, a, b } = joined({ acls: [{ rules: [web, dns], otherwise: 'deny' }] });
  const [seenA, seenB] = [watch(a), watch(b)];
  const [sentBefore, receivedBefore] = [a.traffic(0).sent, b.traffic(0).received];
  const random = seeded(SEED);
  const sent: Uint8Array[] = [];
  for (let round = 0; round < 300; round++) {
    const batch = Array.from({ length: 10 }, () => {
      const [host, port, kind, size, spoof] = random(5);
      const from = spoof < 8 ? '10.99.0.1' : `172.31.0.${host & 3}`;
      const to = spoof > 247 ? '10.99.0.1' : `192.168.0.${host & 3}`;
      if ((kind & 7) === 0) return ip('fd00:a::1', `fd00:b::${host & 3}`, 17, udp(9, port & 7, size));
      if ((kind & 7) === 1) return ip(from, to, 1, echo(8, port & 7));
      return ip(from, to, kind & 8 ? 6 : 17, kind & 8 ? tcp(9, port & 7, 16, size) : udp(9, port & 7, size));
    });
    sent.push(...batch);
    a.send(...batch);
    underlay.run(5);
  }
  // A super-packet counts as the packets that it becomes, each with its headers.
  const words = { [ROW.gso]: 1, [ROW.segmentSize]: 1000, [ROW.header]: 40, [ROW.segments]: 4 };
  const before = b.received.length;
  a.sendRow(ip('172.31.0.1', '192.168.0.1', 6, tcp(9, 1, 16, 3500)), words);
  underlay.run(5);
  t.is(b.received.length - before, 4);

  const drops = { ...a.drops(0) };
  for (const [reason, count] of Object.entries(a.drops())) drops[reason] = (drops[reason] ?? 0) + count;
  const outbound = sumsOf(seenA.outbound);
  t.is(outbound.accepted, a.traffic(0).sent - sentBefore);
  t.deepEqual(outbound.rejected, drops);
  t.true(Object.keys(drops).length >= 3, Object.keys(drops).join());
  const all = outbound.accepted + Object.values(outbound.rejected).reduce((sum, count) => sum + count, 0);
  t.is(all, sent.length + 4);

  const inbound = sumsOf(seenB.inbound);
  t.is(inbound.accepted, b.traffic(0).received - receivedBefore);
  t.is(inbound.accepted, b.received.length);
  t.is(inbound.acceptedBytes, bytesOf(b.received));
  t.deepEqual(inbound.rejected, b.drops(0));
  t.is(outbound.accepted, inbound.accepted + (b.drops(0)['acl-default'] ?? 0));
});

test('a record has the direction, the peer and the rule; what is handed on is written no more', (t) => {
  const { underlay, a, b } = joined({ acls: [{ rules: [rule({ name: 'all' })], otherwise: 'deny' }] });
  const [seenA, seenB] = [watch(a), watch(b)];
  const packet = ip('172.31.0.1', '192.168.0.1', 17, udp(1, 2, 3));
  a.send(packet);
  underlay.run(5);
  for (const [data, direction] of [
    [seenA.outbound, OUT],
    [seenB.inbound, IN],
  ] as const) {
    t.is(data.state[FLOW_LOG_STATE.count], 1);
    t.is(directionOf(data.entries[FLOW_ENTRY.kind]), direction);
    t.is(data.entries[FLOW_ENTRY.peer], 0);
    t.is(data.entries[FLOW_ENTRY.rule], 100);
    t.is(data.state[FLOW_LOG_STATE.released], 0);
  }
  const next = watch(a);
  t.is(seenA.outbound.state[FLOW_LOG_STATE.released], 1);
  a.send(packet);
  t.is(seenA.outbound.sums[0], 1);
  t.is(next.outbound.sums[0], 1);
  a.outbound.apply({ type: 'flowLog', into: undefined });
  a.send(packet);
  t.is(next.outbound.sums[0], 1);
  t.is(next.outbound.state[FLOW_LOG_STATE.released], 1);
});
