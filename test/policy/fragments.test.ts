import test from 'ava';
import { DROP_REASONS } from '../../src/wire/drop.ts';
import { Packet, PROTOCOL, TCP_FLAG } from '../../src/wire/packet.ts';
import { ip, tcp, udp } from '../wire/packets.ts';
import { ALLOW_OUT, World } from './world.ts';

const ENDS = [
  ['172.31.0.9', '192.168.0.1'],
  ['fd00::9', '2001:db8::1'],
] as const;
const part = (offset: number, more = true) => ({ offset, more, id: 9 });

for (const [here, there] of ENDS) {
  const fault = (bytes: Uint8Array): string => {
    const packet = new Packet();
    return packet.parse(bytes, 0, bytes.length) ? 'none' : DROP_REASONS[packet.fault];
  };
  const payload = new Uint8Array(64);

  test(`${here}: a first fragment without the whole transport header is tiny (RFC 1858)`, (t) => {
    const segment = tcp(5000, 443, TCP_FLAG.ack, 40);
    for (const length of [1, 8, 16, 19]) {
      t.is(fault(ip(here, there, PROTOCOL.tcp, segment.subarray(0, length), { fragment: part(0) })), 'fragment-tiny');
    }
    t.is(fault(ip(here, there, PROTOCOL.tcp, segment.subarray(0, 24), { fragment: part(0) })), 'none');
    t.is(fault(ip(here, there, PROTOCOL.udp, udp(1, 2).subarray(0, 7), { fragment: part(0) })), 'fragment-tiny');
    t.is(fault(ip(here, there, PROTOCOL.tcp, segment.subarray(0, 16))), 'malformed-packet', 'no fragment at all');
  });

  test(`${here}: a later fragment that begins within TCP's flags is tiny (RFC 3128)`, (t) => {
    t.is(fault(ip(here, there, PROTOCOL.tcp, payload, { fragment: part(8) })), 'fragment-tiny');
    t.is(fault(ip(here, there, PROTOCOL.udp, payload, { fragment: part(8) })), 'none');
  });

  test(`${here}: a fragment beyond the largest datagram is malformed`, (t) => {
    t.is(fault(ip(here, there, PROTOCOL.udp, new Uint8Array(8), { fragment: part(65_520) })), 'none');
    t.is(fault(ip(here, there, PROTOCOL.udp, new Uint8Array(16), { fragment: part(65_520) })), 'malformed-packet');
  });

  test(`${here}: no fragment may write over what the first one held`, (t) => {
    const world = new World([ALLOW_OUT]);
    const later = (offset: number) => ip(here, there, PROTOCOL.udp, payload, { fragment: part(offset) });
    t.is(world.out(ip(here, there, PROTOCOL.udp, udp(5000, 53, 56), { fragment: part(0) })), 'pass');
    t.is(world.out(later(8)), 'fragment-overlap');
    t.is(world.out(later(56)), 'fragment-overlap');
    t.is(world.out(later(64)), 'pass');
    t.is(world.out(ip(here, there, PROTOCOL.udp, udp(5000, 53, 16), { fragment: part(0) })), 'pass', 'a shorter first');
    t.is(world.out(later(24)), 'fragment-overlap', 'changes nothing');
  });
}

test('IPv6: headers behind the fragment header belong to what the first fragment holds', (t) => {
  const [here, there] = ENDS[1];
  const world = new World([ALLOW_OUT]);
  // The test's packets have the fragment header last, so the options are put behind it by hand.
  const first = ip(here, there, 60, Uint8Array.of(17, 6, ...new Uint8Array(54), ...udp(1, 2, 8)), {
    fragment: part(0),
  });
  t.is(world.out(first), 'pass');
  t.is(world.out(ip(here, there, 60, new Uint8Array(8), { fragment: part(64) })), 'fragment-overlap');
  t.is(world.out(ip(here, there, 60, new Uint8Array(8), { fragment: part(72) })), 'pass');
});
