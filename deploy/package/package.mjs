#!/usr/bin/env node
// Makes what is installed elsewhere, out of a checkout that was built: a tarball for `npm install -g`, a Debian package.
// Both hold all they need but Node: the packages that the program uses, and its addon, compiled. The same sources and
// addons make the same tarball.
//
//   npm run package [-- --out FOLDER] [npm|deb]...      both, into build/package; prints the path of each
//
// The addon of this machine is the one in build/Release; those of others are taken from build/addons (addons.mjs).
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { manualPage } from '../../dist/deploy/package/man.js';
import { dependencies } from './dependencies.mjs';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { values, positionals: named } = parseArgs({ options: { out: { type: 'string' } }, allowPositionals: true });
const out = resolve(values.out ?? join(root, 'build/package'));
const addons = join(root, 'build/addons');
const debian = join(root, 'deploy/package/debian');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const page = await manualPage();
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };

const run = (command, args, cwd = out) =>
  execFileSync(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

/** The files of the package in a folder, with its dependencies and the addons that there are. */
function stage(folder) {
  rmSync(folder, { recursive: true, force: true });
  const files = [
    ...manifest.files.filter((path) => path !== 'prebuilds'),
    'LICENSE',
    'README.md',
    ...dependencies(root),
  ];
  for (const path of files) {
    const filter = (name) => !/\.(map|ts)$/.test(name);
    cpSync(join(root, path), join(folder, path), { recursive: true, dereference: true, filter });
  }
  const own = join(folder, 'prebuilds', `linux-${process.arch}`);
  if (existsSync(addons)) cpSync(addons, join(folder, 'prebuilds'), { recursive: true });
  mkdirSync(own, { recursive: true });
  const addon = join(own, 'isthmus.glibc.node');
  cpSync(join(root, 'build/Release/isthmus.node'), addon);
  run('strip', ['--strip-unneeded', addon]);
  const { devDependencies: _, ...published } = manifest;
  mkdirSync(join(folder, 'man'));
  writeFileSync(join(folder, 'man/isthmus.8'), page);
  const bundled = {
    ...published,
    files: [...manifest.files, 'man'],
    man: ['man/isthmus.8'],
    bundleDependencies: Object.keys(manifest.dependencies),
  };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(bundled, null, 2)}\n`);
}

function packNpm() {
  const folder = join(out, 'npm');
  stage(folder);
  const [{ filename }] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out], folder),
  );
  return join(out, filename);
}

/** Paths of a Debian package below its root, and their modes. */
function packDeb() {
  const architecture = ARCHITECTURES[process.arch];
  const folder = join(out, 'deb');
  rmSync(folder, { recursive: true, force: true });
  const library = join(folder, 'usr/lib/isthmus');
  stage(library);
  const documents = join(folder, 'usr/share/doc/isthmus');
  cpSync(join(library, 'docs'), documents, { recursive: true });
  for (const name of ['README.md', 'CHANGELOG.md']) cpSync(join(library, name), join(documents, name));
  cpSync(join(library, 'LICENSE'), join(documents, 'copyright'));
  const manual = join(folder, 'usr/share/man/man8');
  mkdirSync(manual, { recursive: true });
  writeFileSync(join(manual, 'isthmus.8.gz'), gzipSync(page, { level: 9 }));
  for (const name of ['docs', 'man', 'native', 'binding.gyp', 'README.md', 'CHANGELOG.md', 'LICENSE', 'deploy'])
    rmSync(join(library, name), { recursive: true });
  for (const other of readdirSync(join(library, 'prebuilds')).filter((name) => name !== `linux-${process.arch}`))
    rmSync(join(library, 'prebuilds', other), { recursive: true });
  const unit = join(folder, 'lib/systemd/system/isthmus@.service');
  cpSync(join(root, 'deploy/systemd/isthmus@.service'), unit);
  cpSync(join(root, 'deploy/isthmus.example.yaml'), join(documents, 'examples/isthmus.yaml'));
  for (const name of ['isthmus', 'isthmus-device']) {
    const main = manifest.bin[name];
    const text = readFileSync(join(debian, 'start.sh'), 'utf8').replace('MAIN', `/usr/lib/isthmus/${main}`);
    mkdirSync(join(folder, 'usr/bin'), { recursive: true });
    writeFileSync(join(folder, 'usr/bin', name), text, { mode: 0o755 });
  }
  run('chmod', ['-R', 'u=rwX,go=rX', folder]);
  const size = run('du', ['-sk', '--apparent-size', folder]).split('\t')[0];
  const control = join(folder, 'DEBIAN');
  mkdirSync(control);
  for (const name of ['postinst', 'postrm']) {
    cpSync(join(debian, name), join(control, name));
    chmodSync(join(control, name), 0o755);
  }
  const fields = { VERSION: manifest.version, ARCHITECTURE: architecture, SIZE: size };
  const text = readFileSync(join(debian, 'control'), 'utf8').replace(
    /VERSION|ARCHITECTURE|SIZE/g,
    (name) => fields[name],
  );
  writeFileSync(join(control, 'control'), text);
  const file = join(out, `isthmus_${manifest.version}_${architecture}.deb`);
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '-z1', '--build', folder, file]);
  return file;
}

const kinds = { npm: packNpm, deb: packDeb };
const wanted = named.length > 0 ? named : Object.keys(kinds);
if (wanted.some((kind) => !Object.hasOwn(kinds, kind))) {
  console.error('usage: node deploy/package/package.mjs [--out FOLDER] [npm|deb]...');
  process.exit(64);
}
mkdirSync(out, { recursive: true });
for (const kind of wanted) console.log(kinds[kind]());
