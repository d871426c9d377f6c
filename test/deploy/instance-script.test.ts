import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';

const SCRIPT = fileURLToPath(new URL('../../../deploy/cloudformation/isthmus-instance.sh', import.meta.url));
const PSK = 'aZ09'.repeat(16);
const SECRET = 'arn:aws-cn:secretsmanager:cn-northwest-1:123456789012:secret:PSKSecret-AbCdEf';

/**
 * An instance as the script finds it: a root folder of its own, and in place of what is only on EC2 commands that write
 * down how they were called. They do what files beside them say: `secret` is Secrets Manager's, `package.tar.gz` S3's;
 * where there is none, the call fails.
 */
class Instance {
  readonly #folder = mkdtempSync(join(tmpdir(), 'isthmus-instance-'));
  readonly #settings: Record<string, string> = {
    PACKAGE_BUCKET: 'packages',
    PACKAGE_KEY: 'isthmus.tar.gz',
    PACKAGE_SHA256: '',
    PSK_SECRET_ARN: SECRET,
    LISTEN_PORT: '51820',
    SSH_LOCATION: '',
  };

  constructor(t: ExecutionContext) {
    t.teardown(() => rmSync(this.#folder, { recursive: true, force: true }));
    for (const folder of ['root/etc/isthmus', 'root/run', 'bin', 'tmp'])
      mkdirSync(this.path(folder), { recursive: true });
    this.command(
      'systemctl',
      'case "$1" in is-active) [ -e "$HERE/active" ] ;; restart) [ ! -e "$HERE/broken" ] || [ "$2" != isthmus@gateway ] ;; esac',
    );
    this.command('isthmus', '[ "$1" != check ] || [ ! -e "$HERE/faulty" ]');
    this.command('id', 'false');
    for (const name of ['useradd', 'chown']) this.command(name, '');
    this.command(
      'aws',
      `case "$1" in
s3) cp "$HERE/package.tar.gz" "$5" ;;
secretsmanager) cat "$HERE/secret" ;;
esac`,
    );
    this.publish('1.0.0');
    this.write('secret', `${PSK}\n`);
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  command(name: string, body: string): void {
    const text = `#!/bin/sh\nHERE=${this.#folder}\necho "${name} $*" >>"$HERE/calls"\n${body}\n`;
    writeFileSync(this.path(`bin/${name}`), text, { mode: 0o755 });
  }

  /** Puts an archive of this version where the instance gets it, and its digest into the settings. */
  publish(version: string): void {
    for (const folder of ['dist/src/cli', 'deploy/systemd'])
      mkdirSync(this.path(`isthmus/${folder}`), { recursive: true });
    this.write('isthmus/deploy/systemd/isthmus@.service', `# ${version}\n`);
    this.write('isthmus/dist/src/cli/main.js', `// ${version}\n`);
    execFileSync('tar', ['-czf', this.path('package.tar.gz'), '-C', this.#folder, 'isthmus']);
    const digest = createHash('sha256')
      .update(readFileSync(this.path('package.tar.gz')))
      .digest('hex');
    this.set({ PACKAGE_SHA256: digest });
  }

  set(settings: Record<string, string>): void {
    Object.assign(this.#settings, settings);
    const lines = Object.entries(this.#settings).map(([name, value]) => `${name}="${value}"\n`);
    this.write('instance.env', lines.join(''));
  }

  /** Runs the script. What it printed, on both streams, its exit code, and the calls it made. */
  run(order: string): { status: number | null; output: string; calls: string[] } {
    rmSync(this.path('calls'), { force: true });
    const env = {
      PATH: `${this.path('bin')}:/usr/bin:/bin`,
      TMPDIR: this.path('tmp'),
      ISTHMUS_ROOT: this.path('root'),
      ISTHMUS_SETTINGS: this.path('instance.env'),
    };
    const { status, stdout, stderr } = spawnSync('sh', ['-c', `umask 077; exec bash '${SCRIPT}' ${order}`], {
      env,
      encoding: 'utf8',
    });
    const calls = existsSync(this.path('calls')) ? this.read('calls').trimEnd().split('\n') : [];
    return { status, output: stdout + stderr, calls };
  }
}

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
