import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import {
  connected,
  gatewayStatus,
  generatePsk,
  interfaceName,
  isthmusFiles,
  isthmusOn,
  startGateways,
  writeGatewayFile,
} from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { remembered } from '../lab/look.ts';
import { until } from '../lab/process.ts';
import { runningTime } from '../lab/running-time.ts';
import { startTransfer, transfer } from '../lab/transfer.ts';
import { B, plug, twoVpcs } from '../lab/two-vpcs.ts';

for (const { killed, what } of [
  { killed: 0, what: 'has the endpoint of its peer in its file' },
  { killed: 1, what: 'does not know where its peer is' },
] as const) {
  test(`killed and started again: a gateway that ${what}`, async (t) => {
    const lab = await twoVpcs();
    t.teardown(() => lab.dispose());
    const files = isthmusFiles(lab, await generatePsk(lab));
    const gateways = [...(await startGateways(lab, files)).processes];
    const steady = await startTransfer(lab, { rate: 200_000 });
    for (const end of ['a', 'b'] as const) await remembered(interfaceName(lab, end));

    gateways[killed].signal('SIGKILL');
    t.is(await gateways[killed].ended, 128 + 9);
    const time = runningTime();
    gateways[killed] = isthmusOn(lab, ['gwa', 'gwb'][killed], files[killed]);
    await connected(lab, { processes: gateways });
    const seconds = time();
    t.log(`${seconds.toFixed(1)} s`);
    t.true(seconds < 6, `${seconds} s`);
    t.true((await steady.finish()).intact, 'a connection goes on');
    t.true((await transfer(lab, { from: 'b', bytes: 1e6 })).intact);
  });
}

