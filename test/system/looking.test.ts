import { join } from 'node:path';
import { readFileSync, statSync } from 'node:fs';
import test from 'ava';
import { stringify } from 'yaml';
import {
  connected,
  generatePsk,
  interfaceName,
  ISTHMUS,
  isthmusFiles,
  isthmusOn,
  ruleOf,
  startIsthmus,
  writePrivate,
} from '../lab/contenders.ts';
import { pingTime } from '../lab/iperf3.ts';
import { knock } from '../lab/knock.ts';
import { until } from '../lab/process.ts';
import { A, B, twoVpcs } from '../lab/two-vpcs.ts';

test('isthmus status: for people, for scripts, in a terminal, and when there is none', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const name = interfaceName(lab, 'a');
  const none = await lab.run('gwa', [...ISTHMUS, 'status', name]);
  t.is(none.code, 69);
  t.is(none.stdout, '');
  t.regex(none.stderr, /^isthmus: no gateway answers at \S+ .*start it with isthmus up FILE \(ISTHMUS_NO_GATEWAY\)\n$/);

  const tunnel = await startIsthmus(lab);
  await pingTime(lab, { count: 5 });
  const text = await lab.must('gwa', [...ISTHMUS, 'status', name]);
  for (const line of [
    /^gateway gateway-a on \S+, up \d+ s, sealing by (ipsec-mb \w+|openssl)$/m,
    /^ {2}listens on UDP 51820, MTU 1420, overlay 10\.8\.0\.1\/30, fd00:8::1\/126$/m,
    /^peer vpc-b$/m,
    /^ {2}endpoint {3}198\.51\.100\.2:51820$/m,
    /^ {2}handshake {2}\d+ s ago, (aes-256-gcm|chacha20-poly1305)$/m,
    /^ {2}traffic {4}[\d.]+ (Ki)?B in, [\d.]+ (Ki)?B out$/m,
    /^ {2}routes {5}192\.168\.0\.0\/16, fd00:b::\/32, /m,
    /^ {2}open\/all {2}allow {2}[1-9]\d* hits?$/m,
  ]) {
    t.regex(text, line);
  }
  t.notRegex(text, /\u001b/);
  const [peer] = (JSON.parse(await lab.must('gwa', [...ISTHMUS, 'status', name, '--json'])) as { peers: object[] })
    .peers;
  t.like(peer, { name: 'vpc-b', endpoint: '198.51.100.2:51820', acl: 'open' });

  // script gives a terminal; --watch ends with it, or by a signal.
  const watch = [...ISTHMUS, 'status', name, '--watch'].join(' ');
  const own = join(lab.directory, 'watch.pid');
  const terminal = lab.spawn('gwa', ['script', '-qec', `echo $$ >${own}; exec ${watch}`, '/dev/null']);
  const screensOf = (output: string): string[] => output.split('\u001b[H\u001b[2J\u001b[3J').slice(1);
  await until('three looks', () => screensOf(terminal.output()).length >= 3);
  process.kill(Number(readFileSync(own, 'utf8')), 'SIGINT');
  await terminal.ended;
  const seen = terminal.output();
  const screens = screensOf(seen);
  t.true(screens.every((screen) => screen.startsWith('gateway gateway-a on')));
  t.true(seen.startsWith('\u001b[?25l') && seen.endsWith('\u001b[?25h'), 'the cursor goes and comes back');
  t.regex(screens.at(-1)!, /^vpc-b +● up /m);
  t.regex(screens.at(-1)!, /out; now [\d.]+ [kM]?bit\/s in, /);
  const often = lab.spawn('gwa', [...ISTHMUS, 'status', name, '--watch', '--interval', '500ms', '--json']);
  const lines = (): string[] => often.output().split('\n').slice(0, -1);
  await until('two lines', () => lines().length >= 2);
  await often.stop();
  for (const line of lines()) t.like(JSON.parse(line), { gateway: 'gateway-a' });
  const seenEnough = `set -o pipefail; timeout 60 ${watch} --json | head -n 1 >/dev/null`;
  t.is((await lab.run('gwa', ['bash', '-c', seenEnough])).code, 0);

  // Who watches is told when the gateway ends.
  const watching = lab.spawn('gwa', [...ISTHMUS, 'status', name, '--watch']);
  await until('a first look', () => watching.output().includes('gateway-a'));
  await tunnel.stop();
  await until('the end of the watch', () => !watching.isRunning());
  t.is(await watching.ended, 69);
});

test('isthmus up --pcap: tcpdump reads it, both directions and what the access list denied', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a, b] = isthmusFiles(lab, await generatePsk(lab));
  a.acls['open'].unshift({ name: 'no-telnet', action: 'deny', protocol: 'tcp', ports: 23 });
  const file = join(lab.directory, 'overlay.pcap');
  const running = lab.spawn('gwa', [...ISTHMUS, 'up', writePrivate(lab, 'a.yaml', stringify(a)), '--pcap', file]);
  await connected(lab, { processes: [running, isthmusOn(lab, 'gwb', b)] });
  await pingTime(lab, { count: 3 });
  await knock(lab, 'a', B[4], 23);
  await knock(lab, 'b', A[4], 23);
  await until('both to be denied', async () => (await ruleOf(lab, 'a', 'no-telnet')).denied >= 2);
  t.is(await running.stop(), 0);
  t.is(statSync(file).mode & 0o777, 0o600);

  const { code, stdout, stderr } = await lab.run('gwa', ['tcpdump', '-nn', '-r', file]);
  t.is(code, 0, stderr);
  t.notRegex(stderr, /truncated|bogus/);
  t.true((stdout.match(new RegExp(`IP ${A[4]} > ${B[4]}: ICMP echo request`, 'g')) ?? []).length >= 3, stdout);
  t.true((stdout.match(new RegExp(`IP ${B[4]} > ${A[4]}: ICMP echo reply`, 'g')) ?? []).length >= 3, stdout);
  t.regex(stdout, new RegExp(`IP ${A[4]}\\.\\d+ > ${B[4]}\\.23: Flags \\[S\\]`), 'denied on its way out');
  t.regex(stdout, new RegExp(`IP ${B[4]}\\.\\d+ > ${A[4]}\\.23: Flags \\[S\\]`), 'denied on its way in');
});
