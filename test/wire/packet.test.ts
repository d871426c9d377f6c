import test from 'ava';
import fc from 'fast-check';
import { DROP } from '../../src/wire/drop.ts';
import { FRAGMENT, Packet, PROTOCOL, TCP_FLAG } from '../../src/wire/packet.ts';
import { echo, icmp, ip, packetWords, quoting, tcp, udp } from './packets.ts';

const V4 = ['10.0.0.1', '203.0.113.200'] as const;
const V6 = ['2001:db8::1', 'fd00:ffff::8000:1'] as const;

function parsed(bytes: Uint8Array): Packet | undefined {
  const packet = new Packet();
  return packet.parse(bytes, 0, bytes.length) ? packet : undefined;
}

/** Everything a reader may ask of a packet. */
function fields(packet: Packet): Record<string, number> {
  return Object.fromEntries(Object.entries(packet));
}

for (const [from, to] of [V4, V6]) {
  const version = from.includes(':') ? 6 : 4;
  const header = version === 4 ? 20 : 40;

  test(`IPv${version}: addresses, protocol and ports`, (t) => {
    for (const [protocol, payload] of [
      [PROTOCOL.tcp, tcp(443, 65535, TCP_FLAG.syn)],
      [PROTOCOL.udp, udp(443, 65535)],
      [PROTOCOL.udplite, udp(443, 65535)],
      [PROTOCOL.sctp, tcp(443, 65535, 0)],
      [PROTOCOL.dccp, tcp(443, 65535, 0)],
    ] as const) {
      const packet = parsed(ip(from, to, protocol, payload))!;
      t.deepEqual([packet.src0, packet.src1, packet.src2, packet.src3], packetWords(from));
      t.deepEqual([packet.dst0, packet.dst1, packet.dst2, packet.dst3], packetWords(to));
      t.like(packet, {
        version,
        protocol,
        srcPort: 443,
        dstPort: 65535,
        icmpType: -1,
        icmpCode: -1,
        upperOffset: header,
      });
      t.is(packet.length, header + payload.length);
      t.is(packet.tcpFlags, protocol === PROTOCOL.tcp ? TCP_FLAG.syn : 0);
    }
  });

  test(`IPv${version}: ICMP type, code and the identifier of an echo`, (t) => {
    const protocol = version === 4 ? PROTOCOL.icmp : PROTOCOL.icmpv6;
    const type = version === 4 ? 8 : 128;
    t.like(parsed(ip(from, to, protocol, echo(type, 0xbeef))), {
      icmpType: type,
      icmpCode: 0,
      icmpId: 0xbeef,
      dstPort: 0,
    });
    const error = icmp(version === 4 ? 3 : 1, 4, quoting(ip(to, from, PROTOCOL.udp, udp(1, 2))));
    t.like(parsed(ip(from, to, protocol, error)), { icmpType: version === 4 ? 3 : 1, icmpCode: 4, icmpId: 0 });
  });

  test(`IPv${version}: a protocol without ports, and one that is unknown`, (t) => {
    for (const protocol of [4, 41, 47, 50, 59, 253]) {
      t.like(parsed(ip(from, to, protocol, new Uint8Array(3))), {
        protocol,
        srcPort: 0,
        dstPort: 0,
        upperOffset: header,
      });
    }
  });

  test(`IPv${version}: fragments`, (t) => {
    const payload = udp(53, 4000, 8);
    const first = ip(from, to, PROTOCOL.udp, payload, { fragment: { offset: 0, more: true, id: 0xabcd } });
    t.like(parsed(first), { fragment: FRAGMENT.first, fragmentId: 0xabcd, dstPort: 4000, protocol: PROTOCOL.udp });
    for (const more of [true, false]) {
      const later = ip(from, to, PROTOCOL.udp, payload, { fragment: { offset: 1480, more, id: 0xabcd } });
      t.like(parsed(later), { fragment: FRAGMENT.later, fragmentId: 0xabcd, srcPort: 0, dstPort: 0 });
    }
    const alone = ip(from, to, PROTOCOL.udp, payload, { fragment: { offset: 0, more: false, id: 0xabcd } });
    t.like(parsed(alone), { fragment: FRAGMENT.whole, dstPort: 4000 });
  });

  test(`IPv${version}: a fragment that cuts or overwrites the TCP header is malformed`, (t) => {
    const header = tcp(1, 2, TCP_FLAG.ack);
    const cut = (offset: number, length: number) =>
      ip(from, to, PROTOCOL.tcp, header.subarray(0, length), { fragment: { offset, more: true, id: 7 } });
    t.is(parsed(cut(0, 16)), undefined);
    t.is(parsed(cut(8, 16)), undefined);
    t.not(parsed(cut(0, 20)), undefined);
    t.not(parsed(cut(16, 16)), undefined);
  });

  test(`IPv${version}: cut anywhere it is malformed, with more behind it it is not`, (t) => {
    const bytes = ip(from, to, PROTOCOL.tcp, tcp(1, 2, TCP_FLAG.ack, 4));
    const packet = new Packet();
    for (let length = 0; length < bytes.length; length++) t.false(packet.parse(bytes, 0, length), `${length} bytes`);
    const padded = new Uint8Array(bytes.length + 12);
    padded.set(bytes);
    t.true(packet.parse(padded, 0, padded.length));
    t.is(packet.length, bytes.length);
  });

  test(`IPv${version}: what an ICMP error quotes is read though it is cut after 8 bytes of the upper header`, (t) => {
    const packet = new Packet();
    for (const [protocol, payload] of [
      [PROTOCOL.tcp, tcp(443, 5000, TCP_FLAG.rst, 900)],
      [PROTOCOL.udp, udp(443, 5000, 900)],
    ] as const) {
      const bytes = ip(from, to, protocol, payload);
      t.true(packet.parseQuoted(bytes, 0, header + 8));
      t.like(packet, { version, protocol, srcPort: 443, dstPort: 5000, tcpFlags: 0, length: header + 8 });
      t.false(packet.parseQuoted(bytes, 0, header + 7));
    }
  });
}

