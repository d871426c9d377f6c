import test from 'ava';
import { copyFlows, pasteFlows } from '../../src/policy/flow-copy.ts';
import { FlowKey } from '../../src/policy/flow-key.ts';
import { beginState, FRAGMENTS_STATE, IDLE_SECONDS } from '../../src/policy/flow-state.ts';
import { createFlowTable, FlowTable } from '../../src/policy/flow-table.ts';
import { OUT } from '../../src/policy/direction.ts';
import { Packet } from '../../src/wire/packet.ts';
import { ip, udp } from '../wire/packets.ts';
import { keyOf, PACKET } from './flow-keys.ts';

const UDP_STATE = beginState(PACKET, false);
const NOW = 5000;

function keyOfIpv6(port: number, peer: number): FlowKey {
  const bytes = ip('fd00::1', 'fd01::2', 17, udp(port, 53));
  const packet = new Packet();
  packet.parse(bytes, 0, bytes.length);
  const key = new FlowKey();
  key.aim(packet, peer, OUT);
  return key;
}

test('flows go on in a table of another size and seed, as their peers are numbered there', (t) => {
  const old = createFlowTable(256, 7);
  const from = new FlowTable(old);
  for (let number = 0; number < 100; number++) from.insert(keyOf(number), UDP_STATE, NOW - 10, 3);
  from.insert(keyOf(7, new FlowKey(), 2), UDP_STATE, NOW);
  from.insert(keyOfIpv6(1000, 1), UDP_STATE, NOW);
  from.insert(keyOf(200), UDP_STATE, NOW - IDLE_SECONDS.udp);
  from.insert(keyOf(201), FRAGMENTS_STATE, NOW);
  const copy = copyFlows(old, NOW);

  const next = createFlowTable(1024, 99);
  const places = new Map([[1, 5]]);
  t.is(
    pasteFlows(next, copy, (peer) => places.get(peer), NOW + 1),
    101,
  );
  const to = new FlowTable(next);
  const find = (key: FlowKey, seconds = NOW + 1): number => to.find(key, seconds);
  for (let number = 0; number < 100; number++) t.true(find(keyOf(number, new FlowKey(), 5)) >= 0);
  t.is(to.ruleOf(find(keyOf(0, new FlowKey(), 5))), -1, 'numbers of rules mean nothing there');
  t.true(find(keyOfIpv6(1000, 5)) >= 0);
  for (const gone of [keyOf(7), keyOf(7, new FlowKey(), 2), keyOf(200, new FlowKey(), 5), keyOf(201, new FlowKey(), 5)])
    t.is(find(gone), -1);
  t.is(find(keyOf(1, new FlowKey(), 5), NOW - 10 + IDLE_SECONDS.udp), -1, 'they age as they would have');
});

test('a copy whose time is over, or is yet to come, is worth nothing', (t) => {
  const old = createFlowTable(64, 1);
  new FlowTable(old).insert(keyOf(1), UDP_STATE, NOW);
  const copy = copyFlows(old, NOW);
  for (const now of [NOW + IDLE_SECONDS.udp, NOW - 1]) {
    const next = createFlowTable(64, 1);
    t.is(
      pasteFlows(next, copy, (peer) => peer, now),
      0,
    );
    t.is(new FlowTable(next).stats(now).live, 0);
  }
  t.is(
    pasteFlows(createFlowTable(64, 1), copy.subarray(0, 5), (peer) => peer, NOW),
    0,
    'cut off',
  );
});
