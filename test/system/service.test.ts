import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import {
  connected,
  generatePsk,
  interfaceName,
  ISTHMUS,
  isthmusFiles,
  isthmusOn,
  writeGatewayFile,
} from '../lab/contenders.ts';
import { startNumbered } from '../lab/numbered-stream.ts';
import { until, type Running } from '../lab/process.ts';
import { startTransfer } from '../lab/transfer.ts';
import { B, SUBNETS_A, twoVpcs } from '../lab/two-vpcs.ts';

/** The checkout, seen from `dist/test/system`. */
const root = fileURLToPath(new URL('../../../', import.meta.url));
const UNIT = readFileSync(join(root, 'deploy/systemd/isthmus@.service'), 'utf8');
/** A user of no name, which the service is in place of its own. */
const USER = 64_100;
const WATCHDOG_SECONDS = 2;
/** Datagrams a second of `startNumbered`. */
const RATE = 300;

interface Message {
  readonly at: number;
  readonly text: string;
  readonly descriptors: number;
}

const setting = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(UNIT)![1];

/** Runs a program with the rights that the unit gives. */
function asTheUnitDoes(argv: readonly string[]): string[] {
  const names = setting('AmbientCapabilities').toLowerCase().replaceAll('cap_', '+').replaceAll(' ', ',');
  return [
    ...['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--no-new-privs'],
    ...[`--inh-caps=-all,${names}`, `--ambient-caps=-all,${names}`, `--bounding-set=-all,${names}`, ...argv],
  ];
}

/** What the program sent to its supervisor since `from` on. */
function messages(running: Running, from = 0): Message[] {
  const lines = running.output().slice(from).split('\n');
  return lines
    .filter((line) => line.startsWith('notify '))
    .map((line) => JSON.parse(line.slice('notify '.length)) as Message);
}