/** All that a gateway could have changed on its host; without link-local addresses, which the kernel adds when it likes. */
async function stateOf(lab: Lab, host: string): Promise<Record<string, string>> {
  const commands = {
    links: 'ls /sys/class/net',
    addresses: 'ip -oneline address',
    routes: 'ip -4 route show table all',
    routes6: 'ip -6 route show table all',
    rules: 'ip rule; ip -6 rule',
    sockets: 'ss -Hluntx',
    forwarding: 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding',
    firewall: 'nft list ruleset',
  };
  const state = Object.entries(commands).map(async ([name, command]) => {
    const lines = (await lab.must(host, ['sh', '-c', command])).split('\n');
    return [name, lines.filter((line) => !/fe80:|ff00:/.test(line)).join('\n')];
  });
  return Object.fromEntries(await Promise.all(state)) as Record<string, string>;
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends a gateway, which takes back what it did`, async (t) => {
    const lab = await twoVpcs();
    t.teardown(() => lab.dispose());
    const files = isthmusFiles(lab, await generatePsk(lab));
    await lab.sysctl('gwa', { 'net.ipv4.ip_forward': 0, 'net.ipv6.conf.all.forwarding': 0 });
    const before = await stateOf(lab, 'gwa');
    const { processes: gateways } = await startGateways(lab, files);
    await startTransfer(lab);
    const between = await stateOf(lab, 'gwa');
    for (const part of ['links', 'addresses', 'routes', 'routes6', 'sockets', 'forwarding'])
      t.not(between[part], before[part]);
    const sockets = ['/run/isthmus/', '/run/wireguard/'].map((folder) => `${folder}${interfaceName(lab, 'a')}.sock`);
    t.true(sockets.every((path) => existsSync(path)));

    const time = runningTime();
    gateways[0].signal(signal);
    t.is(await gateways[0].ended, 0);
    t.true(time() < 3);
    t.deepEqual(await stateOf(lab, 'gwa'), before);
    t.false(sockets.some((path) => existsSync(path)));
  });
}

test('SIGHUP: peerings come and go and rules change, while a connection goes on', async (t) => {
  const lab = await twoVpcs({ between: 'switch' });
  t.teardown(() => lab.dispose());
  const files = isthmusFiles(lab, await generatePsk(lab));
  const [fileA] = files;
  const { processes: gateways } = await startGateways(lab, files);
  const steady = await startTransfer(lab, { rate: 200_000 });
  const reload = async (expected: RegExp): Promise<void> => {
    writeGatewayFile(lab, 'gwa', fileA);
    const seen = gateways[0].output().length;
    gateways[0].signal('SIGHUP');
    await until(String(expected), () => expected.test(gateways[0].output().slice(seen)));
  };
  const pings = async (address: string): Promise<boolean> =>
    (await lab.run('a', ['ping', '-c', '1', '-W', '1', address])).code === 0;

  // A third VPC: a gateway with one host, itself.
  const hostC = '10.99.1.1';
  const psk = await generatePsk(lab);
  await lab.host('gwc', { forward: true });
  await plug(lab, { host: 'gwc', name: 'wan', addresses: ['198.51.100.3/24'] });
  await lab.ip('gwc', 'address', 'add', `${hostC}/32`, 'dev', 'lo');
  const [, fileC] = isthmusFiles(lab, psk);
  Object.assign(fileC.gateway, { interface: `${lab.prefix}c`, address: '10.8.0.3/32', subnets: ['10.99.0.0/16'] });
  const gatewayC = isthmusOn(lab, 'gwc', fileC);
  const peeringC = { role: 'client', psk, endpoint: '198.51.100.3:51820', subnets: ['10.99.0.0/16'], acl: 'open' };
  fileA.peerings[0]['address'] = ['10.8.0.2', 'fd00:8::2'];
  fileA.peerings.push({ name: 'vpc-c', address: '10.8.0.3', ...peeringC });
  await reload(/configuration reloaded/);
  await until('an answer of the added peering', () => pings(hostC));
  t.deepEqual(
    (await gatewayStatus(lab, 'a')).peers.map(({ name }) => name),
    ['vpc-b', 'vpc-c'],
  );

  fileA.acls = {
    open: [
      { name: 'no-ping', action: 'deny', protocol: 'icmp' },
      { name: 'rest', action: 'allow' },
    ],
  };
  await reload(/configuration reloaded/);
  t.false(await pings(B[4]));
  t.true((await gatewayStatus(lab, 'a')).rules.find(({ name }) => name === 'no-ping')!.denied > 0);

  const good = structuredClone(fileA);
  fileA.peerings[1]['subnets'] = ['10.99.0.1/16'];
  fileA.acls = {};
  const routes = await lab.must('gwa', ['ip', 'route']);
  await reload(/not reloaded, nothing changed: .*gwa\.yaml:\d+:\d+: peerings\[1\]\.subnets.*10\.99\.0\.0\/16/);
  t.true(gateways[0].isRunning());
  t.is(await lab.must('gwa', ['ip', 'route']), routes);
  t.deepEqual((await gatewayStatus(lab, 'a')).peers[1].routes, ['10.99.0.0/16', '10.8.0.3/32']);
  t.false(await pings(B[4]), 'the rules of the last good file hold');

  Object.assign(fileA, good);
  fileA.peerings.pop();
  fileA.acls['open'].shift();
  await reload(/configuration reloaded/);
  t.is((await gatewayStatus(lab, 'a')).peers.length, 1);
  t.notRegex(await lab.must('gwa', ['ip', 'route']), /10\.99\.|10\.8\.0\.3/);
  t.false(await pings(hostC));
  await until('an answer', () => pings(B[4]));
  await gatewayC.stop();
  const again = isthmusOn(lab, 'gwc', fileC);
  await until('the other gateway', () => again.output().includes('is up'));
  await sleep(1000);
  const handshakes = await lab.must('gwc', ['wg', 'show', `${lab.prefix}c`, 'latest-handshakes']);
  t.regex(handshakes, /\t0\n/, 'who was removed is not answered');

  const { intact, pause } = await steady.finish();
  t.true(intact);
  t.true(pause < 1, `${pause} s without a byte`);
});
