/** An instance of the templates, for what runs on it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';

const SCRIPT = fileURLToPath(new URL('../../../deploy/cloudformation/isthmus-instance.sh', import.meta.url));
export const PSK = 'aZ09'.repeat(16);
export const SECRET = 'arn:aws-cn:secretsmanager:cn-northwest-1:123456789012:secret:PSKSecret-AbCdEf';

/**
 * An instance as the script finds it: a root folder of its own, and in place of what is only on EC2 commands that write
 * down how they were called. They do what files beside them say: `secret` is Secrets Manager's, `package.tar.gz` S3's;
 * where there is none, the call fails.
 */
export class Instance {
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
