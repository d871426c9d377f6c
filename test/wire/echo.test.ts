import test from 'ava';
import { PROBE, answerProbe, probeKind, probeSequence, probeToken, writeProbe } from '../../src/wire/echo.ts';
import { Packet } from '../../src/wire/packet.ts';
import { echo, ip, packetWords } from './packets.ts';

const ends = { 4: ['10.8.0.1', '10.8.0.2'], 6: ['fd00:8::1', 'fd00:8::2'] } as const;

/** The one's complement sum of 16-bit words, which is 0xffff over anything with a right checksum (RFC 1071). */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += (bytes[at] << 8) | bytes[at + 1];
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** What the checksum of an echo is over: for ICMPv6 the pseudo-header too. */
function summed(packet: Uint8Array): Uint8Array {
  if (packet[0] >>> 4 === 4) return packet.subarray(20);
  const upper = packet.subarray(40);
  return Uint8Array.of(...packet.subarray(8, 40), 0, 0, 0, upper.length, 0, 0, 0, 58, ...upper);
}

function read(bytes: Uint8Array, offset = 0): Packet {
  const packet = new Packet();
  if (!packet.parse(bytes, offset, bytes.length - offset)) throw new Error('malformed');
  return packet;
}

for (const family of [4, 6] as const) {
  const [here, there] = ends[family].map(packetWords);

  test(`a probe over IPv${family} is an echo that any host answers, and its answer is known`, (t) => {
    const request = writeProbe(family, here, there, 0x1234, -559038737);
    const packet = read(request);
    t.is(packet.icmpType, family === 4 ? 8 : 128);
    t.deepEqual([packet.src3, packet.dst3], [here[3], there[3]]);
    t.is(sum(summed(request)), 0xffff);
    if (family === 4) t.is(sum(request.subarray(0, 20)), 0xffff);
    t.is(probeKind(packet, request, 0), PROBE.request);

    const shifted = Uint8Array.of(1, 2, 3, ...request);
    const answer = answerProbe(read(shifted, 3), shifted, 3);
    const answered = read(answer);
    t.is(answered.icmpType, family === 4 ? 0 : 129);
    t.deepEqual([answered.src3, answered.dst3], [there[3], here[3]]);
    t.is(sum(summed(answer)), 0xffff);
    t.is(probeKind(answered, answer, 0), PROBE.answer);
    t.is(probeSequence(answered, answer, 0), 0x1234);
    t.is(probeToken(answered, answer, 0), -559038737);
  });

  test(`another echo over IPv${family} is no probe, whatever its identifier`, (t) => {
    const [from, to] = ends[family];
    const plain = ip(from, to, family === 4 ? 1 : 58, echo(family === 4 ? 8 : 128, 0x6973));
    t.is(probeKind(read(plain), plain, 0), PROBE.none);
    const request = writeProbe(family, here, there, 1, 1);
    const header = family === 4 ? 20 : 40;
    for (const at of [header + 5, header + 8, header + 15]) {
      const bent = request.slice();
      bent[at] ^= 1;
      t.is(probeKind(read(bent), bent, 0), PROBE.none, `byte ${at}`);
    }
  });
}
