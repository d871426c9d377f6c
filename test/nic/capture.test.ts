import test from 'ava';
import { captureOutbound } from '../../src/nic/capture.ts';
import { memoryOutbound } from '../../src/nic/memory.ts';
import { udp, ip } from '../wire/packets.ts';

test('where the disk is full a capture ends, says so once, and packets go on', (t) => {
  const packet = ip('172.31.1.10', '192.168.1.10', 17, udp(7, 7, 24));
  const ended: string[] = [];
  const io = {
    read: (into: Uint8Array, offset: number) => (into.set(packet, offset), packet.length),
    send: () => true,
  };
  const queue = captureOutbound(memoryOutbound(io), '/dev/full', (reason) => ended.push(reason));
  t.is(queue.readTun(2), 2);
  t.is(queue.readTun(1), 1);
  t.is(ended.length, 1);
  t.regex(ended[0], /ENOSPC/);
});
