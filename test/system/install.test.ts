import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { BareRoot } from '../lab/bare-root.ts';
import { execute, until } from '../lab/process.ts';
import { B, GATEWAY_B, SUBNETS_A, SUBNETS_B, twoVpcs } from '../lab/two-vpcs.ts';

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
  t.regex(await a.must(['sh', '-c', 'gunzip -c /usr/share/man/man8/isthmus.8.gz']), /^\.SS "isthmus up /m);
  const tooOld = await a.run([
    'sh',
    '-c',
    'printf "#!/bin/sh\\n[ \\$1 = --version ] && echo v18.0.0; exit 1\\n" > old; chmod +x old; ISTHMUS_NODE=/tmp/old isthmus --version',
  ]);
  t.regex(tooOld.stderr, /^isthmus: \/tmp\/old is Node v18\.0\.0, too old; wants 20\.19 or later$/m);

  // What a user does: three commands on one side, with the invitation three on the other.
  const up = (host: string, each: BareRoot, name: string): Promise<void> => {
    const gateway = lab.spawn(host, each.argv(['isthmus', 'up', `/etc/isthmus/${name}.yaml`], NODE));
    return until(
      name,
      () => {
        if (!gateway.isRunning()) throw new Error(gateway.tail());
        return gateway.output().includes('is up');
      },
      30_000,
    );
  };
  const init = ['isthmus', 'init', '--dir', '/etc/isthmus', '--name'];
  await b.must([...init, 'beta', '--subnets', SUBNETS_B[4], '--endpoint', GATEWAY_B[4]], NODE);
  const owner = await b.must(['stat', '-c', '%U %a', '/etc/isthmus/beta.yaml']);
  t.is(owner, 'isthmus 600\n', 'the service is to read it');
  await up('gwb', b, 'beta');
  const invitation = await b.must(['isthmus', 'peering', 'request', 'alpha', '--acl', 'peers'], NODE);
  await a.must([...init, 'alpha', '--subnets', SUBNETS_A[4]], NODE);
  await up('gwa', a, 'alpha');
  await a.must(['isthmus', 'peering', 'accept', '--acl', 'peers'], NODE, { input: invitation });
  for (const each of [a, b]) {
    const listed = (): Promise<string> => each.must(['isthmus', 'peering', 'list'], NODE);
    await until('an active peering', async () => (await listed()).includes('active'), 60_000);
  }
  await until(
    'a ping',
    async () => (await lab.run('a', ['ping', '-n', '-c', '1', '-W', '1', B[4]])).code === 0,
    30_000,
  );
  const status = async (): Promise<string> => (await a.run(['isthmus', 'status'], NODE)).stdout;
  // The addon's own AEAD library is in the package, not asked of the host.
  t.is(/sealing by (\S+)/.exec(await status())?.[1], process.arch === 'x64' ? 'ipsec-mb' : 'openssl');

  // npm, without its registry.
  const npm = ['npm', 'install', '--global', '--offline', '--no-audit', '--no-fund', '--prefix', '/tmp/global'];
  const PATH = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;
  const installed = await b.run([...npm, await copy(b, tarball, '/tmp/isthmus.tgz')], { PATH }, { timeout: 120_000 });
  t.is(installed.code, 0, installed.stderr);
  t.is((await b.must(['/tmp/global/bin/isthmus', '--version'], { PATH })).trim(), version);
  t.regex(await b.must(['/tmp/global/bin/isthmus', 'status'], { PATH }), /^gateway beta/m);
  await b.must(['test', '-e', '/tmp/global/share/man/man8/isthmus.8']);
  t.regex(
    (await b.run(['sh', '-c', 'ls /tmp/global/lib/node_modules/isthmus/build'])).stderr,
    /No such file/,
    'nothing was built',
  );
});
