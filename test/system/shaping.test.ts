import test from 'ava';
import { gatewayStatus, startIsthmus } from '../lab/contenders.ts';
import { iperf3 } from '../lab/iperf3.ts';
import type { Lab } from '../lab/lab.ts';
import { runningTime } from '../lab/running-time.ts';
import { B, twoVpcs } from '../lab/two-vpcs.ts';

const SECONDS = 5;
/** Bytes that wait or are on their way when a measurement begins, in all queues, at 20 Mbit/s. */
const SLACK = 1_000_000;

/** What gateway A counts of its peering's classes. */
async function classes(lab: Lab, direction: 'out' | 'in') {
  const { peers } = await gatewayStatus(lab, 'a');
  return peers[0].shape.find((shape) => shape.direction === direction)!.classes;
}

for (const direction of ['out', 'in'] as const) {
  test(`no more than the rate passes, ${direction}`, async (t) => {
    const lab = await twoVpcs();
    t.teardown(() => lab.dispose());
    await startIsthmus(lab, { change: (a) => (a.peerings[0]['shape'] = { [direction]: '20mbit' }) });
    const towards = direction === 'out' ? 'forward' : 'reverse';
    const [begun, time] = [performance.now(), runningTime()];
    const flow = (await iperf3(lab, { seconds: SECONDS, streams: 2, direction: towards }))[towards]!;
    const stoodStill = (performance.now() - begun) / 1000 - time();
    t.true(flow.bytes <= (20e6 / 8) * flow.seconds * 1.05 + SLACK, `${flow.bytes} bytes in ${flow.seconds} s`);
    // That it is not far less, a machine that is busy with other things still manages.
    const ran = flow.seconds - stoodStill;
    t.true(flow.bytes >= (20e6 / 8) * ran * 0.5, `${flow.bytes} bytes in ${ran} of ${flow.seconds} s`);
    t.log(`20 Mbit/s asked for, ${flow.mbps.toFixed(1)} Mbit/s of payload delivered`);
    const [rest] = await classes(lab, direction);
    t.true(rest.delayed > 0);
    t.true(rest.bytes >= flow.bytes);
    // The other way nothing holds it back.
    const back = direction === 'out' ? 'reverse' : 'forward';
    const free = (await iperf3(lab, { seconds: SECONDS, direction: back }))[back]!;
    t.true(free.bytes > (40e6 / 8) * SECONDS, `${free.bytes} bytes`);
  });
}

test('what has priority does not wait behind a copy, nor is it lost', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const shape = { out: { rate: '5mbit', classes: [{ name: 'shell', dscp: 'ef', priority: 1 }] } };
  await startIsthmus(lab, { change: (a) => (a.peerings[0]['shape'] = shape) });
  const copy = iperf3(lab, { seconds: 10, streams: 4 });
  /** Pings with this TOS: how many were answered, and after how many ms on average. */
  const ping = async (tos: string): Promise<[answered: number, average: number]> => {
    const argv = ['ping', '-q', '-i', '0.2', '-c', '20', '-w', '50', '-Q', tos, B[4]];
    const { stdout } = await lab.run('a', argv, { timeout: 60_000 });
    return [
      Number(/(\d+) received/.exec(stdout)?.[1] ?? 0),
      Number(/= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1] ?? Infinity),
    ];
  };
  const [[answered, marked], [, plain]] = await Promise.all([ping('0xb8'), ping('0x04')]);
  t.log(`ping beside a copy: ${marked} ms with priority, ${plain} ms without`);
  t.is(answered, 20);
  const { forward } = await copy;
  t.true(forward!.bytes > 0);
  // Four copies keep the queue full, which is 100 ms of the rate or more; an idle machine shows 1 ms and 300 ms.
  t.true(marked < plain, `${marked} and ${plain} ms`);
  const [shell] = await classes(lab, 'out');
  t.is(shell.name, 'shell');
  t.true(shell.packets >= 20);
  t.is(shell.drops, 0);
});
