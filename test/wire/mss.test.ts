import test from 'ava';
import { TRANSPORT_OVERHEAD } from '../../src/wire/messages.ts';
import { clampMss } from '../../src/wire/mss.ts';
import { Packet, PROTOCOL, TCP_FLAG } from '../../src/wire/packet.ts';
import { ip, tcp } from './packets.ts';

const UDP_HEADER = 8;
const MSS_9001 = [2, 4, 0x23, 0x01];

/** A SYN with these options and a right checksum. */
function syn(from: string, to: string, options: number[], flags: number = TCP_FLAG.syn): Uint8Array {
  const segment = new Uint8Array([...tcp(40000, 443, flags), ...options]);
  segment[12] = (segment.length >> 2) << 4;
  const packet = ip(from, to, PROTOCOL.tcp, segment);
  const header = packet.length - segment.length;
  const sum = ones(packet, header);
  packet[header + 16] = (~sum >>> 8) & 255;
  packet[header + 17] = ~sum & 255;
  return packet;
}

/** The ones' complement sum over pseudo-header and segment: 0xffff if the checksum in it is right. */
function ones(packet: Uint8Array, header: number): number {
  const addresses = header === 20 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  const segment = packet.subarray(header);
  const bytes = [...addresses, 0, PROTOCOL.tcp, segment.length >> 8, segment.length & 255, ...segment];
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at] << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function clamp(packet: Uint8Array, mtu: number): Uint8Array {
  const slab = new Uint8Array(packet.length + 64).fill(2);
  slab.set(packet, 32);
  const parsed = new Packet();
  if (!parsed.parse(slab, 32, packet.length)) throw new Error('the test made a malformed packet');
  clampMss(parsed, slab, 32, mtu);
  return slab.slice(32, 32 + packet.length);
}

const PAIRS = [
  { from: '172.31.1.10', to: '192.168.1.10', header: 20, mss: 1380 },
  { from: 'fd00:a::1', to: 'fd00:b::1', header: 40, mss: 1360 },
];

for (const { from, to, header, mss } of PAIRS) {
  test(`a SYN's segment size becomes what the tunnel carries, and its checksum stays right: ${from}`, (t) => {
    for (const before of [[], [1, 1], [1, 1, 1, 1], [3, 3, 7, 1]]) {
      for (const flags of [TCP_FLAG.syn, TCP_FLAG.syn | TCP_FLAG.ack]) {
        const options = [...before, ...MSS_9001, ...new Array<number>((4 - (before.length % 4)) % 4).fill(0)];
        const clamped = clamp(syn(from, to, options, flags), 1420);
        const at = header + 20 + before.length;
        t.is((clamped[at + 2] << 8) | clamped[at + 3], mss);
        t.is(ones(clamped, header), 0xffff);
      }
    }
  });

  test(`"WireGuard over 1500: 1440 inside over IPv4, 1420 over IPv6. MSS is that less 40 (IPv4) or 60 (IPv6)": ${from}`, (t) => {
    for (const [inside, outside] of [
      [1440, 20],
      [1420, 40],
    ]) {
      t.is(outside + UDP_HEADER + TRANSPORT_OVERHEAD + inside, 1500);
      const clamped = clamp(syn(from, to, MSS_9001), inside);
      t.is((clamped[header + 22] << 8) | clamped[header + 23], inside - (header + 20));
    }
  });

  test(`an option at an odd offset is found, and the checksum stays right: ${from}`, (t) => {
    const clamped = clamp(syn(from, to, [1, ...MSS_9001, 0, 0, 0]), 1420);
    t.is((clamped[header + 23] << 8) | clamped[header + 24], mss);
    t.is(ones(clamped, header), 0xffff);
  });
}

test('what asks for less, is no SYN, or has no such option stays as it is', (t) => {
  const { from, to } = PAIRS[0];
  for (const packet of [
    syn(from, to, [2, 4, 0x02, 0x18]),
    syn(from, to, MSS_9001, TCP_FLAG.ack),
    syn(from, to, []),
    syn(from, to, [0, ...MSS_9001, 0, 0, 0]),
    syn(from, to, [2, 3, 0x23, 1]),
    syn(from, to, [3, 0, 2, 4, 0x23, 0x01, 0, 0]),
    syn(from, to, [1, 1, 1, 2]),
    syn(from, to, [8, 200, 2, 4]),
  ]) {
    t.deepEqual(clamp(packet, 1420), packet);
  }
});
