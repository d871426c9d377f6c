import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { BareRoot } from '../lab/bare-root.ts';
import { execute, until } from '../lab/process.ts';
import { GATEWAY_B, twoVpcs } from '../lab/two-vpcs.ts';

/** The checkout, seen from `dist/test/system`. */
const root = fileURLToPath(new URL('../../../', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
/** Where this machine has its Node, which need not be where the package looks. */
const NODE = { ISTHMUS_NODE: process.execPath };

test('the Debian package and the npm tarball install without a compiler, and a peering comes up', async (t) => {
  const packed = await execute([process.execPath, join(root, 'deploy/package/package.mjs'), 'deb', 'npm'], {
    timeout: 240_000,
  });
  t.is(packed.code, 0, packed.stderr);
  const [deb, tarball] = packed.stdout.trim().split('\n');
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a, b] = [await BareRoot.on(lab, 'gwa', root), await BareRoot.on(lab, 'gwb', root)];
  const copy = async (to: BareRoot, from: string, path: string): Promise<string> => {
    await to.must(['sh', '-c', 'umask 077; base64 -d > "$1"', 'sh', path], {}, { input: readFileSync(from, 'base64') });
    return path;
  };

  for (const each of [a, b]) {
    t.not((await each.run(['sh', '-c', `command -v g++ cc make || ls ${root}/package.json`])).code, 0);
    await each.must(['dpkg', '--install', await copy(each, deb, '/tmp/isthmus.deb')]);
    t.is((await each.must(['isthmus', '--version'], NODE)).trim(), version);
  }
  t.is((await a.must(['stat', '-c', '%U %a', '/etc/isthmus'])).trim(), 'isthmus 700');
  t.regex(await a.must(['cat', '/lib/systemd/system/isthmus@.service']), /^ExecStart=\/usr\/bin\/isthmus up /m);
  const tooOld = await a.run([
    'sh',
    '-c',
    'printf "#!/bin/sh\\n[ \\$1 = --version ] && echo v18.0.0; exit 1\\n" > old; chmod +x old; ISTHMUS_NODE=/tmp/old isthmus --version',
  ]);
  t.regex(tooOld.stderr, /^isthmus: \/tmp\/old is Node v18\.0\.0, too old; wants 20\.19 or later$/m);

  // What a user does, on one side and then the other.
  const subnets = ['--server-subnets', '192.168.0.0/16', '--client-subnets', '172.31.0.0/16'];
  const names = ['--names', 'beta,alpha', '--server-endpoint', GATEWAY_B[4]];
  await b.must(['isthmus', 'init', '--dir', '/etc/isthmus', ...names, ...subnets, '--yes'], NODE);
  const files = (await b.must(['sh', '-c', 'ls /etc/isthmus/alpha.yaml /etc/isthmus/*.psk'])).trim().split('\n');
  t.is(files.length, 2);
  const owners = await b.must(['stat', '-c', '%U %a', ...files, '/etc/isthmus/beta.yaml']);
  t.is(owners, 'isthmus 600\n'.repeat(3), 'the service is to read them');
  for (const file of files) {
    const content = await b.must(['base64', file]);
    await a.must(['sh', '-c', 'umask 077; base64 -d > "$1"', 'sh', file], {}, { input: content });
  }
  await a.must(['isthmus', 'check', '/etc/isthmus/alpha.yaml'], NODE);
  const gateways = [
    lab.spawn('gwb', b.argv(['isthmus', 'up', '/etc/isthmus/beta.yaml'], NODE)),
    lab.spawn('gwa', a.argv(['isthmus', 'up', '/etc/isthmus/alpha.yaml'], NODE)),
  ];
  const isUp = (): boolean => gateways.every((gateway) => gateway.output().includes('is up'));
  await until('both gateways', () => isUp() || gateways.some((gateway) => !gateway.isRunning()), 30_000);
  t.true(isUp(), gateways.map((gateway) => gateway.tail()).join('\n'));
  const status = async (): Promise<string> => (await a.run(['isthmus', 'status'], NODE)).stdout;
  await until('a session', async () => /handshake {2}\d+ s ago/.test(await status()), 30_000);
  // The addon's own AEAD library is in the package, not asked of the host.
  t.is(/sealing by (\S+)/.exec(await status())?.[1], process.arch === 'x64' ? 'ipsec-mb' : 'openssl');

  // npm, without its registry.
  const npm = ['npm', 'install', '--global', '--offline', '--no-audit', '--no-fund', '--prefix', '/tmp/global'];
  const PATH = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;
  const installed = await b.run([...npm, await copy(b, tarball, '/tmp/isthmus.tgz')], { PATH }, { timeout: 120_000 });
  t.is(installed.code, 0, installed.stderr);
  t.is((await b.must(['/tmp/global/bin/isthmus', '--version'], { PATH })).trim(), version);
  t.regex(await b.must(['/tmp/global/bin/isthmus', 'status'], { PATH }), /^gateway beta/m);
  t.regex(
    (await b.run(['sh', '-c', 'ls /tmp/global/lib/node_modules/isthmus/build'])).stderr,
    /No such file/,
    'nothing was built',
  );
});