test('IPv4: options are passed over', (t) => {
  const options = new Uint8Array(8).fill(1);
  t.like(parsed(ip(...V4, PROTOCOL.udp, udp(5, 6), { options })), { upperOffset: 28, srcPort: 5, dstPort: 6 });
});

test('IPv4: a source route among the options is noticed, in every fragment; options that can not be read are malformed', (t) => {
  const withOptions = (...bytes: number[]) => ({ options: Uint8Array.from(bytes) });
  const route = [7, 4, 10, 0, 0, 1];
  for (const [options, sourceRouted] of [
    [[131, ...route, 0], 1],
    [[137, ...route, 0], 1],
    [[1, 131, ...route], 1],
    [[7, ...route, 0], 0],
    [[0, 131, 0, 0], 0],
    [[1, 1, 148, 4, 0, 0, 0, 0], 0],
  ] as const) {
    const packet = ip(...V4, PROTOCOL.udp, udp(5, 6), withOptions(...options));
    t.like(parsed(packet), { sourceRouted, srcPort: 5 }, String(options));
    const fragment = { offset: 8, more: false, id: 1 };
    t.like(parsed(ip(...V4, PROTOCOL.udp, new Uint8Array(8), { ...withOptions(...options), fragment })), {
      sourceRouted,
    });
  }
  for (const options of [[131], [7, 0, 0, 0], [7, 1, 0, 0], [1, 1, 7, 3], [1, 1, 1, 7]]) {
    const padded = options.length === 1 ? [1, 1, 1, ...options] : options;
    t.is(parsed(ip(...V4, PROTOCOL.udp, udp(5, 6), withOptions(...padded))), undefined, String(options));
  }
});

test('IPv6: a routing header with segments left is a source route, one without is not', (t) => {
  for (const type of [0, 2, 3, 4]) {
    for (const left of [0, 1]) {
      const routing = Uint8Array.of(0, 2, type, left, ...new Uint8Array(20));
      const packet = ip(...V6, PROTOCOL.udp, udp(5, 6), { extensions: [[43, routing]] });
      t.like(parsed(packet), { sourceRouted: left, dstPort: 6 });
    }
  }
});

test('IPv6: a fragment of a fragment is malformed', (t) => {
  const inner = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 9);
  const fragment = { offset: 0, more: true, id: 3 };
  t.is(parsed(ip(...V6, PROTOCOL.udp, udp(5, 6), { extensions: [[44, inner]], fragment })), undefined);
});

test('IPv4: a header length or total length that contradicts the packet is malformed', (t) => {
  const good = ip(...V4, PROTOCOL.udp, udp(5, 6));
  const broken = (change: (bytes: Uint8Array) => void) => {
    const bytes = good.slice();
    change(bytes);
    return parsed(bytes);
  };
  t.is(
    broken((bytes) => (bytes[0] = 0x44)),
    undefined,
  );
  t.is(
    broken((bytes) => (bytes[0] = 0x4f)),
    undefined,
  );
  t.is(
    broken((bytes) => (bytes[3] = 19)),
    undefined,
  );
  t.is(
    broken((bytes) => (bytes[3] = good.length + 1)),
    undefined,
  );
  t.is(
    broken((bytes) => (bytes[0] = 0x55)),
    undefined,
  );
});

