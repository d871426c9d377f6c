import { chmodSync, chownSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { stringify } from 'yaml';
import {
  connected,
  generatePsk,
  interfaceName,
  ISTHMUS,
  isthmusFiles,
  isthmusOn,
  startIsthmus,
  writePrivate,
  type GatewayFile,
} from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { apiPath } from '../lab/look.ts';
import { until, type Result } from '../lab/process.ts';
import { twoVpcs } from '../lab/two-vpcs.ts';

/** The lines of an output that are no log records. */
const plainLines = (output: string): string[] =>
  output.split('\n').filter((line) => line !== '' && !line.startsWith('{'));

/** The topology, with forwarding off on gateway A, and both configuration files. */
async function prepared(t: ExecutionContext): Promise<{ lab: Lab; files: [GatewayFile, GatewayFile]; name: string }> {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  await lab.sysctl('gwa', { 'net.ipv4.ip_forward': 0 });
  return { lab, files: isthmusFiles(lab, await generatePsk(lab)), name: interfaceName(lab, 'a') };
}

/** Runs a gateway that is to fail by itself, on gateway A. */
function failing(lab: Lab, file: GatewayFile, before: string[] = [], after: string[] = []): Promise<Result> {
  const path = writePrivate(lab, 'failing.yaml', stringify(file));
  return lab.run('gwa', ['timeout', '-s', 'KILL', '50', ...before, ...ISTHMUS, 'up', path, ...after]);
}

/** What a gateway has on the host of gateway A while it runs. */
async function traces(lab: Lab, name: string): Promise<string[]> {
  const found = [apiPath(name), `/run/wireguard/${name}.sock`].filter((path) => existsSync(path));
  if ((await lab.run('gwa', ['ip', 'link', 'show', name])).code === 0) found.push('interface');
  if ((await lab.must('gwa', ['ip', 'route', 'show', '192.168.0.0/16'])) !== '') found.push('route');
  if ((await lab.must('gwa', ['sysctl', '-n', 'net.ipv4.ip_forward'])).trim() === '1') found.push('forwarding');
  return found;
}

for (const [what, end, code, said] of [
  [
    'its interface is deleted',
    (lab: Lab, name: string) => lab.ip('gwa', 'link', 'delete', name),
    1,
    /^isthmus: the interface \S+ was deleted \(ISTHMUS_TUN\)$/,
  ],
  ['SIGTERM comes', (_lab: Lab, _name: string, pid: number) => process.kill(pid, 'SIGTERM'), 0, undefined],
  ...(['inbound', 'outbound'] as const).map(
    (thread) =>
      [
        `its ${thread} thread ends`,
        async (lab: Lab, _name: string, pid: number) => {
          process.kill(pid, 'SIGUSR1');
          await until('the debugger', async () => (await lab.must('gwa', ['ss', '-Htln'])).includes(':9229'));
          const program = fileURLToPath(new URL('../lab/end-thread.js', import.meta.url));
          await lab.must('gwa', [process.execPath, '--experimental-websocket', program, thread]);
        },
        70,
        new RegExp(`^isthmus: the ${thread} thread ended with code 3 \\(ISTHMUS_DATA_PLANE\\)$`),
      ] as const,
  ),
] as const) {
  test(`a gateway ends when ${what}, and leaves nothing`, async (t) => {
    const { lab, files, name } = await prepared(t);
    const running = isthmusOn(lab, 'gwa', files[0]);
    await until('the gateway', () => running.output().includes('is up'));
    t.is((await traces(lab, name)).length, 5, 'else the test shows nothing');
    await end(lab, name, running.pid);
    await until('the end of the gateway', () => !running.isRunning());
    t.is(await running.ended, code);
    t.deepEqual(await traces(lab, name), []);
    const lines = plainLines(running.output()).filter((line) => !/debugger|inspector/i.test(line));
    t.is(lines.length, said === undefined ? 0 : 1, running.output());
    if (said) t.regex(lines[0], said);
  });
}

for (const [what, spoil, wanted] of [
  [
    'its UDP port is taken',
    async (lab: Lab) => {
      const program = `require('node:dgram').createSocket('udp4').bind(51820, () => console.log('bound'))`;
      const other = lab.spawn('gwa', [process.execPath, '-e', program]);
      await until('the port to be taken', () => other.output().includes('bound'));
    },
    /cannot listen on UDP port 51820: .*(in use|EADDRINUSE).*\(ISTHMUS_LISTEN\)$/,
  ],
  [
    'a route to the peer is there already',
    (lab: Lab) => lab.ip('gwa', 'route', 'add', '192.168.0.0/16', 'dev', 'wan', 'metric', '0'),
    /192\.168\.0\.0\/16.*File exists.*\(ISTHMUS_NETWORK\)$/,
  ],
  [
    'its API socket cannot be made',
    (lab: Lab) => lab.must('gwa', ['mkdir', '-p', apiPath(interfaceName(lab, 'a'))]),
    /cannot listen on \/run\/isthmus\/.*\(ISTHMUS_SOCKET\)$/,
  ],
] as const) {
  test(`a gateway does not start when ${what}, says so, and leaves nothing`, async (t) => {
    const { lab, files, name } = await prepared(t);
    await spoil(lab);
    const before = await traces(lab, name);
    const { code, stderr } = await failing(lab, files[0]);
    t.is(code, 1, stderr);
    t.deepEqual(await traces(lab, name), before);
    t.is(plainLines(stderr).length, 1, stderr);
    t.regex(stderr.trim(), wanted);
  });
}

test('an interface of that name that is in use is left alone, and the error says whose it may be', async (t) => {
  const { lab, files, name } = await prepared(t);
  const first = isthmusOn(lab, 'gwa', files[0]);
  await until('the gateway', () => first.output().includes('is up'));
  const before = await traces(lab, name);
  const second = await failing(lab, files[0]);
  t.is(second.code, 1);
  t.regex(second.stderr.trim(), /another program has this interface \(ISTHMUS_TUN\)$/);
  t.deepEqual(await traces(lab, name), before, 'the gateway that runs keeps what it has');
  t.is((await lab.run('gwa', [...ISTHMUS, 'status', name])).code, 0);

  // A link of another kind.
  files[0].gateway['interface'] = 'wan';
  const third = await failing(lab, files[0]);
  t.is(third.code, 1);
  t.regex(third.stderr.trim(), /an interface of another kind has this name \(ISTHMUS_TUN\)$/);
  t.is((await lab.run('gwa', ['ip', 'address', 'show', 'wan', 'to', '198.51.100.1'])).code, 0);

  // The same name in another network: the sockets' names are the whole system's.
  files[1].gateway['interface'] = name;
  const path = writePrivate(lab, 'other.yaml', stringify(files[1]));
  const fourth = await lab.run('gwb', ['timeout', '-s', 'KILL', '50', ...ISTHMUS, 'up', path]);
  t.is(fourth.code, 1, fourth.stderr);
  t.regex(fourth.stderr.trim(), /another gateway answers there \(ISTHMUS_SOCKET\)$/);
  t.not((await lab.run('gwb', ['ip', 'link', 'show', name])).code, 0);
  t.deepEqual(await traces(lab, name), before);
  t.is((await lab.run('gwa', [...ISTHMUS, 'status', name])).code, 0);
  t.true(first.isRunning());
});

test('without permission a gateway says what it needs', async (t) => {
  const { lab, files } = await prepared(t);
  const path = writePrivate(lab, 'nobody.yaml', stringify(files[0]));
  const nobody = 65534;
  chmodSync(lab.directory, 0o755);
  chownSync(path, nobody, nobody);
  const unprivileged = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'];
  const { code, stderr } = await lab.run('gwa', ['timeout', '50', ...unprivileged, ...ISTHMUS, 'up', path]);
  t.is(code, 1, stderr);
  t.is(plainLines(stderr).length, 1, stderr);
  t.regex(stderr, /run as root or with CAP_NET_ADMIN \(ISTHMUS_TUN\)$/m);
});

test('where forwarding cannot be switched on, as in a container, it says how to do it outside', async (t) => {
  const { lab, files, name } = await prepared(t);
  const script = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"';
  const { code, stderr } = await failing(lab, files[0], ['unshare', '--mount', 'sh', '-ec', script, 'sh']);
  t.is(code, 1, stderr);
  t.regex(stderr.trim(), /forwarding on \(EROFS\): sysctl -w net\.ipv4\.ip_forward=1 \(ISTHMUS_NETWORK\)$/);
  t.deepEqual(await traces(lab, name), []);
});

test('a capture that cannot be written is an error before anything is made', async (t) => {
  const { lab, files, name } = await prepared(t);
  const { code, stderr } = await failing(lab, files[0], [], ['--pcap', '/no/such/folder/overlay.pcap']);
  t.is(code, 73, stderr);
  t.regex(stderr.trim(), /\/no\/such\/folder\/overlay\.pcap.*\(ISTHMUS_FILE_WRITE\)$/);
  t.deepEqual(await traces(lab, name), []);
});

test('the underlay goes down and comes back, then has another address: the tunnel follows', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const { processes } = await startIsthmus(lab);
  await lab.ip('gwa', 'link', 'set', 'wan', 'down');
  await sleep(1500);
  await lab.ip('gwa', 'link', 'set', 'wan', 'up');
  await connected(lab, { processes, timeout: 30_000 });
  await lab.ip('gwa', 'address', 'add', '198.51.100.77/24', 'dev', 'wan');
  await lab.ip('gwa', 'address', 'delete', '198.51.100.1/24', 'dev', 'wan');
  // Deleted with the primary address.
  await lab.ip('gwa', 'address', 'replace', '198.51.100.77/24', 'dev', 'wan');
  await connected(lab, { processes, timeout: 30_000 });
  t.regex(await lab.must('gwb', ['wg', 'show', interfaceName(lab, 'b'), 'endpoints']), /\t198\.51\.100\.77:51820$/m);
});
