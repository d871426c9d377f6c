import test from 'ava';
import { createLiveTrace, LiveTrace, takeLiveEvents, type LiveFilter } from '../../src/dataplane/live.ts';
import { Packet } from '../../src/wire/packet.ts';
import { DROP } from '../../src/wire/drop.ts';
import { echo, ip, packetWords, tcp, udp } from '../wire/packets.ts';
import { joined, packetToB, rule } from './gateways.ts';

const ANY: LiveFilter = { protocol: -1, port: -1, source: undefined, destination: undefined };

function parsed(bytes: Uint8Array): Packet {
  const packet = new Packet();
  if (!packet.parse(bytes, 0, bytes.length)) throw new Error('the test made a malformed packet');
  return packet;
}

test('both directions of what a filter says are noted, and nothing else', (t) => {
  const packets = [
    ip('172.31.0.1', '192.168.0.1', 6, tcp(1000, 443, 2)),
    ip('192.168.0.1', '172.31.0.1', 6, tcp(443, 1000, 0x12)),
    ip('172.31.0.2', '192.168.0.1', 6, tcp(1000, 443, 2)),
    ip('172.31.0.1', '192.168.0.1', 17, udp(1000, 53)),
    ip('fd00:a::1', 'fd00:b::1', 6, tcp(1000, 443, 2)),
    ip('fd00:a::2', 'fd00:b::1', 58, echo(128, 1)),
    ip('172.31.0.3', '192.168.0.1', 1, echo(8, 1)),
  ];
  const [a, b, a6] = ['172.31.0.1', '192.168.0.1', 'fd00:a::1'].map((address) => packetWords(address));
  for (const [filter, noted] of [
    [ANY, [0, 1, 2, 3, 4, 5, 6]],
    [{ ...ANY, protocol: 6 }, [0, 1, 2, 4]],
    [{ ...ANY, protocol: 1 }, [5, 6]],
    [{ ...ANY, protocol: 58 }, [5]],
    [{ ...ANY, port: 53 }, [3]],
    [{ ...ANY, source: a }, [0, 1, 3]],
    [{ ...ANY, source: b, destination: a, port: 443 }, [0, 1]],
    [{ ...ANY, destination: a6 }, [4]],
  ] as const) {
    const data = createLiveTrace(filter);
    const live = new LiveTrace();
    live.use(data);
    for (const [number, bytes] of packets.entries()) live.note(parsed(bytes), 0, 1, 0, -1, number + 1);
    const { events, lost } = takeLiveEvents(data);
    t.deepEqual([events.map(({ count }) => count - 1), lost], [[...noted], 0]);
  }
});

test('the ring is bounded: what finds no room is counted, and reading makes room', (t) => {
  const data = createLiveTrace(ANY);
  const live = new LiveTrace();
  live.use(data);
  const packet = parsed(packetToB());
  for (let number = 0; number < 1500; number++) live.note(packet, 0, 1, 0, -1, number);
  const { events, lost } = takeLiveEvents(data);
  t.deepEqual([events.length, events[0].count, events.at(-1)?.count, lost], [1024, 0, 1023, 476]);
  live.note(packet, 0, 1, 0, -1, 9);
  t.deepEqual(
    takeLiveEvents(data).events.map(({ count }) => count),
    [9],
  );
  live.use(undefined);
  live.note(packet, 0, 1, 0, -1, 9);
  t.deepEqual(takeLiveEvents(data).events, []);
});

test('the data plane notes what it decided, where the packet came from and where it went', (t) => {
  const { underlay, a, b } = joined({ acls: [{ rules: [rule({ protocol: 17 })], otherwise: 'deny' }] });
  const [out, into] = [a, b].map((node) => node.follow(ANY));
  a.send(packetToB(), ip('172.31.0.1', '192.168.0.1', 6, tcp(1, 2, 2)));
  underlay.run(50);
  const local = 1 << 30;
  const [passed, denied] = takeLiveEvents(out.outbound).events;
  t.like(passed, { from: -1, target: 0, reason: 0, rule: 0, protocol: 17, sourcePort: 1000, destinationPort: 2000 });
  t.like(denied, { from: -1, target: 0, reason: DROP['acl-default'], rule: -1, protocol: 6, tcpFlags: 2 });
  t.like(takeLiveEvents(into.inbound).events, [{ from: 0, target: local, reason: 0, count: 1 }]);
  t.deepEqual(takeLiveEvents(out.inbound).events, []);
});
