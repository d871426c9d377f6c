import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

test('the archive is whole: it runs from anywhere, with all that it needs, and is the same when made again', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-archive-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const run = (command: string, ...words: string[]): string =>
    execFileSync(command, words, { cwd: folder, encoding: 'utf8', env: { PATH: process.env['PATH'] } });
  const make = (): string => run(process.execPath, join(ROOT, 'deploy/package/archive.mjs'), folder);

  const printed = make();
  t.is(make(), printed, 'the SHA-256 is that of the first');
  const [name] = readdirSync(folder).filter((each) => each.endsWith('.tar.gz'));
  t.regex(printed, new RegExp(`SHA-256 ${run('sha256sum', name).slice(0, 64)}\n$`));

  run('tar', '-xzf', name);
  const isthmus = (...words: string[]): string =>
    run(process.execPath, join(folder, 'isthmus/dist/src/cli/main.js'), ...words);
  t.is(isthmus('--version'), `${/isthmus-(.*)-linux/.exec(name)![1]}\n`);
  isthmus(
    'init',
    '--server-endpoint=192.0.2.1',
    '--server-subnets=10.1.0.0/16',
    '--client-subnets=10.2.0.0/16',
    '--yes',
  );
  t.regex(isthmus('check', 'server.yaml'), /good/);
  const addon = `import(${JSON.stringify(join(folder, 'isthmus/dist/src/nic/native.js'))}).then((m) => m.createWake())`;
  t.notThrows(() => run(process.execPath, '--eval', addon), 'the addon is found and loads');

  const files = run('tar', '-tzf', name).split('\n');
  t.true(files.includes('isthmus/deploy/systemd/isthmus@.service'), 'the unit, which an instance starts it by');
  t.false(files.some((file) => /\/node_modules\/(ava|typescript|aws-cdk-lib)\/|\.ts$|\.map$/.test(file)));
});
