import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { createCounters } from '../../src/dataplane/counters.ts';
import { Inbound } from '../../src/dataplane/inbound.ts';
import { SHARED } from '../../src/dataplane/messages.ts';
import { Outbound } from '../../src/dataplane/outbound.ts';
import { BUFFER } from '../../src/nic/layout.ts';
import { memoryEndpoints, memoryInbound, memoryOutbound } from '../../src/nic/memory.ts';
import { keys } from '../../src/nic/native.ts';
import { compileAcls } from '../../src/policy/acl.ts';
import { createFlowLogTable } from '../../src/policy/flow-log-table.ts';
import { createFlowTable } from '../../src/policy/flow-table.ts';
import { createPolicyCounters } from '../../src/policy/counters.ts';
import { createClassCounters, type ShapeSpec } from '../../src/policy/shaper.ts';
import { buildPrefixTable } from '../../src/routing/prefix-table.ts';
import { singleTable } from '../../src/routing/routing.ts';
import { LOCAL } from '../../src/routing/target.ts';
import { parsePrefix } from '../../src/routing/prefix.ts';
import { endpointFrom } from '../../src/wire/endpoint.ts';
import { ip, udp } from '../wire/packets.ts';
import { rule } from './gateways.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const heapUsed = () => process.memoryUsage().heapUsed;

const BATCH = 256;
const FLOWS = 1000;
const PACKETS = [
  { bytes: ip('172.31.0.1', '192.168.0.1', 17, udp(0, 53, 8)), portAt: 20 },
  { bytes: ip('fd00:a::1', 'fd00:b::1', 17, udp(0, 53, 8)), portAt: 40 },
];
/** Room for one sealed. */
const DATAGRAM = 128;
const WIDE: ShapeSpec = {
  rate: 1e12,
  burst: 1e9,
  classes: [{ name: 'all', dscp: [], priority: 1, weight: 1, rate: 0 }],
};
const FROM = endpointFrom('192.0.2.1', 51820);
const A = ['172.31.0.0/16', 'fd00:a::/32'];
const B = ['192.168.0.0/16', 'fd00:b::/32'];

/** Gateway a's outbound and gateway b's inbound direction, with a wire of one batch between them. */
function oneWay() {
  const wire = new Uint8Array(BATCH * DATAGRAM);
  const lengths = new Int32Array(BATCH);
  const count = { toRead: 0, read: 0, onWire: 0, received: 0, written: 0 };
  const outboundQueue = memoryOutbound({
    read: (slab, offset) => {
      if (count.toRead === 0) return 0;
      count.toRead--;
      const number = count.read++;
      const { bytes, portAt } = PACKETS[number & 1];
      slab.set(bytes, offset);
      slab[offset + portAt] = (number % FLOWS) >>> 8;
      slab[offset + portAt + 1] = number % FLOWS;
      return bytes.length;
    },
    send: (bytes, offset, length) => {
      const to = count.onWire * DATAGRAM;
      for (let at = 0; at < length; at++) wire[to + at] = bytes[offset + at];
      lengths[count.onWire++] = length;
      return true;
    },
  });
  const inboundQueue = memoryInbound({
    receive: (slab, offset, buffers, buffer) => {
      if (count.received === count.onWire) return -1;
      const from = count.received * DATAGRAM;
      const length = lengths[count.received++];
      for (let at = 0; at < length; at++) slab[offset + at] = wire[from + at];
      buffers.set(FROM, buffer + BUFFER.endpoint);
      return length;
    },
    write: () => {
      count.written++;
      return true;
    },
  });
  const shared = new Int32Array(new SharedArrayBuffer(SHARED.words * 4));
  const outbound = new Outbound(outboundQueue, createCounters(), () => undefined);
  const inbound = new Inbound(inboundQueue, createCounters(), memoryEndpoints(), shared, () => undefined);
  outbound.apply({ type: 'routing', routing: routes(A, B) });
  inbound.apply({ type: 'routing', routing: routes(B, A) });
  const rules = [rule({ protocol: 6 }), rule({ protocol: 17, ports: [[53, 53]], rate: 1e12, perFlow: 1e12 })];
  const program = compileAcls([{ rules, otherwise: 'deny' }]);
  for (const direction of [outbound, inbound]) {
    const counters = createPolicyCounters(program);
    direction.apply({ type: 'policy', program, flows: createFlowTable(1 << 12, 1), counters });
    direction.apply({ type: 'socket', fd: 1, gso: true });
    direction.apply({ type: 'peer', slot: 0, acl: 0 });
    // A shape that holds nothing back.
    direction.apply({ type: 'shape', slot: 0, spec: WIDE, counters: createClassCounters() });
    direction.apply({ type: 'flowLog', into: createFlowLogTable(1 << 12, 1) });
  }
  const [send, receive] = [true, false].map((seals) => keys.setKey('aes-256-gcm', new Uint8Array(32), seals));
  outbound.apply({ type: 'sendKey', slot: 0, key: send, receiver: 77, expiresAt: Infinity });
  inbound.apply({ type: 'receiveKey', slot: 0, key: receive, index: 77, confirmed: true, expiresAt: Infinity });

  let now = 1000;
  const run = (packets: number) => {
    for (let left = packets; left > 0; left -= BATCH) {
      outboundQueue.clock[0] = inboundQueue.clock[0] = now += 0.25;
      count.toRead = BATCH;
      count.onWire = count.received = 0;
      outbound.round();
      while (inbound.round() > 0);
    }
  };
  return { run, count };
}

function routes(inside: string[], outside: string[]) {
  const table = buildPrefixTable([
    ...inside.map((cidr) => ({ ...parsePrefix(cidr), value: LOCAL })),
    ...outside.map((cidr) => ({ ...parsePrefix(cidr), value: 0 })),
  ]);
  return singleTable(table, 1);
}

test('a million packets go through each direction and nothing is allocated', (t) => {
  const { run, count } = oneWay();
  run(300_000);
  collectGarbage();
  const start = heapUsed();
  const grown: number[] = [];
  const quiet = (): number => grown.filter((bytes) => bytes < 100_000).length;
  // Less than a byte a packet. Now and then code is compiled anew, late on a busy machine; what a packet allocates would
  // show in every round.
  while (grown.length < 10 || (quiet() < 6 && grown.length < 60)) {
    collectGarbage();
    const before = heapUsed();
    run(100_000);
    grown.push(heapUsed() - before);
  }
  collectGarbage();
  t.true(count.read > 1_300_000);
  t.is(count.written, count.read);
  t.true(heapUsed() - start < 1 << 20);
  t.true(quiet() >= 6, `bytes a round: ${grown.join(' ')}`);
});
