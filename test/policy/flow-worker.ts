import { parentPort, workerData } from 'node:worker_threads';
import { FlowKey } from '../../src/policy/flow-key.ts';
import { IDLE_SECONDS } from '../../src/policy/flow-state.ts';
import { FlowTable, type FlowTableData } from '../../src/policy/flow-table.ts';
import { keyOf } from './flow-keys.ts';

/** One of two threads on one flow table. What it does is `task`; it answers with what it found. */

export interface FlowTask {
  readonly task: 'race' | 'alternate' | 'watch' | 'churn';
  readonly data: FlowTableData;
  /** Words that both threads share: see `SYNC`. */
  readonly sync: Int32Array;
  readonly rounds: number;
  readonly flows: number;
  /** Numbers of two flows with one hash. */
  readonly twins?: readonly [number, number];
  readonly seed?: number;
}

export interface FlowFindings {
  /** Flows that were found, and of them those that turned out to be another's. */
  readonly found: number;
  readonly torn: number;
  readonly refused: number;
}

const SYNC = { arrived: 0, round: 1, over: 2, seconds: 3, words: 4 } as const;

/** States of a flow of no time-out to speak of, with one bit to tell the twins by, and one that only a reader sets. */
const STATE = 4;
const MARKS = [1 << 7, 1 << 8];
const SEEN_MARKS = [1 << 9, 1 << 10];

const input = workerData as FlowTask;
const { data, sync, rounds, flows } = input;
const table = new FlowTable(data);
const key = new FlowKey();

/** Both threads go on together. */
function meet(): void {
  const round = Atomics.load(sync, SYNC.round);
  if (Atomics.add(sync, SYNC.arrived, 1) === 1) {
    Atomics.store(sync, SYNC.arrived, 0);
    Atomics.add(sync, SYNC.round, 1);
    Atomics.notify(sync, SYNC.round);
  } else {
    Atomics.wait(sync, SYNC.round, round);
  }
}

/** Both threads enter the same flows at the same time, in the same order. */
function race(): FlowFindings {
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    meet();
    for (let flow = 0; flow < flows; flow++) {
      keyOf(round * flows + flow, key);
      if (table.find(key, 0) < 0 && table.insert(key, STATE, 0) < 0) refused++;
    }
  }
  return { found: 0, torn: 0, refused };
}

/** Whether a state is one that only this twin can have. */
function isOwn(state: number, twin: number): boolean {
  return (state & MARKS[twin]) !== 0 && (state & (MARKS[twin ^ 1] | SEEN_MARKS[twin ^ 1])) === 0;
}

/** Enters the twins by turns, each when the other has just run out, so that one slot changes hands under the reader. */
function alternate(): FlowFindings {
  let found = 0;
  let torn = 0;
  let refused = 0;
  meet();
  for (let round = 1; round <= rounds; round++) {
    const twin = round & 1;
    const seconds = round * IDLE_SECONDS.other;
    Atomics.store(sync, SYNC.seconds, seconds);
    keyOf(input.twins![twin], key);
    const slot = table.insert(key, STATE | MARKS[twin], seconds);
    if (slot < 0) refused++;
    if (table.find(key, seconds) < 0) continue;
    found++;
    if (!isOwn(table.state, twin)) torn++;
  }
  Atomics.store(sync, SYNC.over, 1);
  return { found, torn, refused };
}

/** Reads as one for whom nothing runs out. */
function watch(): FlowFindings {
  let found = 0;
  let torn = 0;
  meet();
  for (let turn = 0; Atomics.load(sync, SYNC.over) === 0; turn++) {
    const twin = turn & 1;
    keyOf(input.twins![twin], key);
    const slot = table.find(key, 0);
    if (slot < 0) continue;
    found++;
    const { state } = table;
    if (!isOwn(state, twin)) torn++;
    if (turn % 64 === 0) {
      const ahead = Atomics.load(sync, SYNC.seconds) + IDLE_SECONDS.other;
      table.refresh(slot, state, state | SEEN_MARKS[twin], ahead);
    }
  }
  return { found, torn, refused: 0 };
}

/** More flows than fit come, go on, are removed and run out. */
function churn(): FlowFindings {
  let found = 0;
  let refused = 0;
  let random = input.seed!;
  meet();
  for (let round = 0; round < rounds; round++) {
    random = Math.imul(random ^ (random >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    const choice = random >>> 8;
    if (round % 50 === 0) Atomics.add(sync, SYNC.seconds, 20);
    const seconds = Atomics.load(sync, SYNC.seconds);
    keyOf(choice % flows, key);
    const slot = table.find(key, seconds);
    if (slot < 0) {
      if (table.insert(key, STATE, seconds) < 0) refused++;
      continue;
    }
    found++;
    if (choice % 7 === 0) table.remove(slot, table.state);
    else table.refresh(slot, table.state, table.state | MARKS[choice & 1], seconds);
  }
  return { found, torn: 0, refused };
}

parentPort!.postMessage({ race, alternate, watch, churn }[input.task]());
