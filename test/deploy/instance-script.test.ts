import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, statSync } from 'node:fs';
import test from 'ava';
import { Instance, PSK, SECRET } from './instance.ts';

test('the first boot installs the package, closes the host and starts the gateway', (t) => {
  const instance = new Instance(t);
  const { status, output, calls } = instance.run('apply');
  t.is(status, 0, output);
  t.is(instance.read('root/usr/bin/isthmus'), '// 1.0.0\n');
  t.deepEqual(
    calls.filter((call) => call.startsWith('systemctl')),
    [
      'systemctl daemon-reload',
      'systemctl enable isthmus-firewall',
      'systemctl restart isthmus-firewall',
      'systemctl disable --now sshd',
      'systemctl enable isthmus@gateway',
      'systemctl restart isthmus@gateway',
    ],
  );
  t.true(calls.indexOf('systemctl restart isthmus-firewall') < calls.indexOf('systemctl restart isthmus@gateway'));
  t.is(calls.at(-1), 'isthmus status');
  for (const path of ['usr/lib/isthmus', 'usr/lib/isthmus/dist', 'etc/systemd/system/isthmus@.service'])
    t.is(statSync(instance.path(`root/${path}`)).mode & 0o044, 0o044, `${path}: the gateway's user may read it`);
  t.is(instance.read('root/etc/systemd/system/isthmus@.service'), '# 1.0.0\n');
  t.true(calls.some((call) => call.startsWith('useradd --system ') && call.endsWith(' isthmus')));
  t.deepEqual(execFileSync('ls', [instance.path('tmp')], { encoding: 'utf8' }), '', 'nothing is left behind');
});

test('the PSK goes from Secrets Manager, in its own region, into a closed file and nowhere else', (t) => {
  const instance = new Instance(t);
  const { output, calls } = instance.run('apply');
  const asked = calls.find((call) => call.startsWith('aws secretsmanager'))!;
  t.true(asked.includes(`--region cn-northwest-1 --secret-id ${SECRET} `));
  const kept = 'root/run/isthmus-psk/peer.psk';
  t.is(instance.read(kept).trim(), PSK);
  t.is(statSync(instance.path(kept)).mode & 0o777, 0o600);
  t.is(statSync(instance.path('root/run/isthmus-psk')).mode & 0o777, 0o700);
  t.true(calls.includes(`chown --recursive isthmus: ${instance.path('root/run/isthmus-psk')}`));
  t.false([output, ...calls].join().includes(PSK));
});

test('a package of another digest is not unpacked', (t) => {
  const instance = new Instance(t);
  instance.set({ PACKAGE_SHA256: 'f'.repeat(64) });
  const { status, calls } = instance.run('apply');
  t.is(status, 1);
  t.false(existsSync(instance.path('root/usr/lib/isthmus')));
  t.false(calls.some((call) => call.startsWith('systemctl')));
  t.regex(instance.read('root/run/isthmus-failure'), /another SHA-256 than PackageSha256 says; nothing was installed/);
});

test('a package that cannot be fetched is the failure that is reported', (t) => {
  const instance = new Instance(t);
  rmSync(instance.path('package.tar.gz'));
  t.is(instance.run('apply').status, 1);
  t.regex(instance.read('root/run/isthmus-failure'), /s3:\/\/packages\/isthmus.tar.gz can't be fetched/);
});

test('an update of the stack reloads, and restarts only for another package', (t) => {
  const instance = new Instance(t);
  instance.run('apply');
  instance.write('active', '');
  const same = instance.run('apply');
  t.is(same.status, 0, same.output);
  t.true(same.calls.includes('isthmus reload'));
  t.false(same.calls.some((call) => call.startsWith('aws s3') || call === 'systemctl restart isthmus@gateway'));
  instance.publish('1.1.0');
  const newer = instance.run('apply');
  t.is(newer.status, 0, newer.output);
  t.true(newer.calls.includes('systemctl restart isthmus@gateway'));
  t.is(instance.read('root/usr/bin/isthmus'), '// 1.1.0\n');
});

test('a configuration with a fault leaves the gateway as it is', (t) => {
  const instance = new Instance(t);
  instance.run('apply');
  instance.write('active', '');
  instance.write('faulty', '');
  const { status, calls } = instance.run('apply');
  t.is(status, 1);
  t.false(calls.some((call) => call === 'isthmus reload' || call === 'systemctl restart isthmus@gateway'));
  t.regex(instance.read('root/run/isthmus-failure'), /configuration is refused/);
});

test('a package that came with a fault in the configuration is started once that is mended', (t) => {
  const instance = new Instance(t);
  instance.run('apply');
  instance.write('active', '');
  instance.write('faulty', '');
  instance.publish('1.1.0');
  t.is(instance.run('apply').status, 1);
  rmSync(instance.path('faulty'));
  t.true(instance.run('apply').calls.includes('systemctl restart isthmus@gateway'));
  t.true(instance.run('apply').calls.includes('isthmus reload'));
});

test('a gateway that does not start is the failure that is reported, with what it said', (t) => {
  const instance = new Instance(t);
  instance.command('journalctl', 'printf "ISTHMUS_TUN: no TUN\\nfailed\\n"');
  instance.write('broken', '');
  t.is(instance.run('apply').status, 1);
  t.is(instance.read('root/run/isthmus-failure'), 'the gateway does not start: ISTHMUS_TUN: no TUN failed \n');
});

test('a restart does without Secrets Manager, a boot does not', (t) => {
  const instance = new Instance(t);
  t.is(instance.run('psk').status, 0);
  rmSync(instance.path('secret'));
  t.is(instance.run('psk').status, 0);
  t.is(instance.read('root/run/isthmus-psk/peer.psk').trim(), PSK);
  rmSync(instance.path('root/run/isthmus-psk'), { recursive: true });
  t.is(instance.run('psk').status, 1);
  t.regex(instance.read('root/run/isthmus-failure'), /PSKSecret-AbCdEf can't be read/);
  instance.write('secret', '');
  t.is(instance.run('psk').status, 1, 'an empty secret is none');
});

test('the host lets in the UDP port, and SSH only from where it is asked for', (t) => {
  const instance = new Instance(t);
  instance.run('apply');
  const closed = instance.read('root/etc/isthmus/host.nft');
  t.regex(closed, /policy drop;/);
  t.regex(closed, /udp dport 51820 accept/);
  t.notRegex(closed, /dport 22/);
  t.notRegex(closed, /ct state/, 'no state is held for what is forwarded');
  instance.set({ SSH_LOCATION: '198.51.100.0/24' });
  const { calls } = instance.run('apply');
  t.regex(instance.read('root/etc/isthmus/host.nft'), /ip saddr 198\.51\.100\.0\/24 tcp dport 22 accept/);
  t.true(calls.includes('systemctl enable --now sshd'));
});

test('an order that there is not is refused', (t) => {
  t.is(new Instance(t).run('').status, 1);
});
