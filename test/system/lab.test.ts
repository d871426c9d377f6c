import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { interfaceName, startWireguardGo } from '../lab/contenders.ts';
import { iperf3, leastPingTime, pingTime } from '../lab/iperf3.ts';
import { Lab } from '../lab/lab.ts';
import { execute, until } from '../lab/process.ts';
import { B, GATEWAY_B, MIDDLE, twoVpcs } from '../lab/two-vpcs.ts';
import { cut, flood, lose, masquerade, relay, restore } from '../lab/underlay.ts';

const hold = fileURLToPath(new URL('../lab/hold.js', import.meta.url));

/** Runs a process that makes a lab, has it end, and gives its exit code and the lab's prefix. */
async function endOfLab(how: 'throw' | 'exit' | NodeJS.Signals): Promise<{ code: number | null; prefix: string }> {
  const child = spawn(process.execPath, [hold, how], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const prefix = line.toString().trim();
  if (how.startsWith('SIG')) child.kill(how as NodeJS.Signals);
  const [code] = await ended;
  return { code, prefix };
}

async function traces(prefix: string): Promise<string[]> {
  const places = ['/run/netns', '/run/wireguard', tmpdir()].filter((place) => existsSync(place));
  const names = places.flatMap((place) => readdirSync(place)).filter((name) => name.startsWith(prefix));
  const { stdout } = await execute(['ps', '-eo', 'args']);
  const sleeper = `sleep 1000.${/\d+/.exec(prefix)?.[0]}`;
  return [...names, ...stdout.split('\n').filter((line) => line === sleeper)];
}

for (const [how, wanted] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['throw', 1],
  ['exit', 3],
] as const) {
  test(`a lab leaves nothing when its process ends by ${how}`, async (t) => {
    const { code, prefix } = await endOfLab(how);
    t.is(code, wanted);
    t.regex(prefix, /^ist\d+-$/);
    t.deepEqual(await traces(prefix), []);
  });
}

test('what a killed process leaves of its lab, the next one removes', async (t) => {
  const { prefix } = await endOfLab('SIGKILL');
  // Namespaces, a directory, programs, which may not have come to their own when they were left alone.
  await until('what it leaves', async () => (await traces(prefix)).length === 4 + 1 + 2);
  const next = await endOfLab('exit');
  t.not(next.prefix, prefix);
  t.deepEqual(await traces(prefix), []);
});

async function lost(lab: Lab, count: number): Promise<number> {
  const ping = ['ping', '-q', '-i', '0.01', '-W', '1', '-c', String(count), B[4]];
  const { stdout } = await lab.run('a', ping);
  return Number(/([\d.]+)% packet loss/.exec(stdout)?.[1]);
}

test('wireguard-go joins the VPCs, and the underlay can be bad to it', async (t) => {
  const lab = await twoVpcs({ between: 'switch' });
  t.teardown(() => lab.dispose());
  await startWireguardGo(lab, { outside: 6 });
  for (const family of [4, 6] as const) t.true((await leastPingTime(lab, { family })) < 50);

  await lose(lab, 'gwb', 'wan', 30);
  const share = await lost(lab, 300);
  t.true(share > 15 && share < 45, `${share} % lost of 30 %`);
  await lose(lab, 'gwb', 'wan', 0);
  await cut(lab, 'gwa', 'wan');
  t.is(await lost(lab, 10), 100);
  await restore(lab, 'gwa', 'wan');
  await t.notThrowsAsync(pingTime(lab));

  const device = interfaceName(lab, 'a');
  const peer = (await lab.must('gwa', ['wg', 'show', device, 'peers'])).trim();
  const listen = `${MIDDLE[4]}:4000`;
  const to = `${GATEWAY_B[4]}:51820`;
  const relaying = await relay(lab, 'wan', { listen, to, loss: 1, duplicate: 5, reorder: 5, delay: 20 });
  // What the other side still sends directly makes this one roam back: then it is told again.
  const slow = async (): Promise<boolean> => {
    await lab.must('gwa', ['wg', 'set', device, 'peer', peer, 'endpoint', listen]);
    const ping = await lab.must('a', ['ping', '-q', '-i', '0.1', '-c', '10', B[4]]);
    return Number(/= [\d.]+\/([\d.]+)\//.exec(ping)?.[1]) >= 40;
  };
  await until('twice the delay of 20 ms', slow);
  const { forward } = await iperf3(lab, { seconds: 1 });
  t.true((forward?.bytes ?? 0) > 1e6);
  await relaying.stop();
  t.regex(relaying.output(), /"lost":[1-9].*"duplicated":[1-9].*"reordered":[1-9]/);
});

test('a flood is as long as it should be, and a WireGuard peer does not answer it', async (t) => {
  const lab = await twoVpcs({ between: 'switch' });
  t.teardown(() => lab.dispose());
  await startWireguardGo(lab);
  const samples = `${lab.directory}/samples.pcap`;
  const capture = lab.spawn('wan', ['tcpdump', '-i', 'gwb', '-U', '-c', '100', '-w', samples, 'udp', 'port', '51820']);
  await until('the capture', () => capture.output().includes('listening'));
  await pingTime(lab, { count: 20 });
  await capture.stop();
  const to = `${GATEWAY_B[4]}:51820`;
  t.deepEqual(await flood(lab, 'wan', { to, count: 20_000, rate: 20_000, samples }), { sent: 20_000, answers: {} });
});

test('a NAT forgets whom it has not heard of for 2 s', async (t) => {
  const lab = await twoVpcs({ between: 'nat' });
  t.teardown(() => lab.dispose());
  await masquerade(lab, 'nat', 'wan', 2);
  await startWireguardGo(lab);
  const reached = async (): Promise<boolean> =>
    (await lab.run('b', ['ping', '-c', '1', '-W', '1', '172.31.1.10'])).code === 0;
  t.true(await reached());
  await sleep(3500);
  t.false(await reached());
});
