import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import test from 'ava';
import { gatewayStatus, startIsthmus } from '../lab/contenders.ts';
import { iperf3, leastPingTime, pingTime } from '../lab/iperf3.ts';
import { counted, dropsOf, overflowed, residentMebibytes } from '../lab/look.ts';
import { until } from '../lab/process.ts';
import { B, GATEWAY_A, GATEWAY_B, twoVpcs } from '../lab/two-vpcs.ts';
import { flood } from '../lab/underlay.ts';
import { icmp, ip, quoting, udp } from '../wire/packets.ts';
import { onesSum } from '../wire/sums.ts';

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
  const all = sum(drops) - before.drops + (await overflowed(lab, 'gwb')) - before.lost;
  // Of what the socket's buffer had no room for some was traffic.
  const { sent: passed, came } = await carried();
  const own = Math.max(0, passed - traffic.sent - (came - traffic.came));
  t.log({ all, own, speeds, memory, answers, drops });

  t.is(sent, MILLION);
  t.true(all > 0.99 * MILLION && all - own < 1.01 * MILLION, `${all} counted, ${own} of them traffic`);
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

const SEND_ICMP = `
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(bytes.fromhex(sys.argv[1]), (sys.argv[2], 0))
`;

test('an ICMP error that says the path between the gateways is narrow, from who is not on it, has no datagram cut', async (t) => {
  const lab = await twoVpcs({ between: 'switch' });
  t.teardown(() => lab.dispose());
  await startIsthmus(lab);
  const datagram = ip(GATEWAY_A[4], GATEWAY_B[4], 17, udp(51820, 51820, 1452));
  const error = icmp(3, 4, quoting(datagram, 548));
  error.set([552 >>> 8, 552 & 255], 6);
  const sum = ~onesSum(error) & 0xffff;
  error.set([sum >>> 8, sum & 255], 2);
  const heard = () => counted(lab, 'gwa', 'Icmp', 'InDestUnreachs');
  const before = { heard: await heard(), cut: await counted(lab, 'gwa', 'Ip', 'FragCreates') };
  await lab.must('wan', ['python3', '-c', SEND_ICMP, Buffer.from(error).toString('hex'), GATEWAY_A[4]]);
  await until('the error', async () => (await heard()) > before.heard);
  // 1420 bytes on the overlay, 1480 on the underlay.
  t.is((await lab.run('a', ['ping', '-c', '3', '-i', '0.2', '-M', 'do', '-s', '1392', B[4]])).code, 0);
  t.is(await counted(lab, 'gwa', 'Ip', 'FragCreates'), before.cut);
});
