import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import {
  connected,
  gatewayStatus,
  generatePsk,
  interfaceName,
  isthmusFiles,
  isthmusOn,
  startGateways,
  startIsthmus,
  wireguardGoOn,
  writeGatewayFile,
  writePrivate,
  ISTHMUS,
} from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { until } from '../lab/process.ts';
import { runningTime } from '../lab/running-time.ts';
import { startTransfer, transfer } from '../lab/transfer.ts';
import { A, B, GATEWAY_A, GATEWAY_B, MIDDLE, twoVpcs, type TwoVpcsOptions } from '../lab/two-vpcs.ts';
import { cut, masquerade, relay, restore } from '../lab/underlay.ts';

/** Bytes a second of a connection that only has to go on. */
const STEADY = 200_000;

async function laboratory(t: ExecutionContext, options?: TwoVpcsOptions): Promise<Lab> {
  const lab = await twoVpcs(options);
  t.teardown(() => lab.dispose());
  return lab;
}

async function endpointSeenBy(lab: Lab, end: 'a' | 'b'): Promise<string | null> {
  return (await gatewayStatus(lab, end)).peers[0].endpoint;
}

const isSeen = (lab: Lab, end: 'a' | 'b', endpoint: string): Promise<void> =>
  until(`the endpoint ${endpoint}`, async () => (await endpointSeenBy(lab, end)) === endpoint);

const withPort = (address: string, port = 51820): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

test('a gateway takes another port, and is followed', async (t) => {
  const lab = await laboratory(t);
  const files = isthmusFiles(lab, await generatePsk(lab));
  const { processes: gateways } = await startGateways(lab, files);
  const steady = await startTransfer(lab, { rate: STEADY });
  files[0].gateway['listen'] = 4444;
  writeGatewayFile(lab, 'gwa', files[0]);
  gateways[0].signal('SIGHUP');
  await isSeen(lab, 'b', withPort(GATEWAY_A[4], 4444));
  // And once more, as one that has forgotten everything.
  const time = runningTime();
  await gateways[0].stop();
  files[0].gateway['listen'] = 4445;
  isthmusOn(lab, 'gwa', files[0]);
  await isSeen(lab, 'b', withPort(GATEWAY_A[4], 4445));
  const away = time();
  await until('a count of it', async () => (await gatewayStatus(lab, 'b')).peers[0].roams >= 1);
  const { intact, pause } = await steady.finish();
  t.true(intact);
  // TCP doubles the time between its attempts: the next is up to as long after the restart as that took.
  t.true(pause < 2 * away + 3, `${pause} s without a byte, ${away} s of them without a gateway`);
});

test('wireguard-go takes another port, and is followed', async (t) => {
  const lab = await laboratory(t);
  const files = isthmusFiles(lab, await generatePsk(lab), { cipher: 'chacha20-poly1305' });
  const exported = await lab.must('gwa', [...ISTHMUS, 'export-wg', writeGatewayFile(lab, 'gwa', files[0])]);
  const quick = writePrivate(lab, `${interfaceName(lab, 'b')}.conf`, exported);
  await wireguardGoOn(lab, 'gwb', await lab.must('gwb', ['wg-quick', 'strip', quick]));
  await connected(lab, { processes: [isthmusOn(lab, 'gwa', files[0])] });
  const steady = await startTransfer(lab, { from: 'b', rate: STEADY });
  await lab.must('gwb', ['wg', 'set', interfaceName(lab, 'b'), 'listen-port', '4444']);
  await isSeen(lab, 'a', withPort(GATEWAY_B[4], 4444));
  const { intact, pause } = await steady.finish();
  t.true(intact);
  t.true(pause < 5, `${pause} s without a byte`);
});

