import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

test('the npm tarball is whole: unpacked anywhere it runs, with all that it needs, and is the same when made again', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-package-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const run = (command: string, ...words: string[]): string =>
    execFileSync(command, words, { cwd: folder, encoding: 'utf8', env: { PATH: process.env['PATH'] } });
  const make = (): string =>
    run(process.execPath, join(ROOT, 'deploy/package/package.mjs'), '--out', folder, 'npm').trim();
  const digest = (path: string): string => run('sha256sum', path);

  const path = make();
  const first = digest(path);
  t.is(digest(make()), first);

  run('tar', '-xzf', path);
  const isthmus = (...words: string[]): string =>
    run(process.execPath, join(folder, 'package/dist/src/cli/main.js'), ...words);
  t.is(isthmus('--version'), `${/isthmus-([^/]*)\.tgz$/.exec(path)![1]}\n`);
  isthmus(
    'init',
    '--server-endpoint=192.0.2.1',
    '--server-subnets=10.1.0.0/16',
    '--client-subnets=10.2.0.0/16',
    '--yes',
  );
  t.regex(isthmus('check', 'server.yaml'), /good/);
  const addon = `import(${JSON.stringify(join(folder, 'package/dist/src/nic/native.js'))}).then((m) => m.createWake())`;
  t.notThrows(() => run(process.execPath, '--eval', addon), 'the addon is found and loads');

  const files = run('tar', '-tzf', path).split('\n');
  t.true(files.includes('package/deploy/systemd/isthmus@.service'), 'the unit, which an EC2 instance starts it by');
  t.false(files.some((file) => /\/node_modules\/(ava|typescript|aws-cdk-lib)\/|\.ts$|\.map$/.test(file)));
});
