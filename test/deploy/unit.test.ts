import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const UNIT = join(root, 'deploy/systemd/isthmus@.service');
/** systemd's measure of what a service may do, 0 to 10: that which the manual names. */
const EXPOSURE = 1.9;

function analyze(...words: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', words, { encoding: 'utf8', timeout: 60_000 });
  return { status, output: stdout + stderr };
}

test('systemd finds no fault in the unit, and little that it may do', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'isthmus-unit-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const folder = join(directory, 'etc/systemd/system');
  mkdirSync(folder, { recursive: true });
  // As if it were installed: systemd looks for the program, and for the targets that the host has.
  writeFileSync(join(folder, 'sysinit.target'), '[Unit]\nDescription=all else\n');
  for (const target of ['basic', 'shutdown', 'network-online', 'nss-lookup', 'multi-user'])
    cpSync(join(folder, 'sysinit.target'), join(folder, `${target}.target`));
  cpSync(UNIT, join(folder, 'isthmus@ningxia.service'));
  mkdirSync(join(directory, 'usr/bin'), { recursive: true });
  writeFileSync(join(directory, 'usr/bin/isthmus'), '#!/bin/sh\n', { mode: 0o755 });

  const verified = analyze(`--root=${directory}`, 'verify', 'isthmus@ningxia.service');
  t.is(verified.output, '');
  t.is(verified.status, 0);
  const { output } = analyze(
    `--root=${directory}`,
    'security',
    '--offline=yes',
    '--no-pager',
    'isthmus@ningxia.service',
  );
  t.is(Number(/exposure level for \S+: ([\d.]+)/.exec(output)?.[1]), EXPOSURE, output);
  t.true(readFileSync(join(root, 'docs/operations.md'), 'utf8').includes(`exposure of ${EXPOSURE}`));
});

test('the Dockerfile copies what there is, and its entry point is a command of the package', (t) => {
  const text = readFileSync(join(root, 'deploy/docker/Dockerfile'), 'utf8');
  const copied = [...text.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, sources]) => sources.split(' '));
  t.true(copied.length > 5);
  for (const path of copied) t.true(existsSync(join(root, path)), path);
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { bin: object };
  t.true(Object.hasOwn(bin, /^ENTRYPOINT \["(.*)"\]$/m.exec(text)![1]));
});
