import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

/** Rejects, with all that was printed, when the command does not end with 0. */
const execute = promisify(execFile);

/** ava runs in the folder of package.json. */
const native = resolve('native');
const sources = ['selftest', 'selftest-ring', 'segment', 'coalesce', 'checksum', 'ring'].map((name) => join(native, `${name}.cc`));

const selftest = test.macro(async (t, flags: string[]) => {
  t.timeout(900_000);
  const folder = await mkdtemp(join(tmpdir(), 'isthmus-selftest-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const program = join(folder, 'selftest');
  await execute('g++', ['-std=c++17', '-pthread', '-Wall', '-Wextra', '-Werror', ...flags, ...sources, '-o', program]);
  const { stdout } = await execute(program);
  t.regex(stdout, /^250000 malformed packets/m);
});

test(
  'segmentation and coalescing agree with slow versions of both, and bear malformed packets, under ASan and UBSan',
  selftest,
  ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
);

test('so do they as they are shipped, with vector instructions', selftest, ['-O3']);
