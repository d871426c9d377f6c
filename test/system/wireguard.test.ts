import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import {
  connected,
  gatewayStatus,
  generatePsk,
  interfaceName,
  isthmusFiles,
  isthmusOn,
  wgQuickOn,
  wireguardGoOn,
} from '../lab/contenders.ts';
import { leastPingTime } from '../lab/iperf3.ts';
import type { Lab } from '../lab/lab.ts';
import { remembered } from '../lab/look.ts';
import { until } from '../lab/process.ts';
import { runningTime } from '../lab/running-time.ts';
import { startTransfer, transfer } from '../lab/transfer.ts';
import { GATEWAY_A, GATEWAY_B, SUBNETS_A, SUBNETS_B, twoVpcs } from '../lab/two-vpcs.ts';

type End = 'a' | 'b';

async function laboratory(t: ExecutionContext): Promise<Lab> {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  return lab;
}

const wg = async (lab: Lab, end: End, ...argv: string[]): Promise<string> =>
  (await lab.must(`gw${end}`, ['wg', ...argv])).trim();

/** What `wg show` says of the one peer of an end: its public key, endpoint and allowed IPs, and that it shook hands. */
async function peerOf(lab: Lab, end: End): Promise<{ publicKey: string; endpoint: string; allowedIps: string[] }> {
  const [, peer] = (await wg(lab, end, 'show', interfaceName(lab, end), 'dump')).split('\n');
  const [publicKey, , endpoint, allowedIps, handshake, received, sent] = peer.split('\t');
  if (!(Number(handshake) > 0 && Number(received) > 0 && Number(sent) > 0)) throw new Error(`wg show dump: ${peer}`);
  return { publicKey, endpoint, allowedIps: allowedIps.split(',').sort() };
}

const ownKey = (lab: Lab, end: End): Promise<string> => wg(lab, end, 'show', interfaceName(lab, end), 'public-key');

for (const { ours, name } of [
  { ours: 'a', name: 'the client, which calls' },
  { ours: 'b', name: 'the server, which is called' },
] as const) {
  test(`stock WireGuard by export-wg; Isthmus is ${name}`, async (t) => {
    const lab = await laboratory(t);
    const theirs = ours === 'a' ? 'b' : 'a';
    const files = isthmusFiles(lab, await generatePsk(lab));
    const file = files[ours === 'a' ? 0 : 1];
    // What the exported side cannot know: where the other one listens, if that is the one that is called.
    const where = ours === 'a' ? [] : ['--endpoint', `${GATEWAY_B[4]}:51820`];
    await wgQuickOn(lab, theirs, file, ...where);
    const running = isthmusOn(lab, `gw${ours}`, file);
    await connected(lab, { processes: [running] });
    for (const family of [4, 6] as const) t.true((await leastPingTime(lab, { family, count: 3 })) < 100);
    for (const from of ['a', 'b'] as const) t.true((await transfer(lab, { from, bytes: 5e7 })).intact);

    const [a, b] = [await peerOf(lab, 'a'), await peerOf(lab, 'b')];
    t.is(a.publicKey, await ownKey(lab, 'b'));
    t.is(b.publicKey, await ownKey(lab, 'a'));
    t.deepEqual(a.allowedIps, [SUBNETS_B[4], SUBNETS_B[6], '10.8.0.2/32', 'fd00:8::2/128'].sort());
    t.deepEqual(b.allowedIps, [SUBNETS_A[4], SUBNETS_A[6], '10.8.0.1/32', 'fd00:8::1/128'].sort());
    t.is(a.endpoint, `${GATEWAY_B[4]}:51820`);
    t.true(b.endpoint.startsWith(`${GATEWAY_A[4]}:`));
    t.is((await gatewayStatus(lab, ours)).peers[0].cipher, 'chacha20-poly1305');
  });
}

