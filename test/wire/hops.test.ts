import test from 'ava';
import { hopsLeft, takeHop } from '../../src/wire/hops.ts';
import { ip, udp } from './packets.ts';
import { onesSum, withHeaderSum } from './sums.ts';

test('a hop is taken and the IPv4 checksum stays right, whatever it was before', (t) => {
  let carried = 0;
  for (let id = 0; id < 0x10000; id++) {
    const packet = ip('172.31.0.1', '192.168.0.1', 17, udp(1, 2));
    packet[4] = id >>> 8;
    packet[5] = id & 255;
    packet[8] = 1 + (id % 255);
    const bytes = withHeaderSum(packet);
    const before = (bytes[10] << 8) | bytes[11];
    takeHop(4, bytes, 0);
    if (bytes[8] !== id % 255 || onesSum(bytes.subarray(0, 20)) !== 0xffff) t.fail(`identification ${id}`);
    if (((bytes[10] << 8) | bytes[11]) < before) carried++;
    packet[8]--;
    if (Buffer.compare(bytes, withHeaderSum(packet)) !== 0) {
      // Zero has two forms in ones' complement; RFC 1624 leaves the one that a fresh sum would not have given.
      t.true(onesSum(bytes.subarray(0, 20)) === 0xffff);
    }
  }
  t.true(carried > 100);
});

test('an IPv6 packet loses a hop and nothing else', (t) => {
  const packet = ip('fd00::1', 'fd00::2', 17, udp(1, 2));
  packet[7] = 7;
  const bytes = Uint8Array.of(9, 9, ...packet);
  t.is(hopsLeft(6, bytes, 2), 7);
  takeHop(6, bytes, 2);
  t.deepEqual(bytes, Uint8Array.of(9, 9, ...packet.with(7, 6)));
});
