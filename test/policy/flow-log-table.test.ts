import test from 'ava';
import { IN, OUT } from '../../src/policy/direction.ts';
import {
  FLOW_ENTRY,
  FLOW_LOG_STATE,
  FlowLogTable,
  clearFlowLogTable,
  createFlowLogTable,
  directionOf,
  protocolOf,
  reasonOf,
  versionOf,
  type FlowLogData,
} from '../../src/policy/flow-log-table.ts';
import { DROP } from '../../src/wire/drop.ts';
import { Packet, TCP_FLAG } from '../../src/wire/packet.ts';
import { seeded } from '../session/world.ts';
import { echo, ip, tcp, udp } from '../wire/packets.ts';

const { fin, syn, rst, psh, ack } = TCP_FLAG;

function parsed(bytes: Uint8Array): Packet {
  const packet = new Packet();
  if (!packet.parse(bytes, 0, bytes.length)) throw new Error('a malformed packet in a test');
  return packet;
}

function rows(data: FlowLogData) {
  return Array.from({ length: data.state[FLOW_LOG_STATE.count] }, (_, number) => {
    const entry = data.entries.subarray(number * FLOW_ENTRY.words, (number + 1) * FLOW_ENTRY.words);
    const kind = entry[FLOW_ENTRY.kind];
    return {
      version: versionOf(kind),
      protocol: protocolOf(kind),
      direction: directionOf(kind),
      reason: reasonOf(kind),
      peer: entry[FLOW_ENTRY.peer],
      ports: [entry[FLOW_ENTRY.ports] >>> 16, entry[FLOW_ENTRY.ports] & 0xffff],
      flags: entry[FLOW_ENTRY.tcpFlags],
      rule: entry[FLOW_ENTRY.rule],
      seen: [entry[FLOW_ENTRY.first], entry[FLOW_ENTRY.last]],
      sums: [...data.sums.subarray(number * 2, number * 2 + 2)],
    };
  });
}

test('One record per direction, flow and interval, with first and last packet', (t) => {
  const data = createFlowLogTable(64, 1);
  const table = new FlowLogTable(data);
  const there = parsed(ip('172.31.0.1', '192.168.0.1', 17, udp(40_000, 53, 8)));
  const back = parsed(ip('192.168.0.1', '172.31.0.1', 17, udp(53, 40_000, 8)));
  table.add(there, 3, OUT, 0, 7, 1, 36, 100);
  table.add(back, 3, IN, 0, -1, 2, 300, 101);
  table.add(there, 3, OUT, 0, -1, 45, 64_000, 130);
  table.add(there, 3, OUT, DROP['acl-rule'], 8, 1, 36, 131);
  table.add(there, 4, OUT, 0, -1, 1, 36, 131);
  const same = { version: 4, protocol: 17, flags: 0 };
  t.deepEqual(rows(data), [
    { ...same, direction: OUT, reason: 0, peer: 3, ports: [40_000, 53], rule: 7, seen: [100, 130], sums: [46, 64_036] },
    { ...same, direction: IN, reason: 0, peer: 3, ports: [53, 40_000], rule: -1, seen: [101, 101], sums: [2, 300] },
    {
      ...same,
      direction: OUT,
      reason: DROP['acl-rule'],
      peer: 3,
      ports: [40_000, 53],
      rule: 8,
      seen: [131, 131],
      sums: [1, 36],
    },
    { ...same, direction: OUT, reason: 0, peer: 4, ports: [40_000, 53], rule: -1, seen: [131, 131], sums: [1, 36] },
  ]);
});

test("ICMP's ports are 0", (t) => {
  const data = createFlowLogTable(8, 1);
  new FlowLogTable(data).add(parsed(ip('172.31.0.1', '192.168.0.1', 1, echo(8, 4711))), 0, OUT, 0, -1, 1, 28, 1);
  new FlowLogTable(data).add(parsed(ip('fd00:a::1', 'fd00:b::1', 58, echo(128, 4711))), 0, OUT, 0, -1, 1, 48, 1);
  t.deepEqual(
    rows(data).map(({ version, protocol, ports }) => [version, protocol, ports]),
    [
      [4, 1, [0, 0]],
      [6, 58, [0, 0]],
    ],
  );
});

