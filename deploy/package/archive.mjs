#!/usr/bin/env node
// Packs a built checkout into one archive that runs where there is Node, and nothing to compile or download:
// build/isthmus-VERSION-linux-ARCH.tar.gz, for instances that install by a digest. Prints its path and SHA-256. The same
// sources and addon make the same bytes. The addon within is this machine's, so pack for Arm on Arm.
//
//   npm run package:archive [-- FOLDER]     build/ unless another folder is named
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dependencies } from './dependencies.mjs';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** The addon; it is loaded from the same place of the archive. */
function addon() {
  const folder = 'build/Release';
  const names = existsSync(join(root, folder))
    ? readdirSync(join(root, folder)).filter((n) => n.endsWith('.node'))
    : [];
  if (names.length === 0) throw new Error('no addon in build/Release: run `npm ci` or `node native/build.mjs` first');
  return names.map((name) => join(folder, name));
}

const staging = mkdtempSync(join(tmpdir(), 'isthmus-archive-'));
try {
  const paths = ['package.json', 'LICENSE', 'CHANGELOG.md', 'dist/src', 'deploy', ...addon(), ...dependencies(root)];
  for (const path of paths)
    cpSync(join(root, path), join(staging, 'isthmus', path), {
      recursive: true,
      filter: (name) => !/\.(map|ts)$/.test(name),
    });
  const archive = join(process.argv[2] ?? 'build', `isthmus-${version}-linux-${process.arch}.tar.gz`);
  mkdirSync(resolve(root, dirname(archive)), { recursive: true });
  const same = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--mode=u+rwX,go+rX,go-w'];
  const compress = ['--use-compress-program=gzip -n', '--file', resolve(root, archive)];
  const { status } = spawnSync('tar', ['--create', ...same, ...compress, '--directory', staging, 'isthmus'], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('tar failed');
  console.log(
    `${archive}\nSHA-256 ${createHash('sha256')
      .update(readFileSync(resolve(root, archive)))
      .digest('hex')}`,
  );
} finally {
  rmSync(staging, { recursive: true, force: true });
}
