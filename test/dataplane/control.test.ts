import test from 'ava';
import { controlPayload, isControl, writeControl } from '../../src/wire/control.ts';
import { Packet } from '../../src/wire/packet.ts';
import { ip, udp } from '../wire/packets.ts';
import { onesSum } from '../wire/sums.ts';
import { joined } from './gateways.ts';

const text = (message: string): Uint8Array => new TextEncoder().encode(message);

/** Two gateways with a session; `say` has `a` say something to `b`. */
function gateways() {
  const { underlay, a, b } = joined();
  const say = (payload: Uint8Array): void => {
    a.order({ type: 'probe', slot: 0, packet: writeControl(payload), sequence: -1 });
    underlay.run(50);
  };
  return { underlay, a, b, say };
}

test('what a gateway says about a peering reaches the other by its session alone, and never the TUN', (t) => {
  const { b, say } = gateways();
  b.inbound.apply({ type: 'control' });
  for (const payload of [text('hello'), text('odd'), new Uint8Array(0), new Uint8Array(1232).fill(7)]) {
    b.said.length = 0;
    say(payload);
    t.deepEqual(b.said, [[0, payload]]);
  }
  t.is(b.received.length, 0);
  t.is(b.dropped(), 0);
});

test('to a plain device, and with other addresses or ports, such a packet is one like any other', (t) => {
  const { a, b, say } = gateways();
  say(text('hello'));
  t.deepEqual(b.said, []);
  t.deepEqual(b.drops(0), { 'source-not-allowed': 1 });
  b.inbound.apply({ type: 'control' });
  const own = writeControl(text('x'));
  for (const [at, value] of [
    [8 + 15, 1],
    [24 + 15, 1],
    [24 + 3, 1],
    [40 + 3, 1],
  ]) {
    const packet = own.slice();
    packet[at] ^= value;
    a.order({ type: 'probe', slot: 0, packet, sequence: -1 });
  }
  a.order({ type: 'probe', slot: 0, packet: ip('172.31.0.1', '192.168.0.1', 17, udp(0x6973, 0x6973)), sequence: -1 });
  t.deepEqual(b.said, []);
});

test('one peer cannot fill the main thread: what comes too fast is dropped, and counted', (t) => {
  // Of unequal sizes, so that none is coalesced with another; and of one size, so that they are.
  for (const growth of [1, 0]) {
    const { underlay, a, b } = gateways();
    b.inbound.apply({ type: 'control' });
    for (let count = 0; count < 20; count++) {
      const packet = writeControl(text('x'.repeat(100 + growth * count)));
      a.order({ type: 'probe', slot: 0, packet, sequence: -1 });
    }
    underlay.run(50);
    t.is(b.said.length, 1);
    t.deepEqual(b.drops(0), { 'control-limited': 19 });
  }
});

test('it is a good packet: UDP over IPv6 with a right checksum', (t) => {
  for (let length = 0; length < 40; length++) {
    const payload = Uint8Array.from({ length }, (_, index) => index * 37);
    const bytes = writeControl(payload);
    const packet = new Packet();
    t.true(packet.parse(bytes, 0, bytes.length));
    t.true(isControl(packet));
    t.deepEqual(controlPayload(packet, bytes, 0), payload);
    // Over a pseudo-header: addresses, length and protocol (RFC 8200 §8.1).
    t.is(onesSum([...bytes.subarray(8, 40), 0, 8 + length, 0, 17, ...bytes.subarray(40)]), 0xffff);
  }
});
