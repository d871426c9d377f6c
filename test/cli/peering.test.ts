import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { PeeringStore } from '../../src/gateway/peering-store.ts';
import { encodeInvitation } from '../../src/peering/invitation.ts';
import { End, idOf, invitationOf, PSK, twoEnds } from '../peering/ends.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
/** No gateway has it, wherever the tests run. */
const NOBODY = ['--gateway', 'no-such-tun'];

function isthmus(words: readonly string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...words], { input, encoding: 'utf8' });
}

function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'isthmus-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

function invitation(): string {
  const { a } = twoEnds();
  a.request();
  return encodeInvitation(invitationOf(a));
}

test('init --name writes the file of one gateway, which is good as it is', (t) => {
  const folder = directory(t);
  const init = ['init', '--name', 'ningxia', '--subnets', '172.31.0.0/16,fd01::/64', '--dir', folder];
  const made = isthmus([...init, '--endpoint', '203.0.113.7']);
  t.is(made.status, 0, made.stderr);
  t.regex(made.stdout, /isthmus peering request NAME/);
  const path = join(folder, 'ningxia.yaml');
  t.is(statSync(path).mode & 0o777, 0o600);
  t.regex(readFileSync(path, 'utf8'), /endpoint: 203\.0\.113\.7:51820/);
  t.is(isthmus(['check', path]).stdout, `${path}: good: gateway ningxia on ist0, peerings: 0, rules: 2\n`);
  t.is(isthmus(init).status, 73);
  const again = isthmus([
    ...init,
    '--force',
    '--endpoint',
    '[2001:db8::7]:5000',
    '--interface',
    'tun9',
    '--overlay',
    '10.8.0.1/32',
  ]);
  t.is(again.status, 0, again.stderr);
  t.is(isthmus(['check', path]).stdout, `${path}: good: gateway ningxia on tun9, peerings: 0, rules: 2\n`);
  t.regex(readFileSync(path, 'utf8'), /listen: 5000\n {2}endpoint: "\[2001:db8::7\]:5000"/);
});

test('init --name says what is wrong or wanting', (t) => {
  const folder = directory(t);
  for (const [words, said] of [
    [['--name', 'a'], /wants --subnets too/],
    [['--name', 'a b', '--subnets', '10.0.0.0/8'], /--name: .*wanted a name/],
    [['--name', 'a', '--subnets', '10.0.0.1/8'], /--subnets: .*host bits/],
    [['--name', 'a', '--subnets', '10.0.0.0/8', '--endpoint', 'a:b'], /--endpoint: /],
    [
      ['--name', 'a', '--subnets', '10.0.0.0/8', '--overlay', '10.8.0.0/30'],
      /--overlay: .*wanted the address of a host/,
    ],
  ] as const) {
    const { status, stderr } = isthmus(['init', ...words, '--dir', folder]);
    t.is(status, 64);
    t.regex(stderr, said);
  }
});

test('an invitation is inspected where no gateway runs, from an argument or standard input, without its PSK', (t) => {
  const text = invitation();
  for (const { status, stdout } of [
    isthmus(['peering', 'inspect', ...NOBODY, text]),
    isthmus(['peering', 'inspect', ...NOBODY], `${text}\n`),
    isthmus(['peering', 'inspect', ...NOBODY, '-'], text),
  ]) {
    t.is(status, 0);
    t.regex(stdout, /from +a\n/);
    t.regex(stdout, /its networks +172\.31\.0\.0\/16, fd00:a::\/32\n/);
    t.regex(stdout, /no gateway runs here to compare it with/);
    t.false(stdout.includes(PSK));
  }
  const json = isthmus(['peering', 'inspect', ...NOBODY, '--json', text]).stdout;
  t.is((JSON.parse(json) as { from: string }).from, 'a');
  t.false(json.includes(PSK));
  const damaged = isthmus(['peering', 'inspect', ...NOBODY, text.slice(0, -3)]);
  t.is(damaged.status, 1);
  t.is(
    damaged.stderr,
    'isthmus: the invitation is damaged: its checksum is wrong. Was all of it copied? (ISTHMUS_INVITATION)\n',
  );
});

test('what wants a gateway says that there is none', (t) => {
  for (const words of [
    ['list'],
    ['show', 'b'],
    ['request', 'b'],
    ['accept', invitation()],
    ['delete', 'b'],
    ['modify', 'b', '--no-acl'],
  ]) {
    const { status, stderr } = isthmus(['peering', ...words, ...NOBODY]);
    t.is(status, 69, words.join(' '));
    t.regex(stderr, /ISTHMUS_NO_GATEWAY/);
  }
  t.is(isthmus(['peering', 'modify', 'b', ...NOBODY]).status, 64);
  t.is(isthmus(['peering', 'dance']).status, 64);
});

test('the audit log of a database is shown and verified, against a head that was noted too', (t) => {
  const path = join(directory(t), 'a.db');
  const store = PeeringStore.open(path);
  const end = new End('a', ['172.31.0.0/16']);
  end.request({ name: 'beijing' });
  const record = end.get(idOf(1));
  const what = {
    id: record.id,
    peering: 'beijing',
    side: 'requester',
    from: 'initiating-request',
    state: record.state,
  };
  store.apply([{ record, who: 'local api', at: Date.UTC(2026, 0, 1), what }]);
  const { count, hash } = store.head;
  const running = isthmus(['audit', '--file', path]);
  t.is(running.status, 1);
  t.regex(running.stderr, /process \d+ uses it \(ISTHMUS_STATE\)/);
  store.close();

  const shown = isthmus(['audit', '--file', path]);
  t.is(
    shown.stdout,
    `     1  2026-01-01T00:00:00.000Z  local api  beijing: initiating-request -> pending-acceptance  ${hash.slice(0, 8)}\n`,
  );
  t.false(isthmus(['audit', '--file', path, '--json']).stdout.includes(PSK));
  const good = isthmus(['audit', 'verify', '--file', path]);
  t.is(good.stdout, `good: 1 entries, head ${count}:${hash}\n`);
  t.is(isthmus(['audit', 'verify', '--file', path, '--head', `${count}:${hash}`]).status, 0);
  const other = isthmus(['audit', 'verify', '--file', path, '--head', `1:${'0'.repeat(64)}`]);
  t.is(other.status, 1);
  t.is(
    other.stderr,
    'isthmus: the log is not as it was written: entry 1 is another one than was noted (ISTHMUS_AUDIT)\n',
  );
});
