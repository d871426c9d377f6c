#!/usr/bin/env node
// Brings a checkout to the state in which its demo, tests or benchmarks run: Debian packages, npm packages, the native
// addon, the compiled sources. Plain Node, as nothing is installed yet; silent when there is nothing to do.
//
//   node deploy/setup.mjs [--for demo|test|bench|package]
//
// Exit codes: 0 ready, 64 wrong arguments, 69 something is missing that only the user can put there, else a step's own.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const POLICY = '/usr/sbin/policy-rc.d';
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;
const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Debian packages by what they are for, each with a command or (with a `/`) a library that shows it is there. */
const BUILD = {
  'g++': 'g++',
  make: 'make',
  python3: 'python3',
  ...(process.arch === 'x64' ? { 'libipsec-mb-dev': '/libIPSec_MB.a' } : {}),
};
const DEMO = { ...BUILD, iproute2: 'ip', iperf3: 'iperf3', 'iputils-ping': 'ping', procps: 'sysctl' };
const TEST = {
  ...DEMO,
  nftables: 'nft',
  bird2: 'bird',
  'wireguard-tools': 'wg',
  tcpdump: 'tcpdump',
  systemd: 'systemd-analyze',
  chromium: 'chromium',
  prometheus: 'prometheus',
  shellcheck: 'shellcheck',
  libasan8: '/libasan.so.8',
  libubsan1: '/libubsan.so.1',
};
const BENCH = { ...TEST, openvpn: 'openvpn' };
const purposes = {
  package: { packages: { ...BUILD, binutils: 'strip', dpkg: 'dpkg-deb' }, peers: false },
  demo: { packages: DEMO, peers: false },
  test: { packages: TEST, peers: true },
  bench: { packages: BENCH, peers: true },
};

/** Says why set-up cannot go on and ends it. */
function stop(message, code = EX_UNAVAILABLE) {
  console.error(`setup: ${message}`);
  process.exit(code);
}

/** Runs one step in the checkout, its output shown, no input; a failure ends set-up with the step's exit code. */
function step(what, command, args, environment = {}) {
  console.log(`setup: ${what}`);
  const env = { ...process.env, ...environment };
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env });
  if (status !== 0) stop(`${[command, ...args].join(' ')}: ${error?.message ?? `exit code ${status}`}`, status || 1);
}

function isThere(probe) {
  if (probe.startsWith('/')) {
    const folders = ['/usr/lib', ...readdirSync('/usr/lib').map((name) => `/usr/lib/${name}`)];
    return folders.some((folder) => existsSync(folder + probe));
  }
  // Some shells' PATH has no sbin, where ip, nft and sysctl are; npm's has node_modules/.bin, where another nft is.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => !folder.endsWith('node_modules/.bin') && existsSync(join(folder, probe)));
}

/** Installs without starting what is installed: a Prometheus, say. Debian asks this file, and where there is none all may start. */
function withoutServices(install) {
  if (existsSync(POLICY)) return install();
  const undo = () => rmSync(POLICY, { force: true });
  process.once('exit', undo);
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  install();
  undo();
  process.off('exit', undo);
}

function installPackages(packages) {
  const missing = () => Object.keys(packages).filter((name) => !isThere(packages[name]));
  const wanted = missing();
  if (wanted.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${wanted.join(' ')}`;
  if (process.getuid() !== 0 || !isThere('apt-get'))
    stop(`missing: ${wanted.join(', ')}. Install with:\n  sudo ${command}`);
  const environment = { DEBIAN_FRONTEND: 'noninteractive' };
  const [apt, ...args] = command.split(' ');
  const lock = ['-o', 'DPkg::Lock::Timeout=120'];
  step(`package lists, for ${wanted.join(' ')}`, apt, [...lock, '-qq', 'update'], environment);
  withoutServices(() => step(`Debian packages ${wanted.join(' ')}`, apt, [...lock, '-qq', ...args], environment));
  const absent = missing();
  if (absent.length > 0) stop(`still missing after their installation: ${absent.join(', ')}`);
}

const lockedPackages = (path) => JSON.parse(readFileSync(join(root, path), 'utf8')).packages;

/** Whether node_modules holds what the lock file names. npm keeps a lock file of what is there beside it. */
function modulesAreCurrent() {
  const kept = join('node_modules', '.package-lock.json');
  if (!existsSync(join(root, kept))) return false;
  const installed = lockedPackages(kept);
  return Object.entries(lockedPackages('package-lock.json')).every(
    ([path, wanted]) => path === '' || wanted.optional || installed[path]?.version === wanted.version,
  );
}

/** Files below a folder (or a file itself) whose name matches, as paths from the checkout's root. */
function files(path, pattern) {
  const full = join(root, path);
  if (!existsSync(full)) return [];
  if (!statSync(full).isDirectory()) return pattern.test(path) ? [path] : [];
  return readdirSync(full).flatMap((name) => files(join(path, name), pattern));
}

const changedAt = (path) => statSync(join(root, path)).mtimeMs;

/** Whether something was built after every one of its sources was changed. */
function isCurrent(stamp, sources) {
  return existsSync(join(root, stamp)) && sources.every((source) => changedAt(source) < changedAt(stamp));
}

function npmPackages() {
  if (modulesAreCurrent()) return;
  step('npm packages and the native addon', 'npm', ['ci', '--no-audit', '--no-fund']);
  writeFileSync(join(root, 'build/.setup'), '');
}

function buildAddon() {
  const sources = [...files('native', /\.(cc|h|mjs)$/), 'binding.gyp'];
  if (files('build/Release', /\.node$/).length > 0 && isCurrent('build/.setup', sources)) return;
  step('native addon', process.execPath, ['native/build.mjs']);
  writeFileSync(join(root, 'build/.setup'), '');
}

function compile() {
  const folders = ['src', 'test', 'bench', 'deploy'];
  // What was compiled from a source that is gone must not run any more: a test, say, that was renamed.
  const compiled = folders.flatMap((folder) => files(`dist/${folder}`, /\.js$/));
  const orphans = compiled.filter((path) => !existsSync(join(root, path.slice('dist/'.length, -'js'.length) + 'ts')));
  for (const path of orphans) for (const end of ['', '.map']) rmSync(join(root, path + end), { force: true });
  const sources = [
    ...folders.flatMap((folder) => files(folder, /\.(ts|html|css|svg)$/)),
    'tsconfig.json',
    'package.json',
  ];
  if (isCurrent('dist/.setup', sources)) return;
  step('compiling the TypeScript sources', 'npm', ['run', '--silent', 'build']);
  writeFileSync(join(root, 'dist/.setup'), '');
}

function purposeName() {
  const names = Object.keys(purposes);
  try {
    const { values } = parseArgs({ options: { for: { type: 'string', default: 'demo' } } });
    if (names.includes(values.for)) return values.for;
  } catch {
    // an option of another name: the usage below says what there is
  }
  return stop(`usage: node deploy/setup.mjs [--for ${names.join('|')}]`, EX_USAGE);
}

function main() {
  const purpose = purposes[purposeName()];
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    stop(`Node ${process.versions.node} is too old: wants 20.19 or newer`);
  installPackages(purpose.packages);
  npmPackages();
  buildAddon();
  compile();
  if (purpose.peers && !existsSync(join(root, 'build/peers/wireguard-go')))
    step('wireguard-go, to test against', 'bash', ['deploy/fetch-wireguard-go.sh', 'build/peers']);
}

main();
