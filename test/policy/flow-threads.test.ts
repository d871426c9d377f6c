import { Worker } from 'node:worker_threads';
import test from 'ava';
import { FlowKey } from '../../src/policy/flow-key.ts';
import { beginState } from '../../src/policy/flow-state.ts';
import { createFlowTable, FlowTable } from '../../src/policy/flow-table.ts';
import { keyOf, PACKET } from './flow-keys.ts';
import type { FlowFindings, FlowTask } from './flow-worker.ts';

const UDP_STATE = beginState(PACKET, false);

/** Runs two threads on one table. */
async function both(
  first: Omit<FlowTask, 'sync'>,
  second: Omit<FlowTask, 'sync'>,
): Promise<[FlowFindings, FlowFindings, Int32Array]> {
  const sync = new Int32Array(new SharedArrayBuffer(16));
  const run = (task: Omit<FlowTask, 'sync'>) =>
    new Promise<FlowFindings>((resolve, reject) => {
      const worker = new Worker(new URL('./flow-worker.js', import.meta.url), { workerData: { ...task, sync } });
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  const [a, b] = await Promise.all([run(first), run(second)]);
  return [a, b, sync];
}

/** Two flows whose hash is the same, tag and buckets and all. */
function findTwins(seed: number): [number, number] {
  const data = createFlowTable(1 << 17, seed);
  const table = new FlowTable(data);
  const key = new FlowKey();
  const byTag = new Map<number, { number: number; bucket: number }>();
  for (let number = 0; ; number++) {
    const slot = table.insert(keyOf(number, key), UDP_STATE, 0);
    const bucket = slot >> 3;
    const twin = byTag.get(data.tags[slot]);
    if (twin !== undefined && twin.bucket === bucket) return [twin.number, number];
    byTag.set(data.tags[slot], { number, bucket });
  }
}

test('both threads enter the same flows at once: each is there, once, for both', async (t) => {
  const rounds = 300;
  const flows = 100;
  const data = createFlowTable(1 << 15, 1);
  const task = { task: 'race', data, rounds, flows } as const;
  const [a, b] = await both(task, task);
  t.is(a.refused + b.refused, 0);
  const table = new FlowTable(data);
  t.is(table.stats(0).live, rounds * flows);
  for (let number = 0; number < rounds * flows; number++)
    if (table.find(keyOf(number), 0) < 0) t.fail(`lost ${number}`);
});

test('a slot that changes hands under a reader is not taken for the flow it held', async (t) => {
  const seed = 1;
  const twins = findTwins(seed);
  const data = createFlowTable(8, seed);
  const rest = { data, rounds: 300_000, flows: 2, twins } as const;
  const [writer, reader] = await both({ task: 'alternate', ...rest }, { task: 'watch', ...rest });
  t.is(writer.refused, 0);
  // Time flies here: a refresh held up for a moment can make the next owner of the slot look long idle.
  t.true(writer.found > rest.rounds * 0.99, 'what a thread has just entered, it finds');
  t.true(reader.found > 0);
  t.is(writer.torn + reader.torn, 0);
});

test('after much coming and going no slot is lost', async (t) => {
  const capacity = 64;
  const data = createFlowTable(capacity, 1);
  const task = { task: 'churn', data, rounds: 200_000, flows: 400 } as const;
  const [a, b, sync] = await both({ ...task, seed: 1 }, { ...task, seed: 2 });
  t.true(a.found > 1000 && b.found > 1000);
  const table = new FlowTable(data);
  const end = sync[3] + 1_000_000;
  t.is(table.stats(end).live, 0);
  t.deepEqual(
    [...data.tags].filter((tag) => tag !== 0 && (tag & 1) === 0),
    [],
    'none is left half written',
  );
  const key = new FlowKey();
  for (let number = 0; number < 10 * capacity; number++) table.insert(keyOf(1000 + number, key), UDP_STATE, end);
  t.is(table.stats(end).live, 2 * capacity, 'every slot can be filled again');
});
