import test from 'ava';
import { fragmentData, mayFragment, writeFragment } from '../../src/wire/fragments.ts';
import { ip, udp } from './packets.ts';
import { onesSum } from './sums.ts';

function cut(packet: Uint8Array, mtu: number): Uint8Array[] {
  const slab = Uint8Array.of(7, 7, 7, ...packet, 7, 7);
  const header = (packet[0] & 15) * 4;
  const fragments: Uint8Array[] = [];
  for (let from = 0; from < packet.length - header;) {
    const out = new Uint8Array(70_000);
    const length = writeFragment(out, slab, 3, packet.length, from, mtu);
    fragments.push(out.slice(0, length));
    from += fragmentData(out);
  }
  return fragments;
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset);
const filled = (data: number) => udp(1, 2, data).map((byte, at) => (at < 8 ? byte : at));

test('fragments fit, hold all of the data, and say where theirs belongs (RFC 791 §3.2)', (t) => {
  for (const mtu of [68, 576, 1419, 1420]) {
    for (const data of [1412, 1413, 3000, 60_000]) {
      const packet = ip('172.31.0.1', '192.168.0.1', 17, filled(data));
      view(packet).setUint16(4, 0x1234);
      const fragments = cut(packet, mtu);
      const joined: number[] = [];
      for (const [number, fragment] of fragments.entries()) {
        t.true(fragment.length <= mtu);
        t.is(onesSum(fragment.subarray(0, 20)), 0xffff);
        t.is(view(fragment).getUint16(2), fragment.length);
        t.is(view(fragment).getUint16(4), 0x1234);
        const word = view(fragment).getUint16(6);
        t.is((word & 0x1fff) * 8, joined.length);
        t.is((word & 0x2000) !== 0, number < fragments.length - 1);
        joined.push(...fragment.subarray(20));
      }
      t.deepEqual(Uint8Array.from(joined), packet.subarray(20));
    }
  }
});

test('a fragment that is cut again keeps its place and that more follow', (t) => {
  const fragment = { offset: 800, more: true, id: 9 };
  const packet = ip('172.31.0.1', '192.168.0.1', 17, new Uint8Array(1000), { fragment });
  const words = cut(packet, 576).map((bytes) => view(bytes).getUint16(6));
  t.deepEqual(words, [0x2000 | 100, 0x2000 | (100 + 69)]);
});

test('options that are for every fragment are copied, others stay in the first', (t) => {
  // Record route (7, not copied), no operation, loose source route (131, copied).
  const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 1, 131, 7, 4, 1, 2, 3, 4, 0);
  const packet = ip('172.31.0.1', '192.168.0.1', 17, filled(100), { options });
  const [first, second] = cut(packet, 92);
  t.deepEqual(first.subarray(20, 36), options);
  t.is(second[0], 0x47);
  t.deepEqual(second.subarray(20, 28), Uint8Array.of(131, 7, 4, 1, 2, 3, 4, 0));
  t.is(onesSum(second.subarray(0, 28)), 0xffff);
});

test('a packet says whether it may be cut', (t) => {
  const packet = ip('172.31.0.1', '192.168.0.1', 17, udp(1, 2));
  t.true(mayFragment(packet, 0));
  t.false(mayFragment(packet.with(6, 0x40), 0));
});
