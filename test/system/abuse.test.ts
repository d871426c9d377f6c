import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import test from 'ava';
import { gatewayStatus, startIsthmus } from '../lab/contenders.ts';
import { iperf3, leastPingTime, pingTime } from '../lab/iperf3.ts';
import { dropsOf, overflowed, residentMebibytes } from '../lab/look.ts';
import { until } from '../lab/process.ts';
import { GATEWAY_A, GATEWAY_B, twoVpcs } from '../lab/two-vpcs.ts';
import { flood } from '../lab/underlay.ts';

const MILLION = 1_000_000;
const RATE = 60_000;
const sum = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

test('a million bad datagrams: silence, no growth, all counted, and the traffic goes on', async (t) => {
  const lab = await twoVpcs({ between: 'switch' });
  t.teardown(() => lab.dispose());
  const samples = join(lab.directory, 'samples.pcap');
  const capture = lab.spawn('wan', ['tcpdump', '-i', 'gwb', '-U', '-w', samples, 'udp', 'port', '51820']);
  await until('the capture', () => capture.output().includes('listening'));
  const { processes } = await startIsthmus(lab);
  await pingTime(lab, { count: 50 });
  await iperf3(lab, { seconds: 1, udp: { length: 400, rate: '5M' }, direction: 'both' });
  await capture.stop();

  const carried = async (): Promise<{ sent: number; came: number }> => {
    const [a, b] = [await gatewayStatus(lab, 'a'), await gatewayStatus(lab, 'b')];
    return { sent: a.peers[0].tx_packets, came: b.peers[0].rx_packets };
  };
  const before = { drops: sum(dropsOf(await gatewayStatus(lab, 'b'))), lost: await overflowed(lab, 'gwb') };
  const traffic = await carried();
  const memory: number[] = [];
  const answers: Record<string, number> = {};
  const speeds: number[] = [];
  let sent = 0;
  // What comes before the last round is for the program to reach its working size.
  for (const [round, count] of [MILLION / 10, MILLION * 0.45, MILLION * 0.45].entries()) {
    const to = `${GATEWAY_B[4]}:51820`;
    const [flooded, { mbps }] = await Promise.all([
      flood(lab, 'wan', { to, count, rate: RATE, samples, seed: round + 1 }),
      iperf3(lab, { seconds: Math.ceil(count / RATE) }),
    ]);
    sent += flooded.sent;
    for (const [type, times] of Object.entries(flooded.answers)) answers[type] = (answers[type] ?? 0) + times;
    speeds.push(mbps);
    await sleep(1000);
    memory.push(residentMebibytes(processes[1]));
  }
  const status = await gatewayStatus(lab, 'b');
  const drops = dropsOf(status);
  const counted = sum(drops) - before.drops + (await overflowed(lab, 'gwb')) - before.lost;
  // Of what the socket's buffer had no room for some was traffic.
  const { sent: passed, came } = await carried();
  const own = Math.max(0, passed - traffic.sent - (came - traffic.came));
  t.log({ counted, own, speeds, memory, answers, drops });

  t.is(sent, MILLION);
  t.true(counted > 0.99 * MILLION && counted - own < 1.01 * MILLION, `${counted} counted, ${own} of them traffic`);
  for (const reason of ['malformed-datagram', 'unknown-index', 'bad-tag', 'replayed', 'bad-mac1']) {
    t.true(drops[reason] > 1000, `some are dropped as ${reason}`);
  }
  // To a handshake message with a good mac1 a gateway under load answers by a cookie; nothing else deserves an answer.
  const { 3: cookies = 0, ...others } = answers;
  t.deepEqual(others, {});
  t.true(cookies <= (drops['under-load'] ?? 0), `${cookies} cookies`);
  // A datagram that is kept has hundreds of bytes, and the last round alone half a million of them.
  t.true(memory[2] - memory[1] < 16, `${memory.join(', ')} MiB`);
  t.true(Math.min(...speeds) > 10, `${speeds.join(', ')} Mbit/s`);
  t.is(status.peers[0].endpoint, `${GATEWAY_A[4]}:51820`, 'what was repeated from elsewhere moved nobody');
  t.true((await leastPingTime(lab)) < 100);
});
