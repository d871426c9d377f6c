#!/usr/bin/env node
// Compiles the addon for the machines that this one has compilers for, by prebuildify, into build/addons:
//
//   node deploy/package/addons.mjs [x64|arm64]...     all that there are compilers for, if none is named
//
// The compiler for other machines is Debian's g++-aarch64-linux-gnu or g++-x86-64-linux-gnu. There is none in Debian for
// C++ with musl.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const require = createRequire(import.meta.url);
const prebuildify = promisify(require('prebuildify'));
const prefix = dirname(dirname(realpathSync(process.execPath)));
const COMPILERS = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const LIBRARIES = { x64: '/usr/lib/x86_64-linux-gnu/libIPSec_MB.a' };

const exists = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

async function compile(arch) {
  const folder = join(root, 'build/prebuildify', arch);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const part of ['binding.gyp', 'native', 'package.json'])
    cpSync(join(root, part), join(folder, part), { recursive: true });
  const tools = COMPILERS[arch];
  const ipsecMb = existsSync(LIBRARIES[arch] ?? '') ? `ipsec_mb=${LIBRARIES[arch]}` : '';
  Object.assign(process.env, {
    CC: `${tools}-gcc`,
    CXX: `${tools}-g++`,
    GYP_DEFINES: ipsecMb,
    npm_config_nodedir: prefix,
  });
  await prebuildify({
    cwd: folder,
    arch,
    name: 'isthmus',
    napi: true,
    tagLibc: true,
    libc: 'glibc',
    strip: true,
    stripBin: `${tools}-strip`,
    targets: [`node@${process.versions.node}`],
    nodeGyp: join(dirname(require.resolve('node-gyp/package.json')), 'bin/node-gyp.js'),
  });
  cpSync(join(folder, 'prebuilds'), join(root, 'build/addons'), { recursive: true });
  console.log(`build/addons/linux-${arch}`);
}

const asked = process.argv.slice(2);
const all = Object.keys(COMPILERS);
if (asked.some((arch) => !all.includes(arch))) {
  console.error('usage: node deploy/package/addons.mjs [x64|arm64]...');
  process.exit(64);
}
const archs = asked.length > 0 ? asked : all.filter((arch) => exists(`${COMPILERS[arch]}-g++`));
for (const arch of archs) await compile(arch);
