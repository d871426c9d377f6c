import test from 'ava';
import { AnswerLimiter, ICMP_ERROR, mayBeAnswered, writeIcmpError } from '../../src/wire/icmp.ts';
import { Packet } from '../../src/wire/packet.ts';
import { echo, icmp, ip, packetWords, quoting, tcp, udp } from './packets.ts';
import { onesSum } from './sums.ts';

const FROM = { ipv4: Int32Array.from(packetWords('10.8.0.1')), ipv6: Int32Array.from(packetWords('fd00:8::1')) };

function parse(bytes: Uint8Array): Packet {
  const packet = new Packet();
  if (!packet.parse(bytes, 0, bytes.length)) throw new Error('the test made a malformed packet');
  return packet;
}

function answer(error: number, bytes: Uint8Array, mtu = 0, from = FROM): Uint8Array {
  const out = new Uint8Array(2000).fill(0xaa);
  return out.slice(0, writeIcmpError(out, error, parse(bytes), bytes, 0, from, mtu));
}

const small = {
  4: ip('172.31.0.1', '192.168.0.1', 17, udp(1, 2, 5)),
  6: ip('fd00:a::1', 'fd00:b::1', 17, udp(1, 2, 5)),
};
const large = {
  4: ip('172.31.0.1', '192.168.0.1', 17, udp(1, 2, 3000)),
  6: ip('fd00:a::1', 'fd00:b::1', 17, udp(1, 2, 3000)),
};

for (const [name, error, type4, code4, type6, code6] of [
  ['time exceeded (RFC 792; RFC 4443 §3.3)', ICMP_ERROR.timeExceeded, 11, 0, 3, 0],
  ['no route (RFC 792; RFC 4443 §3.1)', ICMP_ERROR.noRoute, 3, 0, 1, 0],
  ['too big (RFC 1191 §4; RFC 4443 §3.2)', ICMP_ERROR.tooBig, 3, 4, 2, 0],
] as const) {
  test(`${name}: type, code, addresses, quotation and checksums`, (t) => {
    const mtu = error === ICMP_ERROR.tooBig ? 1420 : 0;
    for (const bytes of [small[4], large[4]]) {
      const told = answer(error, bytes, mtu);
      const quoted = Math.min(bytes.length, 576 - 28);
      t.is(told.length, 28 + quoted);
      t.deepEqual(told.subarray(12, 20), Uint8Array.of(10, 8, 0, 1, 172, 31, 0, 1));
      t.deepEqual([...told.subarray(20, 22), (told[26] << 8) | told[27]], [type4, code4, mtu]);
      t.deepEqual(told.subarray(28), bytes.subarray(0, quoted));
      t.is(onesSum(told.subarray(0, 20)), 0xffff);
      t.is(onesSum(told.subarray(20)), 0xffff);
      t.is(parse(told).length, told.length);
    }
    for (const bytes of [small[6], large[6]]) {
      const told = answer(error, bytes, mtu);
      const quoted = Math.min(bytes.length, 1280 - 48);
      const packet = parse(told);
      t.deepEqual([packet.dst0, packet.dst1, packet.dst2, packet.dst3], packetWords('fd00:a::1'));
      t.deepEqual([packet.src0, packet.src1, packet.src2, packet.src3], packetWords('fd00:8::1'));
      t.deepEqual([packet.protocol, packet.icmpType, packet.icmpCode], [58, type6, code6]);
      t.is((told[46] << 8) | told[47], mtu);
      t.deepEqual(told.subarray(48), bytes.subarray(0, quoted));
      const body = told.subarray(40);
      t.is(onesSum([...told.subarray(8, 40), 0, 0, body.length >> 8, body.length & 255, 0, 0, 0, 58, ...body]), 0xffff);
    }
  });
}

test('there is no answer from a gateway without an address of the family', (t) => {
  const none = { ipv4: new Int32Array(4), ipv6: new Int32Array(4) };
  for (const family of [4, 6] as const) t.is(answer(ICMP_ERROR.noRoute, small[family], 0, none).length, 0);
});

for (const [what, bytes, answered] of [
  ['TCP', ip('172.31.0.1', '192.168.0.1', 6, tcp(1, 2, 2)), true],
  ['an echo request', ip('172.31.0.1', '192.168.0.1', 1, echo(8, 1)), true],
  ['an echo request of IPv6', ip('fd00::1', 'fd00::2', 58, echo(128, 1)), true],
  ['an unreachable', ip('172.31.0.1', '192.168.0.1', 1, icmp(3, 1, quoting(small[4]))), false],
  ['a time exceeded', ip('172.31.0.1', '192.168.0.1', 1, icmp(11, 0, quoting(small[4]))), false],
  ['a redirect', ip('172.31.0.1', '192.168.0.1', 1, icmp(5, 0, quoting(small[4]))), false],
  ['a packet too big', ip('fd00::1', 'fd00::2', 58, icmp(2, 0, quoting(small[6]))), false],
  ['a redirect of IPv6', ip('fd00::1', 'fd00::2', 58, icmp(137, 0, quoting(small[6]))), false],
  [
    'a first fragment',
    ip('172.31.0.1', '192.168.0.1', 17, udp(1, 2, 8), { fragment: { offset: 0, more: true, id: 1 } }),
    true,
  ],
  [
    'a later fragment',
    ip('172.31.0.1', '192.168.0.1', 17, udp(1, 2, 8), { fragment: { offset: 8, more: true, id: 1 } }),
    false,
  ],
  [
    'a later fragment of IPv6',
    ip('fd00::1', 'fd00::2', 17, udp(1, 2, 8), { fragment: { offset: 8, more: true, id: 1 } }),
    false,
  ],
  ['a packet from nobody', ip('0.0.0.0', '192.168.0.1', 17, udp(1, 2)), false],
  ['a packet from loopback', ip('127.0.0.1', '192.168.0.1', 17, udp(1, 2)), false],
  ['a packet from a group', ip('224.0.0.1', '192.168.0.1', 17, udp(1, 2)), false],
  ['a packet from everybody', ip('255.255.255.255', '192.168.0.1', 17, udp(1, 2)), false],
  ['a packet to a group', ip('172.31.0.1', '239.1.2.3', 17, udp(1, 2)), false],
  ['a packet to everybody', ip('172.31.0.1', '255.255.255.255', 17, udp(1, 2)), false],
  ['a packet from :: of IPv6', ip('::', 'fd00::2', 17, udp(1, 2)), false],
  ['a packet from ::1', ip('::1', 'fd00::2', 17, udp(1, 2)), false],
  ['a packet from a group of IPv6', ip('ff02::1', 'fd00::2', 17, udp(1, 2)), false],
  ['a packet to a group of IPv6', ip('fd00::1', 'ff02::1', 17, udp(1, 2)), false],
] as const) {
  test(`${what} is ${answered ? '' : 'not '}answered (RFC 1812 §4.3.2.7, RFC 4443 §2.4)`, (t) => {
    t.is(mayBeAnswered(parse(bytes)), answered);
  });
}

test('each peer is told of 50 errors at once and of 100 a second, whatever the others are told', (t) => {
  const limiter = new AnswerLimiter(2);
  const taken = (slot: number, now: number) =>
    Array.from({ length: 200 }, () => limiter.take(slot, now)).filter(Boolean).length;
  t.is(taken(0, 1000), 50);
  t.is(taken(1, 1000), 50);
  t.is(taken(0, 1100), 10);
  t.is(taken(0, 61_000), 50);
});
