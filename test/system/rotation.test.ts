import test from 'ava';
import {
  gatewayStatus,
  generatePsk,
  interfaceName,
  isthmusFiles,
  ISTHMUS,
  startGateways,
  writeGatewayFile,
} from '../lab/contenders.ts';
import { startNumbered } from '../lab/numbered-stream.ts';
import { until } from '../lab/process.ts';
import { twoVpcs } from '../lab/two-vpcs.ts';

const ENDS = ['a', 'b'] as const;

for (const order of [
  [0, 1],
  [1, 0],
]) {
  test(`the procedure of docs/rotation.md, gateway ${ENDS[order[0]]} first: nothing is lost`, async (t) => {
    const lab = await twoVpcs();
    t.teardown(() => lab.dispose());
    const files = isthmusFiles(lab, await generatePsk(lab));
    await startGateways(lab, files);
    const next = await generatePsk(lab);
    const stream = await startNumbered(lab);
    const change = async (end: number, keys: object, expected: string): Promise<void> => {
      Object.assign(files[end].peerings[0], keys);
      writeGatewayFile(lab, `gw${ENDS[end]}`, files[end]);
      t.is(await lab.must('gwa', [...ISTHMUS, 'reload', interfaceName(lab, ENDS[end])]), expected);
    };
    const name = (end: number): string => `peerings[${String(files[end].peerings[0]['name'])}]`;
    const under = async (psk: string): Promise<boolean> => {
      const statuses = await Promise.all(ENDS.map((end) => gatewayStatus(lab, end)));
      return statuses.every(({ peers }) => peers[0].psk === psk);
    };

    for (const end of order) await change(end, { next }, `~ ${name(end)}.next: none -> (secret)\n`);
    await until('a session under the next PSK', () => under('next'), 60_000);
    for (const end of order) {
      const expected = `~ ${name(end)}.psk: (secret) -> (secret)\n~ ${name(end)}.next: (secret) -> none\n`;
      await change(end, { psk: next, next: undefined }, expected);
    }
    t.true(await under('current'));
    for (const way of await stream.finish()) {
      t.log(`${way.sent} datagrams`);
      t.deepEqual(way, { sent: way.sent, received: way.sent, duplicates: 0, missing: [] });
    }
  });
}
