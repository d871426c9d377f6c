import { mkdirSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { WIREGUARD_GO, writePrivate } from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { must, until, type Result } from '../lab/process.ts';
import { twoHosts } from '../lab/two-hosts.ts';

const DEVICE = [process.execPath, fileURLToPath(new URL('../../src/cli/isthmus-device.js', import.meta.url))] as const;

const socketOf = (name: string): string => `/run/wireguard/${name}.sock`;

/** Runs `isthmus device` to its end, on a host, with an environment such as `LOG_LEVEL=debug`. */
function device(lab: Lab, host: string, environment: string[], ...argv: string[]): Promise<Result> {
  return lab.run(host, ['env', ...environment, ...DEVICE, ...argv]);
}

const wg = (lab: Lab, host: string, ...argv: string[]): Promise<string> => lab.must(host, ['wg', ...argv]);

async function answers(lab: Lab, host: string, name: string): Promise<boolean> {
  return (await lab.run(host, ['wg', 'show', name])).code === 0;
}

async function linkOf(lab: Lab, host: string, name: string): Promise<{ mtu: number } | undefined> {
  const { code, stdout } = await lab.run(host, ['ip', '-json', 'link', 'show', 'dev', name]);
  return code === 0 ? (JSON.parse(stdout) as [{ mtu: number }])[0] : undefined;
}

async function keyPair(lab: Lab, name: string): Promise<{ file: string; publicKey: string; privateKey: string }> {
  const privateKey = await wg(lab, 'a', 'genkey');
  const publicKey = (await lab.must('a', ['wg', 'pubkey'], { input: privateKey })).trim();
  return { file: writePrivate(lab, name, privateKey), publicKey, privateKey: privateKey.trim() };
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test.serial(`in the foreground, until ${signal}`, async (t) => {
    const lab = await twoHosts(t);
    const name = `${lab.prefix}f`;
    const running = lab.spawn('a', [...DEVICE, '-f', name], { env: { LOG_LEVEL: 'debug' } });
    await until('the device', () => answers(lab, 'a', name));
    t.is((await linkOf(lab, 'a', name))?.mtu, 1420);
    t.is(statSync(socketOf(name)).mode & 0o077, 0);
    running.signal(signal);
    t.is(await running.ended, 0);
    t.is(await linkOf(lab, 'a', name), undefined);
    t.false(existsSync(socketOf(name)));
    t.regex(
      running.output(),
      new RegExp(`^DEBUG: \\(${name}\\) \\d{4}/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d Device started$`, 'm'),
    );
  });
}

test.serial('in the background, until its interface is deleted, and again at once', async (t) => {
  const lab = await twoHosts(t);
  const name = `${lab.prefix}d`;
  for (const round of [1, 2, 3]) {
    const { code, stdout, stderr } = await device(lab, 'a', [], name);
    t.deepEqual([code, stdout, stderr], [0, '', ''], `round ${round}`);
    t.true(await answers(lab, 'a', name), 'the socket is there when the command returns');
    await lab.ip('a', 'link', 'delete', name);
  }
  await device(lab, 'a', [], name);
  await lab.ip('a', 'link', 'delete', name);
  await until('the socket to go', () => !existsSync(socketOf(name)));
  const processes = async (): Promise<string> => must(['ip', 'netns', 'pids', lab.namespace('a')]);
  await until('the process to go', async () => (await processes()) === '');
});

test.serial('until its socket is deleted', async (t) => {
  const lab = await twoHosts(t);
  const name = `${lab.prefix}s`;
  await device(lab, 'a', [], name);
  await answers(lab, 'a', name);
  rmSync(socketOf(name));
  await until('the interface to go', async () => (await linkOf(lab, 'a', name)) === undefined);
  t.pass();
});

test.serial('one name, one device', async (t) => {
  const lab = await twoHosts(t);
  const name = `${lab.prefix}o`;
  await device(lab, 'a', [], name);
  const second = await device(lab, 'a', [], name);
  t.is(second.code, 1);
  t.regex(second.stdout, /^ERROR: \(\S+\) .* Failed to create TUN device: .*busy$/m);
  const elsewhere = await device(lab, 'b', [], name);
  t.is(elsewhere.code, 1);
  t.regex(elsewhere.stdout, /UAPI listen error: unix socket in use$/m);
  t.is(await linkOf(lab, 'b', name), undefined);
  t.true(await answers(lab, 'a', name));
});

test.serial('what is left of a socket is replaced', async (t) => {
  const lab = await twoHosts(t);
  const name = `${lab.prefix}l`;
  const killed = lab.spawn('a', [...DEVICE, '-f', name]);
  await until('the device', () => answers(lab, 'a', name));
  killed.signal('SIGKILL');
  await killed.ended;
  t.true(existsSync(socketOf(name)));
  t.is((await device(lab, 'a', [], name)).code, 0);
  t.true(await answers(lab, 'a', name));
});

test.serial('a name that the kernel completes', async (t) => {
  const lab = await twoHosts(t);
  t.is((await device(lab, 'a', [], `${lab.prefix}%d`)).code, 0);
  t.true(await answers(lab, 'a', `${lab.prefix}0`));
  await device(lab, 'a', [], `${lab.prefix}%d`);
  await lab.ip('a', 'link', 'delete', `${lab.prefix}1`);
  await until('the second one’s socket to go', () => !existsSync(socketOf(`${lab.prefix}1`)));
});

test.serial('arguments and environment', async (t) => {
  const lab = await twoHosts(t);
  for (const argv of [[], ['-f'], ['--help'], ['wg0', 'wg1'], ['-f', 'wg0', 'wg1']]) {
    const { code, stdout } = await device(lab, 'a', [], ...argv);
    t.is(code, 0);
    t.regex(stdout, /^Usage: .*INTERFACE-NAME\n$/, argv.join(' '));
  }
  t.regex((await device(lab, 'a', [], '--version')).stdout, /^isthmus v\d+\.\d+\.\d+\n/);
  const long = 'a-name-too-long-for-it';
  t.regex((await device(lab, 'a', [], long)).stdout, /^ERROR: .*Failed to create TUN device/);
  t.deepEqual(await device(lab, 'a', ['LOG_LEVEL=silent'], long), { code: 1, stdout: '', stderr: '' });
  t.regex((await device(lab, 'a', ['WG_TUN_FD=x'], 'wg0')).stdout, /WG_TUN_FD is not a descriptor/);
  t.is((await device(lab, 'a', ['WG_TUN_FD=0'], 'wg0')).code, 1);
  const name = `${lab.prefix}e`;
  const running = lab.spawn('a', [...DEVICE, name], { env: { WG_PROCESS_FOREGROUND: '1' } });
  await until('the device', () => answers(lab, 'a', name));
  t.true(running.isRunning());
  t.is(await running.stop(), 0);
  t.is(running.output(), '');
});

test.serial('devices in namespaces of their own, that roam', async (t) => {
  const lab = await twoHosts(t);
  const [nameA, nameB] = [`${lab.prefix}a`, `${lab.prefix}b`];
  const [keyA, keyB] = [await keyPair(lab, 'a.key'), await keyPair(lab, 'b.key')];
  await lab.host('inside');
  await device(lab, 'a', [], nameA);
  await device(lab, 'b', [], nameB);
  await lab.ip('b', 'link', 'set', nameB, 'netns', lab.namespace('inside'));
  await wg(lab, 'a', 'set', nameA, 'private-key', keyA.file, 'listen-port', '4001');
  await wg(lab, 'b', 'set', nameB, 'private-key', keyB.file, 'listen-port', '4002', 'fwmark', '0x10');
  await wg(lab, 'a', 'set', nameA, 'peer', keyB.publicKey, 'allowed-ips', '10.9.0.2/32', 'endpoint', '192.0.2.2:4002');
  await wg(lab, 'b', 'set', nameB, 'peer', keyA.publicKey, 'allowed-ips', '10.9.0.1/32');
  await lab.ip('a', 'address', 'add', '10.9.0.1/24', 'dev', nameA);
  await lab.ip('inside', 'address', 'add', '10.9.0.2/24', 'dev', nameB);
  await lab.ip('a', 'link', 'set', nameA, 'up');
  await lab.ip('inside', 'link', 'set', nameB, 'up');
  const ping = async (): Promise<boolean> =>
    (await lab.run('a', ['ping', '-c', '1', '-W', '1', '10.9.0.2'])).code === 0;
  await until('an answer', ping);
  t.is(await wg(lab, 'b', 'show', nameB, 'endpoints'), `${keyA.publicKey}\t192.0.2.1:4001\n`);
  t.not(await wg(lab, 'a', 'show', nameA, 'latest-handshakes'), `${keyB.publicKey}\t0\n`);

  await wg(lab, 'a', 'set', nameA, 'listen-port', '4444');
  await until('an answer at the new port', ping);
  t.is(await wg(lab, 'b', 'show', nameB, 'endpoints'), `${keyA.publicKey}\t192.0.2.1:4444\n`);
  await lab.ip('a', 'address', 'add', '192.0.2.9/24', 'dev', 'eth0');
  await lab.ip('a', 'address', 'delete', '192.0.2.1/24', 'dev', 'eth0');
  await lab.ip('a', 'address', 'replace', '192.0.2.9/24', 'dev', 'eth0');
  await until('an answer at the new address', ping);
  t.is(await wg(lab, 'b', 'show', nameB, 'endpoints'), `${keyA.publicKey}\t192.0.2.9:4444\n`);

  const [, received, sent] = (await wg(lab, 'a', 'show', nameA, 'transfer')).trim().split('\t').map(Number);
  t.true(received > 0 && sent > 0);
  await lab.ip('inside', 'link', 'delete', nameB);
  await until('the socket to go', () => !existsSync(socketOf(nameB)));
});

test.serial('a device is no peer of its own', async (t) => {
  const lab = await twoHosts(t);
  const name = `${lab.prefix}k`;
  const [own, other] = [await keyPair(lab, 'own.key'), await keyPair(lab, 'other.key')];
  await device(lab, 'a', [], name);
  await wg(lab, 'a', 'set', name, 'peer', own.publicKey, 'peer', other.publicKey);
  await wg(lab, 'a', 'set', name, 'private-key', own.file);
  t.is(await wg(lab, 'a', 'show', name, 'peers'), `${other.publicKey}\n`, 'the peer with the new key is removed');
  await wg(lab, 'a', 'set', name, 'peer', own.publicKey, 'allowed-ips', '10.0.0.0/8');
  t.is(await wg(lab, 'a', 'show', name, 'peers'), `${other.publicKey}\n`, 'and not added again');
});

test.serial('a port in use changes nothing', async (t) => {
  const lab = await twoHosts(t);
  const [first, second] = [`${lab.prefix}1`, `${lab.prefix}2`];
  for (const name of [first, second]) {
    await device(lab, 'a', [], name);
    await lab.ip('a', 'link', 'set', name, 'up');
  }
  await wg(lab, 'a', 'set', first, 'listen-port', '4711');
  await until('the port', async () => (await lab.must('a', ['ss', '-lnu'])).includes(':4711'));
  const before = await wg(lab, 'a', 'show', second, 'dump');
  const key = await keyPair(lab, 'p.key');
  const refused = await lab.run('a', [
    'wg',
    'set',
    second,
    'private-key',
    key.file,
    'listen-port',
    '4711',
    'peer',
    key.publicKey,
  ]);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /Address already in use/);
  t.is(await wg(lab, 'a', 'show', second, 'dump'), before);
});