for (const [name, flags, recorded] of [
  ['SYN 2', [syn], 2],
  ['SYN-ACK 18', [syn | ack], 18],
  ['FIN 1', [ack, ack | psh, fin | ack], 1],
  ['RST 4', [rst | ack], 4],
  ['a short connection of a client: SYN and FIN', [syn, ack, fin | ack], 3],
  ['of its server: SYN-ACK and FIN', [syn | ack, ack | psh, fin | ack], 19],
  ['no more than an ACK', [ack, ack | psh], 0],
] as const) {
  test(`tcp-flags: FIN 1, SYN 2, RST 4, SYN-ACK 18, OR-ed over the interval: ${name}`, (t) => {
    const data = createFlowLogTable(8, 1);
    const table = new FlowLogTable(data);
    for (const each of flags) table.add(parsed(ip('10.0.0.1', '10.0.0.2', 6, tcp(1, 2, each))), 0, IN, 0, -1, 1, 40, 1);
    t.deepEqual(rows(data)[0].flags, recorded);
  });
}

test('a full table skips, and recorded and skipped packets together are all', (t) => {
  const data = createFlowLogTable(16, 1);
  const table = new FlowLogTable(data);
  for (let port = 1; port <= 100; port++) {
    table.add(parsed(ip('10.0.0.1', '10.0.0.2', 17, udp(port, 53))), 0, OUT, 0, -1, port, port * 28, 1);
  }
  const recorded = rows(data).reduce((sum, row) => sum + row.sums[0], 0);
  t.is(rows(data).length, 16);
  t.is(recorded + data.skipped[0], 5050);
  t.is(rows(data).reduce((sum, row) => sum + row.sums[1], 0) + data.skipped[1], 5050 * 28);
  clearFlowLogTable(data);
  t.deepEqual(rows(data), []);
  t.deepEqual([...data.skipped], [0, 0]);
  new FlowLogTable(data).add(parsed(ip('10.0.0.1', '10.0.0.2', 17, udp(1, 53))), 0, OUT, 0, -1, 1, 28, 9);
  t.like(rows(data)[0], { seen: [9, 9], sums: [1, 28] });
});

const SEED = 4711;
test(`random flows of both families are told apart, and another table takes them over (seed ${SEED})`, (t) => {
  const data = createFlowLogTable(4096, SEED);
  const table = new FlowLogTable(data);
  const random = seeded(SEED);
  const sums = new Map<string, number>();
  for (let round = 0; round < 20_000; round++) {
    const [a, b, port, family, reason] = random(5);
    const packet =
      family & 1
        ? ip(`10.0.${a & 7}.1`, `10.1.0.${b & 7}`, 17, udp(port & 7, 9))
        : ip(`fd00:${a & 7}::1`, `fd01::${b & 7}`, 6, tcp(port & 7, 9, ack));
    const verdict = reason & 1 ? DROP['acl-default'] : 0;
    table.add(parsed(packet), a & 1, IN, verdict, -1, 1, packet.length, round);
    const key = `${family & 1} ${a & 7} ${b & 7} ${port & 7} ${verdict}`;
    sums.set(key, (sums.get(key) ?? 0) + packet.length);
  }
  const byValue = (x: number, y: number) => x - y;
  t.deepEqual(
    rows(data)
      .map(({ sums: [, bytes] }) => bytes)
      .sort(byValue),
    [...sums.values()].sort(byValue),
  );

  const copy = createFlowLogTable(4096, SEED + 1);
  const other = new FlowLogTable(copy);
  for (let number = 0; number < sums.size; number++) other.absorb(data, number);
  t.deepEqual(rows(copy), rows(data));
  for (let number = 0; number < sums.size; number++) t.is(other.find(data, number), number);
  for (let number = 0; number < sums.size; number++) other.absorb(data, number);
  t.is(copy.state[FLOW_LOG_STATE.count], sums.size);
  t.is(rows(copy)[5].sums[1], 2 * rows(data)[5].sums[1]);
});
