import test from 'ava';
import { FlowKey } from '../../src/policy/flow-key.ts';
import { beginState, FRAGMENTS_STATE, IDLE_SECONDS } from '../../src/policy/flow-state.ts';
import { createFlowTable, FlowTable } from '../../src/policy/flow-table.ts';
import { keyOf, PACKET } from './flow-keys.ts';

const UDP_STATE = beginState(PACKET, false);

test('flows are found until they are idle for too long, and then by nobody', (t) => {
  const table = new FlowTable(createFlowTable(64, 1));
  const slot = table.insert(keyOf(1), UDP_STATE, 100);
  t.true(slot >= 0);
  t.is(table.find(keyOf(1), 100 + IDLE_SECONDS.udp - 1), slot);
  t.is(table.find(keyOf(1), 100 + IDLE_SECONDS.udp), -1);
  t.is(table.find(keyOf(2), 100), -1);
  t.is(table.find(keyOf(1), 99), slot, 'a clock that is behind changes nothing');
});

test('a table holds the flows it was made for, each of them once', (t) => {
  const capacity = 1 << 15;
  const table = new FlowTable(createFlowTable(capacity, 99));
  const key = new FlowKey();
  for (let number = 0; number < capacity; number++) {
    if (table.insert(keyOf(number, key), UDP_STATE, 0) < 0) t.fail(`refused number ${number}`);
  }
  t.is(table.stats(0).live, capacity);
  const slots = new Set<number>();
  for (let number = 0; number < capacity; number++) slots.add(table.find(keyOf(number, key), 0));
  t.is(slots.size, capacity);
  t.false(slots.has(-1));
});

test('a million flows take 176 bytes each', (t) => {
  const data = createFlowTable(1 << 20, 0);
  t.true(Object.values(data).reduce((sum: number, words: Int32Array) => sum + words.byteLength, 0) < 185e6);
});

test('when both buckets are full a new flow is refused, no live one lost; room comes with time', (t) => {
  const table = new FlowTable(createFlowTable(8, 5));
  const held: number[] = [];
  let number = 0;
  for (; held.length < 16; number++) if (table.insert(keyOf(number), UDP_STATE, 0) >= 0) held.push(number);
  for (let extra = number; extra < number + 50; extra++) t.is(table.insert(keyOf(extra), UDP_STATE, 0), -1);
  for (const flow of held) t.true(table.find(keyOf(flow), 0) >= 0);
  const later = IDLE_SECONDS.udp;
  t.is(table.stats(later).live, 0);
  t.true(table.insert(keyOf(999), UDP_STATE, later) >= 0);
  t.true(table.find(keyOf(999), later) >= 0);
});

test('slots of flows that have ended are used again and again', (t) => {
  const capacity = 256;
  const table = new FlowTable(createFlowTable(capacity, 5));
  for (let round = 0; round < 40; round++) {
    const now = round * IDLE_SECONDS.udp;
    for (let number = 0; number < capacity; number++) {
      if (table.insert(keyOf(round * capacity + number), UDP_STATE, now) < 0) t.fail(`round ${round}, flow ${number}`);
    }
    t.is(table.stats(now).live, capacity);
  }
});

test('fragments give way to flows, the oldest first, and flows never to fragments', (t) => {
  const table = new FlowTable(createFlowTable(8, 5));
  for (let number = 0; number < 500; number++) table.insert(keyOf(number), FRAGMENTS_STATE, number < 250 ? 0 : 1);
  t.is(table.stats(1).live, 16);
  const flows: number[] = [];
  for (let number = 1000; number < 1500; number++)
    if (table.insert(keyOf(number), UDP_STATE, 2) >= 0) flows.push(number);
  t.is(flows.length, 16);
  for (let number = 2000; number < 2100; number++) t.is(table.insert(keyOf(number), FRAGMENTS_STATE, 3), -1);
  for (const flow of flows) t.true(table.find(keyOf(flow), 3) >= 0);
});

test('one flow inserted twice is one flow', (t) => {
  const table = new FlowTable(createFlowTable(64, 1));
  const slot = table.insert(keyOf(1), UDP_STATE, 0);
  t.is(table.insert(keyOf(1), UDP_STATE, 0), slot);
  t.is(table.stats(0).live, 1);
});

test("a peer's flows can be forgotten before its number goes to another", (t) => {
  const table = new FlowTable(createFlowTable(64, 1));
  for (let number = 0; number < 20; number++) {
    table.insert(keyOf(number, new FlowKey(), 1), UDP_STATE, 0);
    table.insert(keyOf(number, new FlowKey(), 2), UDP_STATE, 0);
  }
  table.forgetPeers(new Set([1, 7]));
  t.is(table.stats(0).live, 20);
  for (let number = 0; number < 20; number++) {
    t.is(table.find(keyOf(number, new FlowKey(), 1), 0), -1);
    t.true(table.find(keyOf(number, new FlowKey(), 2), 0) >= 0);
  }
});

test('what belonged to an earlier owner of a slot cannot touch the present one', (t) => {
  const table = new FlowTable(createFlowTable(8, 1));
  const slot = table.insert(keyOf(1), UDP_STATE, 0);
  const state = table.state;
  table.remove(slot, state);
  let number = 2;
  while (table.insert(keyOf(number), UDP_STATE, 0) !== slot) number++;
  const present = table.state;
  table.refresh(slot, state, state | 0xff0, 0);
  table.remove(slot, state);
  t.is(table.find(keyOf(number), 0), slot);
  t.is(table.state, present);
});