test('IPv6: extension headers are passed over, up to a bound', (t) => {
  const options: [number, Uint8Array][] = [
    [0, new Uint8Array(8)],
    [43, Uint8Array.of(0, 1, ...new Uint8Array(14))],
    [51, Uint8Array.of(0, 1, ...new Uint8Array(10))],
    [60, new Uint8Array(8)],
  ];
  const packet = parsed(ip(...V6, PROTOCOL.udp, udp(5, 6), { extensions: options }));
  t.like(packet, { protocol: PROTOCOL.udp, upperOffset: 40 + 8 + 16 + 12 + 8, srcPort: 5, dstPort: 6 });
  const chain = (count: number) => Array.from({ length: count }, (): [number, Uint8Array] => [60, new Uint8Array(8)]);
  t.not(parsed(ip(...V6, PROTOCOL.udp, udp(5, 6), { extensions: chain(8) })), undefined);
  t.is(parsed(ip(...V6, PROTOCOL.udp, udp(5, 6), { extensions: chain(9) })), undefined);
});

test('a later fragment is read though another extension header follows its fragment header', (t) => {
  const fragment = { offset: 1480, more: false, id: -1 >>> 0 };
  t.like(parsed(ip(...V6, 60, new Uint8Array(4), { fragment })), {
    fragment: FRAGMENT.later,
    protocol: 60,
    fragmentId: -1,
  });
});

test('what is too short for any header is malformed, also after a good packet', (t) => {
  const packet = new Packet();
  const good = ip('10.0.0.1', '10.0.0.2', 17, udp(1, 2));
  t.true(packet.parse(good, 0, good.length));
  for (const length of [0, 1, 19]) {
    packet.fault = 0;
    t.false(packet.parse(good, 0, length));
    t.is(packet.fault, DROP['malformed-packet']);
  }
});

test('a packet leaves nothing behind for the next', (t) => {
  const packet = new Packet();
  const busy = [
    ip(...V6, PROTOCOL.tcp, tcp(1, 2, 255), { fragment: { offset: 0, more: true, id: 9 } }),
    ip(...V4, PROTOCOL.icmp, echo(8, 77)),
  ];
  const next = ip(...V4, 47, new Uint8Array(8));
  for (const bytes of busy) {
    t.true(packet.parse(bytes, 0, bytes.length));
    t.true(packet.parse(next, 0, next.length));
    t.deepEqual(fields(packet), fields(parsed(next)!));
  }
});

const SAMPLES = [V4, V6].flatMap(([from, to]) => [
  ip(from, to, PROTOCOL.tcp, tcp(1, 2, TCP_FLAG.ack, 8)),
  ip(from, to, PROTOCOL.udp, udp(1, 2, 8), { fragment: { offset: 0, more: true, id: 3 } }),
  ip(from, to, from.includes(':') ? 58 : 1, echo(8, 3)),
  ip(from, to, PROTOCOL.udp, udp(1, 2), { extensions: [[0, new Uint8Array(8)]], options: new Uint8Array(4) }),
]);
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  // Random bytes that get past the first check.
  fc
    .tuple(fc.constantFrom(0x45, 0x46, 0x60), fc.uint8Array({ maxLength: 120 }))
    .map(([first, rest]) => Uint8Array.of(first, ...rest)),
  fc
    .tuple(fc.constantFrom(...SAMPLES), fc.array(fc.tuple(fc.nat(79), fc.nat(255)), { maxLength: 6 }), fc.nat(100))
    .map(([sample, changes, keep]) => {
      const bytes = sample.slice(0, Math.max(20, keep));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes;
    }),
);

for (const method of ['parse', 'parseQuoted'] as const) {
  test(`${method}: whatever the bytes, an answer, within bounds, and from those bytes only`, (t) => {
    const bare = new Packet();
    const amid = new Packet();
    let accepted = 0;
    fc.assert(
      fc.property(anyBytes, fc.nat(40), fc.nat(255), (bytes, offset, filler) => {
        const slab = new Uint8Array(offset + bytes.length + 64).fill(filler);
        slab.set(bytes, offset);
        const good = bare[method](bytes, 0, bytes.length);
        t.is(amid[method](slab, offset, bytes.length), good);
        if (!good) return;
        accepted++;
        t.deepEqual(fields(amid), fields(bare));
        for (const [name, value] of Object.entries(fields(bare))) t.is(value, value | 0, name);
        t.true(bare.version === 4 || bare.version === 6);
        t.true(bare.length <= bytes.length);
        t.true(bare.upperOffset >= 20 && bare.upperOffset <= bare.length);
        t.true(bare.srcPort >= 0 && bare.srcPort <= 65535 && bare.dstPort >= 0 && bare.dstPort <= 65535);
        t.true(bare.icmpType >= -1 && bare.icmpType <= 255 && bare.icmpCode >= -1 && bare.icmpCode <= 255);
      }),
      { seed: 1, numRuns: 4000 },
    );
    t.true(accepted > 500, `${accepted} were packets`);
  });
}
