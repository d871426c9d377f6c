import test from 'ava';
import { gatewayStatus } from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { until } from '../lab/process.ts';
import { startTransfer } from '../lab/transfer.ts';
import { PATHS, startBundle, twoPaths } from '../lab/two-paths.ts';
import { cut, restore } from '../lab/underlay.ts';

/** Bytes a second of a connection that only has to go on. */
const STEADY = 200_000;
/** A slow machine's limit, in ms, for what takes a few seconds. */
const PATIENCE = 60_000;
/** Seconds; a path that was cut is out of use within 3, and what was lost is then sent again. */
const LONGEST_GAP = 10;

type Path = keyof typeof PATHS;

async function peer(lab: Lab, end: 'a' | 'b', name: Path) {
  return (await gatewayStatus(lab, end)).peers.find((each) => each.name === name)!;
}

/** Waits until both gateways use, or do not use, a path. */
async function settled(lab: Lab, name: Path, inUse: boolean): Promise<void> {
  for (const end of ['a', 'b'] as const) {
    const holds = async (): Promise<boolean> => (await peer(lab, end, name)).path!.in_use === inUse;
    await until(`gateway ${end} to ${inUse ? 'use' : 'leave'} ${name}`, holds, PATIENCE);
  }
}

async function sentBy(lab: Lab, name: Path): Promise<number> {
  return (await peer(lab, 'a', name)).tx_packets;
}

test('active-active: connections are divided, and all survive the cut of a path, which is used again later', async (t) => {
  const lab = await twoPaths();
  t.teardown(() => lab.dispose());
  await startBundle(lab, { mode: 'active-active' });
  for (const name of ['fibre', 'radio'] as const) await settled(lab, name, true);
  const before = { fibre: await sentBy(lab, 'fibre'), radio: await sentBy(lab, 'radio') };
  const ports = Array.from({ length: 12 }, (_, number) => 7100 + number);
  const transfers = await Promise.all(
    ports.map((port, index) => startTransfer(lab, { port, rate: STEADY, from: index % 2 === 0 ? 'a' : 'b' })),
  );
  for (const name of ['fibre', 'radio'] as const) {
    await until(`traffic on ${name}`, async () => (await sentBy(lab, name)) > before[name] + 100, PATIENCE);
  }
  const { path } = await peer(lab, 'a', 'radio');
  t.true(path!.rtt_ms! > 0 && path!.jitter_ms !== null && path!.loss !== null, JSON.stringify(path));

  await cut(lab, 'gwa', PATHS.radio);
  await settled(lab, 'radio', false);
  t.is((await peer(lab, 'a', 'radio')).path!.state, 'down');
  t.is((await peer(lab, 'a', 'fibre')).path!.state, 'up');
  const after = await sentBy(lab, 'radio');
  const going = await sentBy(lab, 'fibre');
  await until('traffic on the other path', async () => (await sentBy(lab, 'fibre')) > going + 200, PATIENCE);
  t.is(await sentBy(lab, 'radio'), after, 'nothing more goes to a dead path');
  await restore(lab, 'gwa', PATHS.radio);
  await settled(lab, 'radio', true);

  const outcomes = await Promise.all(transfers.map((transfer) => transfer.finish(PATIENCE)));
  t.true(outcomes.every(({ intact }) => intact));
  const gap = Math.max(...outcomes.map(({ pause }) => pause));
  t.log(`the longest gap of ${outcomes.length} connections was ${gap.toFixed(2)} s`);
  t.true(gap < LONGEST_GAP, `${gap} s`);
});

test('active-standby: the first path takes all, the second when the first is cut, and the first again after', async (t) => {
  const lab = await twoPaths();
  t.teardown(() => lab.dispose());
  await startBundle(lab, { mode: 'active-standby', up_after: '2s' });
  await settled(lab, 'fibre', true);
  await settled(lab, 'radio', false);
  await until('a standby that is up', async () => (await peer(lab, 'a', 'radio')).path!.state === 'up', PATIENCE);
  const idle = await sentBy(lab, 'radio');
  const transfer = await startTransfer(lab, { rate: STEADY });
  const begun = await sentBy(lab, 'fibre');
  await until('traffic on the first path', async () => (await sentBy(lab, 'fibre')) > begun + 200, PATIENCE);
  t.is(await sentBy(lab, 'radio'), idle);

  await cut(lab, 'gwb', PATHS.fibre);
  await settled(lab, 'radio', true);
  await settled(lab, 'fibre', false);
  await until('traffic on the second path', async () => (await sentBy(lab, 'radio')) > idle + 200, PATIENCE);
  await restore(lab, 'gwb', PATHS.fibre);
  await settled(lab, 'fibre', true);
  await settled(lab, 'radio', false);
  const outcome = await transfer.finish(PATIENCE);
  t.true(outcome.intact);
  t.log(`the longest gap was ${outcome.pause.toFixed(2)} s`);
  t.true(outcome.pause < LONGEST_GAP, `${outcome.pause} s`);
});
