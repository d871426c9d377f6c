import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { compileAcls } from '../../src/policy/acl.ts';
import { createFlowTable } from '../../src/policy/flow-table.ts';
import { createPolicyCounters } from '../../src/policy/counters.ts';
import { IN, OUT } from '../../src/policy/direction.ts';
import { Policy } from '../../src/policy/policy.ts';
import { Packet } from '../../src/wire/packet.ts';
import { buildPrefixTable, PrefixTable } from '../../src/routing/prefix-table.ts';
import { echo, icmp, ip, quoting, tcp, udp } from '../wire/packets.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const REQUEST = ip('10.0.0.1', '192.168.0.1', 17, udp(1, 53));
const PACKETS: [Uint8Array, number][] = [
  [REQUEST, OUT],
  [ip('192.168.0.1', '10.0.0.1', 17, udp(53, 1)), IN],
  [ip('fd00::1', 'fd00::2', 6, tcp(9, 443, 16)), OUT],
  [ip('10.0.0.1', '192.168.0.1', 1, echo(8, 1)), OUT],
  [ip('192.168.0.1', '10.0.0.1', 1, icmp(3, 1, quoting(REQUEST))), IN],
  [ip('192.168.0.1', '10.0.0.1', 17, udp(7, 7)), IN],
  [ip('10.0.0.1', '192.168.0.1', 17, udp(1, 2), { fragment: { offset: 0, more: true, id: 1 } }), OUT],
  [ip('10.0.0.1', '192.168.0.1', 17, udp(1, 2), { fragment: { offset: 80, more: true, id: 1 } }), OUT],
];

test('a million packets are looked up and judged and nothing is allocated', (t) => {
  const any = { name: '', protocol: -1, sources: [], destinations: [], ports: [], icmpType: -1, icmpCode: -1 } as const;
  const program = compileAcls([
    {
      rules: [
        { ...any, action: 'allow', direction: 'out' },
        { ...any, action: 'deny', direction: 'both' },
      ],
      otherwise: 'deny',
    },
  ]);
  const policy = new Policy(program, createFlowTable(1024, 1), createPolicyCounters(program));
  const routes = new PrefixTable(
    buildPrefixTable([
      { family: 4, address: [0, 0, 0, 10 << 24], bits: 8, value: 1 },
      { family: 6, address: [0xfd000000 | 0, 0, 0, 0], bits: 8, value: 2 },
    ]),
  );
  const packet = new Packet();
  let passed = 0;
  const run = (count: number) => {
    for (let turn = 0; turn < count; turn++) {
      const [bytes, direction] = PACKETS[turn & 7];
      // Ports change, so that flows begin, and time goes on, so that they end.
      if ((turn & 7) === 0) bytes[21] = turn >>> 3;
      if (!packet.parse(bytes, 0, bytes.length)) continue;
      if (routes.lookup(packet.version, packet.src0, packet.src1, packet.src2, packet.src3) === 9) continue;
      if (policy.judge(packet, bytes, 0, 1, 0, direction, (turn / 1000) | 0, 1) === 0) passed++;
    }
  };
  const start = passed;
  run(200_000);
  const grown: number[] = [];
  const quiet = (): number => grown.filter((bytes) => bytes < 100_000).length;
  // In rounds that are shorter than what fills a young generation, so that no allocation is collected unseen. Now and then
  // code is compiled anew, late on a busy machine; what a packet allocates would show in every round.
  while (grown.length < 10 || (quiet() < 6 && grown.length < 60)) {
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    run(100_000);
    grown.push(process.memoryUsage().heapUsed - before);
  }
  t.true(passed > start + 600_000);
  t.true(quiet() >= 6, `bytes a round: ${grown.join(' ')}`);
});