test.serial('wg setconf with 130,000 allowed IPs, and back', async (t) => {
  const lab = await twoHosts(t);
  const name = `${lab.prefix}m`;
  const { publicKey } = await keyPair(lab, 'm.key');
  await device(lab, 'a', [], name);
  const prefixes = Array.from({ length: 130_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`);
  const conf = `[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = ${prefixes.join(', ')}\n`;
  await wg(lab, 'a', 'setconf', name, writePrivate(lab, 'many.conf', conf));
  t.is(await wg(lab, 'a', 'show', name, 'allowed-ips'), `${publicKey}\t${prefixes.join(' ')}\n`);
  await wg(lab, 'a', 'setconf', name, writePrivate(lab, 'few.conf', `[Peer]\nPublicKey = ${publicKey}\n`));
  t.is(await wg(lab, 'a', 'show', name, 'allowed-ips'), `${publicKey}\t(none)\n`);
});

test.serial('wg-quick, here and with wireguard-go at the other end', async (t) => {
  const lab = await twoHosts(t);
  const names = { a: `${lab.prefix}a`, b: `${lab.prefix}b` } as const;
  const [keyA, keyB] = [await keyPair(lab, 'qa.key'), await keyPair(lab, 'qb.key')];
  const program = writePrivate(lab, 'device', `#!/bin/sh\nexec ${DEVICE.join(' ')} "$@"\n`);
  await lab.must('a', ['chmod', '+x', program]);
  const quick = async (host: 'a' | 'b', what: 'up' | 'down'): Promise<string> => {
    const [own, peer, end] = host === 'a' ? ([keyA, keyB, 1] as const) : ([keyB, keyA, 2] as const);
    const conf = `[Interface]
PrivateKey = ${own.privateKey}
ListenPort = 4000
Address = 10.9.0.${end}/32, fd00:9::${end}/128
MTU = 1300
[Peer]
PublicKey = ${peer.publicKey}
AllowedIPs = 10.9.0.${3 - end}/32, fd00:9::${3 - end}/128
Endpoint = 192.0.2.${3 - end}:4000
`;
    const implementation = `WG_QUICK_USERSPACE_IMPLEMENTATION=${host === 'a' ? program : WIREGUARD_GO}`;
    return lab.must(host, ['env', implementation, 'wg-quick', what, writePrivate(lab, `${names[host]}.conf`, conf)]);
  };
  await quick('a', 'up');
  await quick('b', 'up');
  t.is((await linkOf(lab, 'a', names.a))?.mtu, 1300);
  for (const address of ['10.9.0.2', 'fd00:9::2']) {
    await until(
      `an answer from ${address}`,
      async () => (await lab.run('a', ['ping', '-c', '1', '-W', '1', address])).code === 0,
    );
  }
  await quick('a', 'down');
  t.is(await linkOf(lab, 'a', names.a), undefined);
  await until('the socket to go', () => !existsSync(socketOf(names.a)));
  await quick('a', 'up');
  await quick('a', 'down');
  await quick('b', 'down');
});

test.serial('a plain file in the place of the socket', async (t) => {
  const lab = await twoHosts(t);
  const name = `${lab.prefix}p`;
  mkdirSync('/run/wireguard', { recursive: true });
  writeFileSync(socketOf(name), '');
  t.is((await device(lab, 'a', [], name)).code, 0);
  t.true(await answers(lab, 'a', name));
});