for (const outside of [4, 6] as const) {
  test(`gateways take other addresses, and are followed, IPv${outside}`, async (t) => {
    const lab = await laboratory(t);
    const [otherA, otherB] = outside === 4 ? ['198.51.100.11', '198.51.100.22'] : ['2001:db8::11', '2001:db8::22'];
    const length = outside === 4 ? '/24' : '/64';
    const replace = async (host: string, old: string, now: string): Promise<void> => {
      await lab.ip(host, 'address', 'delete', old + length, 'dev', 'wan');
      await lab.ip(host, 'address', 'replace', now + length, 'dev', 'wan');
    };
    await lab.ip('gwb', 'address', 'add', otherB + length, 'dev', 'wan');
    await startIsthmus(lab, { outside, change: (a) => (a.peerings[0]['endpoint'] = withPort(otherB)) });
    const fromA = await startTransfer(lab, { rate: STEADY });
    const fromB = await startTransfer(lab, { from: 'b', rate: STEADY, port: 7002 });

    await sleep(1000);
    t.is(await endpointSeenBy(lab, 'a'), withPort(otherB), 'it answers from the address that it was called at');
    t.is(await endpointSeenBy(lab, 'b'), withPort(GATEWAY_A[outside]));
    await lab.ip('gwb', 'address', 'delete', otherB + length, 'dev', 'wan');
    await isSeen(lab, 'a', withPort(GATEWAY_B[outside]));
    await replace('gwa', GATEWAY_A[outside], otherA);
    await isSeen(lab, 'b', withPort(otherA));
    for (const { intact, pause } of [await fromA.finish(), await fromB.finish()]) {
      t.true(intact);
      t.true(pause < 5, `${pause} s without a byte`);
    }
  });
}

test('persistent keepalive holds the way through a NAT that forgets after 2 s', async (t) => {
  const lab = await laboratory(t, { between: 'nat' });
  await masquerade(lab, 'nat', 'wan', 2);
  await startIsthmus(lab, { change: (a) => (a.peerings[0]['keepalive'] = '1s') });
  await sleep(6000);
  // Had it not held, none would ever get through. One may be lost where the machine stood still for longer than 2 s.
  const answered = async (): Promise<boolean> => (await lab.run('b', ['ping', '-c', '1', '-W', '1', A[4]])).code === 0;
  await until('an answer', answered, 30_000);
  t.true((await transfer(lab, { from: 'b', bytes: 1e6 })).intact, 'a connection from the other side');
  t.true((await endpointSeenBy(lab, 'b'))!.startsWith(`${GATEWAY_A[4]}:`));
});

test('loss of 5 %, duplicates and another order all at once', async (t) => {
  const lab = await laboratory(t, { between: 'switch' });
  const listen = `${MIDDLE[4]}:4000`;
  const relaying = await relay(lab, 'wan', { listen, to: withPort(GATEWAY_B[4]), loss: 5, duplicate: 5, reorder: 5 });
  await startIsthmus(lab, { change: (a) => (a.peerings[0]['endpoint'] = listen) });
  t.is(await endpointSeenBy(lab, 'a'), listen);

  const ping = await lab.run('a', ['ping', '-q', '-i', '0.01', '-W', '1', '-c', '300', B[4]]);
  const lost = Number(/([\d.]+)% packet loss/.exec(ping.stdout)?.[1]);
  t.true(lost > 3 && lost < 18, `${lost} % of the pings are lost where 9.75 % should be`);
  t.notRegex(ping.stdout, /duplicates/);
  for (const from of ['a', 'b'] as const) t.true((await transfer(lab, { from, bytes: 2e6, timeout: 180_000 })).intact);
  for (const end of ['a', 'b'] as const) t.true((await gatewayStatus(lab, end)).peers[0].drops['replayed'] > 0);
  await relaying.stop();
  t.regex(relaying.output(), /"lost":[1-9].*"duplicated":[1-9].*"reordered":[1-9]/);
});

test('the underlay is cut for 30 s, and a connection outlives it', async (t) => {
  const lab = await laboratory(t);
  const { processes } = await startIsthmus(lab);
  const steady = await startTransfer(lab, { rate: STEADY });
  await sleep(1000);
  await cut(lab, 'gwa', 'wan');
  await sleep(30_000);
  t.is((await lab.run('a', ['ping', '-c', '1', '-W', '1', B[4]])).code, 1);
  await restore(lab, 'gwa', 'wan');
  const time = runningTime();
  await connected(lab, { processes });
  t.true(time() < 15, `${time()} s`);
  const { intact, pause } = await steady.finish();
  t.true(intact);
  // TCP doubles the time between its attempts: the next is up to as long after the cut as the cut was.
  t.true(pause > 20 && pause < 70, `${pause} s without a byte`);
});
