import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { gatewayStatus, interfaceName, ISTHMUS, startIsthmus, writePrivate } from '../lab/contenders.ts';
import { processorSeconds, residentMebibytes } from '../lab/look.ts';
import { must, until, type Running } from '../lab/process.ts';
import { startTransfer } from '../lab/transfer.ts';
import { twoHosts } from '../lab/two-hosts.ts';
import { B, twoVpcs } from '../lab/two-vpcs.ts';

test('the MTU is changed while one connection transfers: it goes on, and every byte is right', async (t) => {
  const lab = await twoVpcs({ mtu: 40_000 });
  t.teardown(() => lab.dispose());
  await startIsthmus(lab, { mtu: 1280 });
  const received = async (): Promise<number> => (await gatewayStatus(lab, 'b')).peers[0].rx_bytes;
  const transfer = await startTransfer(lab);
  const speeds: number[] = [];
  for (const mtu of [1280, 1420, 9000, 34_816, 1281, 20_000, 1280, 34_816]) {
    await lab.ip('gwa', 'link', 'set', interfaceName(lab, 'a'), 'mtu', String(mtu));
    await lab.ip('gwb', 'link', 'set', interfaceName(lab, 'b'), 'mtu', String(mtu));
    await until(`the transfer to go on with an MTU of ${mtu}`, async () => {
      const before = await received();
      await sleep(500);
      speeds.push(Math.round(((await received()) - before) / 62_500));
      return speeds.at(-1)! > 10;
    });
    const packet = mtu - 28;
    await until(`an answer to a packet of ${packet} with an MTU of ${mtu}`, async () => {
      // Hosts remember the path's MTU for minutes, also when it has grown; what was on its way may tell them the old one.
      for (const host of ['a', 'b']) await lab.ip(host, 'route', 'flush', 'cache');
      const ping = ['ping', '-c', '2', '-i', '0.2', '-W', '2', '-M', 'do', '-s', String(packet), B[4]];
      return (await lab.run('a', ping)).code === 0;
    });
  }
  const { intact, bytes } = await transfer.finish();
  t.log(`Mbit/s: ${speeds.join(', ')}; ${bytes} bytes`);
  t.true(intact && bytes > 1e7);
});

test('a path that is said to carry next to nothing, as anyone can say, leaves the overlay what IPv6 needs', async (t) => {
  const lab = await twoHosts(t);
  const network = new URL('../../src/gateway/network.js', import.meta.url).href;
  const ask = `import('${network}').then(async ({ automaticMtu }) => console.log(await automaticMtu('203.0.113.7')))`;
  for (const [said, mtu] of [
    [552, 1280],
    [1400, 1320],
  ]) {
    await lab.ip('a', 'route', 'replace', '203.0.113.7', 'via', '192.0.2.2', 'mtu', String(said));
    t.is((await lab.must('a', ['node', '-e', ask])).trim(), String(mtu));
  }
});

test('isthmus device with 130,000 allowed IPs: all are listed, the longest decides, and memory stays in bounds', async (t) => {
  const lab = await twoHosts(t);
  const keys = await Promise.all(
    [0, 1, 2].map(async () => {
      const secret = (await must(['wg', 'genkey'])).trim();
      return { secret, public: (await must(['wg', 'pubkey'], { input: secret })).trim() };
    }),
  );
  const device = async (end: 'a' | 'b', own: number, peers: string): Promise<Running> => {
    const name = interfaceName(lab, end);
    const running = lab.spawn(end, [...ISTHMUS, 'device', '-f', name]);
    await until('the device', async () => (await lab.run(end, ['wg', 'show', name])).code === 0);
    const conf = `[Interface]\nPrivateKey = ${keys[own].secret}\nListenPort = 4000\n${peers}`;
    await lab.must(end, ['wg', 'setconf', name, writePrivate(lab, `${end}.conf`, conf)]);
    await lab.ip(end, 'link', 'set', name, 'up');
    return running;
  };
  const peer = (key: number, allowed: readonly string[], more = ''): string =>
    `[Peer]\nPublicKey = ${keys[key].public}\nAllowedIPs = ${allowed.join(', ')}\n${more}`;
  // Every second address of 10.0.0.0/14 is a peer's that is nowhere, the rest of it the other's, and some of IPv6.
  const addresses = Array.from({ length: 120_000 }, (_, i) => `10.${i >> 15}.${(i >> 7) & 255}.${(i * 2) & 255}/32`);
  const networks = Array.from({ length: 10_000 }, (_, i) => `fd00:${(i + 1).toString(16)}::/${32 + (i % 90)}`);
  await device('b', 1, peer(0, ['10.9.0.0/16']));
  const endpoint = 'Endpoint = 192.0.2.2:4000\n';
  const running = await device('a', 0, peer(2, [...addresses, ...networks]) + peer(1, ['10.0.0.0/14'], endpoint));
  const seconds = processorSeconds(running);

  const [name, other] = [interfaceName(lab, 'a'), interfaceName(lab, 'b')];
  await lab.ip('a', 'address', 'add', '10.9.0.1/32', 'dev', name);
  await lab.ip('a', 'route', 'add', '10.0.0.0/14', 'dev', name);
  await lab.ip('b', 'address', 'add', '10.0.0.0/14', 'dev', 'lo');
  await lab.ip('b', 'route', 'add', '10.9.0.1/32', 'dev', other);
  const listed = await lab.must('a', ['wg', 'show', name, 'allowed-ips']);
  const [, given] = listed
    .split('\n')
    .find((line) => line.startsWith(keys[2].public))!
    .split('\t');
  const wanted = [...addresses, ...networks].sort();
  t.true(given.split(' ').sort().join() === wanted.join(), 'all that were given are listed, each once');
  for (const at of [0, 1, 777, 65_535, 65_536, 119_999]) {
    const even = addresses[at].slice(0, -3);
    const odd = even.replace(/\d+$/, (last) => String(Number(last) + 1));
    const answered = async (to: string): Promise<boolean> =>
      (await lab.run('a', ['ping', '-c', '1', '-W', '1', to])).code === 0;
    await until(`an answer of ${odd}, which is the near peer's`, () => answered(odd));
    t.false(await answered(even), `${even} is the peer's that is nowhere`);
  }
  const memory = residentMebibytes(running);
  t.log(`${seconds.toFixed(1)} s of a processor for the start of the device, ${memory.toFixed(0)} MiB`);
  t.true(seconds < 20 && memory < 400);
});