test('stock WireGuard takes the place of Isthmus by export-wg --this-side', async (t) => {
  const lab = await laboratory(t);
  const files = isthmusFiles(lab, await generatePsk(lab));
  await wgQuickOn(lab, 'a', files[0], '--this-side');
  const running = isthmusOn(lab, 'gwb', files[1]);
  await connected(lab, { processes: [running] });
  t.true((await transfer(lab, { bytes: 5e7 })).intact);
});

test('killed and started again, a gateway is back with a stock peer within 6 s', async (t) => {
  const lab = await laboratory(t);
  const [file] = isthmusFiles(lab, await generatePsk(lab));
  await wgQuickOn(lab, 'b', file);
  const running = isthmusOn(lab, 'gwa', file);
  await connected(lab, { processes: [running] });
  await remembered(interfaceName(lab, 'a'));
  running.signal('SIGKILL');
  await running.ended;
  const time = runningTime();
  const again = isthmusOn(lab, 'gwa', file);
  await connected(lab, { processes: [again] });
  t.true(time() < 6, `${time()} s`);
});

for (const presharedKey of [false, true]) {
  test(`peers by public key, ${presharedKey ? 'with' : 'without'} a pre-shared key`, async (t) => {
    const lab = await laboratory(t);
    const [keyA, keyB] = [await wg(lab, 'a', 'genkey'), await wg(lab, 'a', 'genkey')];
    const publicKey = async (key: string): Promise<string> =>
      (await lab.must('gwa', ['wg', 'pubkey'], { input: key })).trim();
    const psk = await wg(lab, 'a', 'genpsk');
    const [file] = isthmusFiles(lab, '');
    file.gateway['private_key'] = keyA;
    const { name, endpoint, subnets, acl } = file.peerings[0];
    const secret = presharedKey ? { preshared_key: psk } : {};
    file.peerings = [{ name, endpoint, subnets, acl, public_key: await publicKey(keyB), ...secret }];
    await wireguardGoOn(
      lab,
      'gwb',
      `[Interface]
PrivateKey = ${keyB}
ListenPort = 51820
[Peer]
PublicKey = ${await publicKey(keyA)}
${presharedKey ? `PresharedKey = ${psk}` : ''}
AllowedIPs = ${SUBNETS_A[4]}, ${SUBNETS_A[6]}
`,
    );
    const running = isthmusOn(lab, 'gwa', file);
    await connected(lab, { processes: [running] });
    t.true((await transfer(lab, { from: 'b', bytes: 1e7 })).intact);
    t.is((await peerOf(lab, 'a')).publicKey, await ownKey(lab, 'b'));
    t.is((await peerOf(lab, 'b')).publicKey, await ownKey(lab, 'a'));
  });
}

test('10 GB, rekeyed every 5 s', async (t) => {
  const lab = await laboratory(t);
  // Renewed under `auto`, a session with a stock WireGuard costs an attempt without an answer, and 5 s.
  const [file] = isthmusFiles(lab, await generatePsk(lab), { cipher: 'chacha20-poly1305' });
  file.gateway['rekey'] = '5s';
  await wgQuickOn(lab, 'b', file);
  const running = isthmusOn(lab, 'gwa', file);
  await connected(lab, { processes: [running] });
  const handshakes = new Set<string>();
  const look = async (): Promise<number> =>
    handshakes.add(await wg(lab, 'b', 'show', interfaceName(lab, 'b'), 'latest-handshakes')).size;
  const steady = await startTransfer(lab, { rate: 1_000_000, port: 7002 });
  for (const from of ['a', 'b'] as const) {
    const finished = transfer(lab, { from, bytes: 5e9, timeout: 300_000 });
    while ((await Promise.race([finished, sleep(500)])) === undefined) await look();
    const { intact, pause, seconds } = await finished;
    t.log(`${((5 * 8) / seconds).toFixed(2)} Gbit/s from ${from}`);
    t.true(intact);
    t.true(pause < 1, `${pause} s without a byte, from ${from}`);
  }
  await until('four handshakes', async () => (await look()) >= 4);
  const { intact, pause } = await steady.finish();
  t.true(intact, 'a connection that outlived them all');
  t.true(pause < 1, `${pause} s without a byte`);
});
