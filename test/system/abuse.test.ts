import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import test from 'ava';
import { startIsthmus } from '../lab/contenders.ts';
import { iperf3, pingTime } from '../lab/iperf3.ts';
import type { Lab } from '../lab/lab.ts';
import { dropsOf, residentMebibytes, statusOf } from '../lab/look.ts';
import { GATEWAY_B, twoVpcs } from '../lab/two-vpcs.ts';
import { flood } from '../lab/underlay.ts';

const MILLION = 1_000_000;
const RATE = 60_000;
const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((total, count) => total + count, 0);

/** Datagrams that the kernel of gateway B threw away, as the socket's buffer was full. */
async function overflowed(lab: Lab): Promise<number> {
  const table = await lab.must('gwb', ['cat', '/proc/net/snmp', '/proc/net/snmp6']);
  const [, names, values] = /^Udp: (.*)\nUdp: (.*)$/m.exec(table) ?? [];
  return Number(values.split(' ')[names.split(' ').indexOf('RcvbufErrors')]);
}

test('a million bad datagrams: silence, no growth, all counted, and the traffic goes on', async (t) => {
  const lab = await twoVpcs({ between: 'switch' });
  t.teardown(() => lab.dispose());
  const samples = join(lab.directory, 'samples.pcap');
  const capture = lab.spawn('wan', ['tcpdump', '-i', 'gwb', '-U', '-w', samples, 'udp', 'port', '51820']);
  await sleep(1000);
  const { processes } = await startIsthmus(lab);
  await pingTime(lab, { count: 50 });
  await iperf3(lab, { seconds: 1, udp: { length: 400, rate: '5M' }, direction: 'both' });
  await capture.stop();

  const to = `${GATEWAY_B[4]}:51820`;
  const memory: number[] = [];
  const iperfs = [];
  const before = { drops: sum(dropsOf(await statusOf(lab, 'b'))), lost: await overflowed(lab) };
  const answers: Record<string, number> = {};
  // The first tenth is for the program to reach its working size.
  let sent = 0;
  for (const [round, count] of [0.1, 0.45, 0.45].map((share) => share * MILLION).entries()) {
    const traffic = iperf3(lab, { seconds: Math.ceil(count / RATE) });
    const result = await flood(lab, 'wan', { to, count, rate: RATE, samples, seed: round + 1 });
    iperfs.push(await traffic);
    sent += result.sent;
    for (const [type, times] of Object.entries(result.answers)) answers[type] = (answers[type] ?? 0) + times;
    await sleep(1000);
    memory.push(residentMebibytes(processes[1]));
  }
  const drops = dropsOf(await statusOf(lab, 'b'));
  const lost = (await overflowed(lab)) - before.lost;
  console.log(memory, iperfs.map((i) => i.mbps), answers, drops, sum(drops) - before.drops, sent, lost, (await statusOf(lab, 'b')).peers);
});
