import { FlowKey } from '../../src/policy/flow-key.ts';
import { OUT } from '../../src/policy/direction.ts';
import { Packet } from '../../src/wire/packet.ts';
import { ip, udp } from '../wire/packets.ts';

const BYTES = ip('10.0.0.1', '192.168.0.1', 17, udp(0, 53));
/** A UDP packet to make keys from. */
export const PACKET = new Packet();
PACKET.parse(BYTES, 0, BYTES.length);

/** Aims `key` at the `number`th of many flows. */
export function keyOf(number: number, key = new FlowKey(), peer = 1): FlowKey {
  PACKET.srcPort = number & 0xffff;
  PACKET.src3 = 0x0a000000 + (number >>> 16);
  key.aim(PACKET, peer, OUT);
  return key;
}