test('as the unit runs it: one capability, ready, watched, reloaded, restarted with no connection lost', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const name = interfaceName(lab, 'b');
  const [fileA, fileB] = isthmusFiles(lab, await generatePsk(lab));
  // B, which is called, lets TCP in but not out: what was begun from A goes on only if B still knows of it.
  const rules = [
    { action: 'allow', direction: 'in', protocol: 'tcp' },
    { action: 'allow', protocol: 'udp' },
    { action: 'allow', protocol: 'icmp' },
  ];
  fileB.acls = { open: rules };
  await lab.sysctl('gwb', { 'net.ipv4.ip_forward': 0 });
  const path = writeGatewayFile(lab, 'gwb', fileB);
  const owned = (): void => chownSync(path, USER, USER);
  owned();
  chmodSync(lab.directory, 0o755);

  // RuntimeDirectory= makes these folders the user's own; here in a mount namespace, as other tests use them too.
  const folders = setting('RuntimeDirectory').split(' ');
  const own = folders.map((folder) => `mkdir -p /run/${folder} && mount -t tmpfs -o uid=${USER} none /run/${folder}`);
  // udev lets everybody open the device; whoever uses it needs the capability.
  own.push('mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200');
  const gateway = asTheUnitDoes([...ISTHMUS, 'up', '--keep', '--log-format', 'journal', path]);
  const supervised = ['python3', join(root, 'test/lab/supervisor.py'), join(lab.directory, 'notify')];
  // And StateDirectory= this one.
  const state = join(lab.directory, 'state');
  mkdirSync(state);
  chownSync(state, USER, USER);
  const argv = [
    ...['unshare', '--mount', 'sh', '-ec', `${own.join('; ')}; exec "$@"`, 'sh'],
    ...[...supervised, String(WATCHDOG_SECONDS), ...gateway],
  ];
  const service = lab.spawn('gwb', argv, { env: { STATE_DIRECTORY: state } });
  const heard = async (what: string, text: RegExp, from = 0): Promise<Message> => {
    const find = (): Message | undefined => messages(service, from).find((message) => text.test(message.text));
    await until(what, () => find() !== undefined || !service.isRunning());
    const found = find();
    if (found === undefined) throw new Error(`${what}: ${service.tail()}`);
    return found;
  };
  const inside = (...words: string[]): Promise<string> => {
    const isthmus = asTheUnitDoes([...ISTHMUS, ...words]);
    return lab.must('gwb', ['nsenter', '-t', String(service.pid), '--mount', '--wd=/', ...isthmus]);
  };

  t.is((await heard('the interface to be kept', /^FDSTORE=1\nFDNAME=tun-/)).descriptors, 1);
  await heard('readiness', /^READY=1$/);
  await heard('a status', /^STATUS=UDP port 51820; sessions with 0 of 1 peers$/);
  await heard('a sign of life', /^WATCHDOG=1$/);
  t.is((await lab.must('gwb', ['sysctl', '-n', 'net.ipv4.ip_forward'])).trim(), '1');
  t.regex(service.output(), /^<6>gateway gateway-b is up: /m);
  const gatewayA = isthmusOn(lab, 'gwa', fileA);
  await connected(lab, { processes: [gatewayA, service] });

  const lines = service.output().length;
  fileB.gateway['log_level'] = 'debug';
  writeGatewayFile(lab, 'gwb', fileB);
  owned();
  t.regex(await inside('reload', '--config', path), /log_level/);
  t.regex((await heard('a reload', /^RELOADING=1/, lines)).text, /\nMONOTONIC_USEC=\d+$/);
  await heard('the end of the reload', /^READY=1$/, lines);

  // A connection by which B sends, one by which A does, and numbered datagrams both ways.
  await lab.must('gwb', ['ip', 'route', 'add', '10.77.0.0/16', 'dev', name]);
  const before = await lab.must('gwb', ['ip', '-oneline', 'address', 'show', 'dev', name]);
  const stream = await startNumbered(lab);
  const steady = await startTransfer(lab, { rate: 200_000 });
  const server = lab.spawn('b', ['iperf3', '--server', '--one-off']);
  await until('the iperf3 server', async () => (await lab.must('b', ['ss', '-Htln', 'sport = 5201'])).trim() !== '');
  const download = lab.spawn('a', [
    'iperf3',
    '--client',
    B[4],
    '--reverse',
    '--bitrate',
    '10M',
    '--bytes',
    '6M',
    '--json',
  ]);
  await until('the download', async () => (await lab.must('a', ['ss', '-Htn', 'dport = 5201'])).split('\n').length > 2);
  await sleep(500);
  const restart = service.output().length;
  process.kill(service.pid, 'SIGUSR2');
  await heard('the end', /^STOPPING=1$/, restart);
  await until('the next process', () => service.output().slice(restart).includes('restarting'));
  t.is(
    await lab.must('gwb', ['ip', '-oneline', 'address', 'show', 'dev', name]),
    before,
    'nobody has it open but the supervisor',
  );
  const routes = await lab.must('gwb', ['ip', 'route', 'show', 'dev', name]);
  t.true(routes.includes(SUBNETS_A[4]));
  await heard('readiness again', /^READY=1$/, restart);
  t.regex(service.output().slice(restart), /the interface was kept, with [1-9]\d* tracked flows/);
  t.is(await lab.must('gwb', ['ip', '-oneline', 'address', 'show', 'dev', name]), before);
  t.is(await lab.must('gwb', ['ip', 'route', 'show', 'dev', name, 'to', '10.77.0.0/16']), '', 'a route of nobody goes');
  await connected(lab, { processes: [gatewayA, service] });
  await until('the end of the download', () => !download.isRunning(), 60_000);
  t.is(await download.ended, 0, download.tail(30));
  t.true((await steady.finish()).intact, 'a connection goes on');
  const [fromA, fromB] = (await stream.finish()).map(({ sent, received }) => (sent - received) / RATE);
  t.log(`silence: ${fromA.toFixed(2)} s from A, ${fromB.toFixed(2)} s from B`);
  t.false(
    messages(service, restart).some(({ text }) => text.startsWith('FDSTORE=1')),
    'it is kept already',
  );
  await server.stop();

  // A thread that hangs is one of which the watchdog is not told that all goes well.
  const gatewayPid = (await lab.must('gwb', ['pgrep', '-P', String(service.pid)])).trim();
  process.kill(Number(gatewayPid), 'SIGUSR1');
  await until('the debugger', async () => (await lab.must('gwb', ['ss', '-Htln'])).includes(':9229'));
  const program = fileURLToPath(new URL('../lab/end-thread.js', import.meta.url));
  await heard('a sign of life', /^WATCHDOG=1$/, service.output().length);
  await lab.must('gwb', [process.execPath, '--experimental-websocket', program, 'inbound', 'hang']);
  await until(
    'silence toward the watchdog',
    async () => {
      const now = Number((await lab.must('gwb', ['cat', '/proc/uptime'])).split(' ')[0]);
      return messages(service).every(({ text, at }) => text !== 'WATCHDOG=1' || now - at > 2 * WATCHDOG_SECONDS);
    },
    30_000,
  );
  t.true(service.isRunning());
});
