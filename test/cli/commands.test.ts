import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import nacl from 'tweetnacl';
import { derivePeering, publicKey } from '../../src/noise/psk.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const PSK = '0123456789abcdef'.repeat(4);
const INIT = [
  ...['init', '--names', 'ningxia,beijing', '--server-endpoint', '203.0.113.7'],
  ...['--server-subnets', '172.31.0.0/16,fd01::/64', '--client-subnets', '192.168.0.0/16'],
];

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program as a user does, in a directory of its own or one that is given. */
function isthmus(words: string[], { input = '', cwd = tmpdir(), env = {} } = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...words], { cwd, env: { PATH: process.env['PATH'], ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject).on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.on('error', () => undefined).end(input);
  });
}

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'isthmus-'));
  try {
    await run(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function base64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.trim(), 'base64'));
}

function writeGateway(
  directory: string,
  peering: string,
  gateway = 'address: 10.8.0.1/30, subnets: [172.31.0.0/16]',
): void {
  const text = `gateway: {name: ningxia, ${gateway}}\npeerings:\n  - {name: beijing, subnets: [192.168.0.0/16], ${peering}}\n`;
  writeFileSync(join(directory, 'g.yaml'), text, { mode: 0o600 });
}

test('genpsk and genkey print 256 bits, never the same', async (t) => {
  const keys = await Promise.all(['genpsk', 'genpsk', 'genkey', 'genkey'].map((word) => isthmus([word])));
  for (const { code, stdout, stderr } of keys) {
    t.is(code, 0);
    t.is(stderr, '');
    t.regex(stdout, /^[A-Za-z0-9+/]{43}=\n$/);
  }
  t.is(new Set(keys.map(({ stdout }) => stdout)).size, 4);
});

test('pubkey prints the public key of a private key', async (t) => {
  // RFC 7748, section 6.1: Alice's keys.
  const privateKey = Buffer.from('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a', 'hex');
  const { code, stdout } = await isthmus(['pubkey'], { input: `${privateKey.toString('base64')}\n` });
  t.is(code, 0);
  t.is(
    Buffer.from(stdout, 'base64').toString('hex'),
    '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
  );
  const { stdout: generated } = await isthmus(['genkey']);
  t.deepEqual(
    base64((await isthmus(['pubkey'], { input: generated })).stdout),
    nacl.scalarMult.base(base64(generated)),
  );
  const refused = await isthmus(['pubkey'], { input: 'not a key\n' });
  t.deepEqual([refused.code, refused.stdout], [1, '']);
  t.regex(refused.stderr, /ISTHMUS_KEY_FORMAT/);
});

test('check ends with 78 and one line a fault, or with 0', async (t) => {
  await inDirectory(async (cwd) => {
    writeGateway(cwd, 'role: server, psk: {env: PSK}, acl: wbe');
    const faulty = await isthmus(['check', 'g.yaml'], { cwd });
    t.deepEqual([faulty.code, faulty.stdout], [78, '']);
    const lines = faulty.stderr.trimEnd().split('\n');
    t.is(lines.length, 2);
    for (const line of lines) t.regex(line, /^g\.yaml:3:\d+: peerings\[0\]\.(psk|acl): .* \(ISTHMUS_\w+\)$/);

    const json = await isthmus(['check', '--json', 'g.yaml'], { cwd });
    t.deepEqual([json.code, json.stderr], [78, '']);
    const { ok, faults } = JSON.parse(json.stdout) as { ok: boolean; faults: Record<string, unknown>[] };
    t.false(ok);
    t.like(faults[1], { file: 'g.yaml', line: 3, path: 'peerings[0].acl', code: 'ISTHMUS_CONFIG_UNKNOWN_ACL' });

    writeGateway(cwd, 'role: server, psk: {env: PSK}');
    const good = await isthmus(['check', 'g.yaml'], { cwd, env: { PSK } });
    t.deepEqual([good.code, good.stderr], [0, '']);
    t.regex(good.stdout, /nothing passes: beijing/);
    t.is((await isthmus(['check', 'none.yaml'], { cwd })).code, 78);
  });
});

test('in the journal a complaint has its priority', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'isthmus-journal-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const journal = join(directory, 'journal');
  const fd = openSync(journal, 'w');
  const { dev, ino } = fstatSync(fd);
  const complain = async (stream: string): Promise<string> => {
    const env = { PATH: process.env['PATH'], JOURNAL_STREAM: stream };
    const child = spawn(process.execPath, [MAIN, 'up', '/no/such'], { env, stdio: ['ignore', 'ignore', fd] });
    await once(child, 'close');
    return readFileSync(journal, 'utf8');
  };
  t.regex(await complain(`${dev}:${ino}`), /^<3>\/no\/such:.*\(ISTHMUS_CONFIG_UNREADABLE\)\n$/);
  truncateSync(journal);
  t.regex(await complain(`${dev}:${ino + 1}`), /^\0*\/no\/such:/, 'that of another program');
  closeSync(fd);
});

test('init writes both sides and their PSK, closed to others, and they pass check', async (t) => {
  await inDirectory(async (cwd) => {
    const { code, stdout } = await isthmus([...INIT, '--yes', '--overlay', '10.9.0.0/30,fd00:9::/126'], { cwd });
    t.is(code, 0);
    t.regex(stdout, /isthmus up ningxia\.yaml/);
    const files = ['beijing.yaml', 'ningxia-beijing.psk', 'ningxia.yaml'];
    t.deepEqual(readdirSync(cwd).sort(), files);
    for (const file of files) t.is(statSync(join(cwd, file)).mode & 0o777, 0o600, file);
    t.is(base64(readFileSync(join(cwd, 'ningxia-beijing.psk'), 'utf8')).length, 32);
    for (const file of ['beijing.yaml', 'ningxia.yaml']) {
      const checked = await isthmus(['check', file], { cwd });
      t.deepEqual([checked.code, checked.stderr], [0, ''], file);
    }
    // Each side's view of the other is what the other is.
    const server = await isthmus(['export-wg', 'ningxia.yaml', '--this-side'], { cwd });
    const serverByClient = await isthmus(['export-wg', 'beijing.yaml'], { cwd });
    const comparable = (text: string): string[] => text.split('\n').filter((line) => !line.startsWith('#'));
    t.deepEqual(comparable(server.stdout), comparable(serverByClient.stdout));
  });
});

test('init overwrites nothing unless forced, and then makes a new PSK', async (t) => {
  await inDirectory(async (cwd) => {
    writeFileSync(join(cwd, 'beijing.yaml'), 'mine', { mode: 0o644 });
    const refused = await isthmus([...INIT, '--yes'], { cwd });
    t.is(refused.code, 73);
    t.regex(refused.stderr, /beijing\.yaml already there.*ISTHMUS_FILE_EXISTS/);
    t.is(readFileSync(join(cwd, 'beijing.yaml'), 'utf8'), 'mine');
    t.deepEqual(readdirSync(cwd), ['beijing.yaml']);

    t.is((await isthmus([...INIT, '--yes', '--force'], { cwd })).code, 0);
    t.is(statSync(join(cwd, 'beijing.yaml')).mode & 0o777, 0o600);
    const psk = readFileSync(join(cwd, 'ningxia-beijing.psk'), 'utf8');
    t.is((await isthmus([...INIT, '--yes', '--force'], { cwd })).code, 0);
    t.not(readFileSync(join(cwd, 'ningxia-beijing.psk'), 'utf8'), psk);
  });
});

test('init asks for what no option gives, and again after an answer that will not do', async (t) => {
  await inDirectory(async (cwd) => {
    const input = ['', 'vpn.example.com:1200', '172.31.0.1/16', '172.31.0.0/16', '192.168.0.0/16', '', ''].join('\n');
    const { code, stderr } = await isthmus(['init'], { cwd, input: `${input}\n` });
    t.is(code, 0);
    t.regex(stderr, /172\.31\.0\.1\/16 has host bits set; wanted 172\.31\.0\.0\/16/);
    t.regex(readFileSync(join(cwd, 'client.yaml'), 'utf8'), /endpoint: "?vpn\.example\.com:1200/);
    t.regex(readFileSync(join(cwd, 'server.yaml'), 'utf8'), /listen: 1200/);
  });
  await inDirectory(async (cwd) => {
    const { code, stderr } = await isthmus(['init'], { cwd, input: 'a,b\n' });
    t.is(code, 64);
    t.regex(stderr, /--server-endpoint .*ISTHMUS_USAGE/);
    t.deepEqual(readdirSync(cwd), []);
  });
});

test('init refuses options that make no configuration', async (t) => {
  const bad: readonly (readonly [string, string])[] = [
    ['--server-subnets', '172.31.0.1/16'],
    ['--overlay', '10.8.0.0/24'],
    ['--cipher', 'rot13'],
    ['--names', 'same,same'],
    ['--server-endpoint', '203.0.113.7:0'],
  ];
  for (const [option, value] of bad) {
    const { code, stderr } = await isthmus([...INIT, '--yes', option, value]);
    t.is(code, 64, option);
    t.true(stderr.includes(option), stderr);
  }
});

test('export-wg prints what a stock WireGuard at the other side needs', async (t) => {
  await inDirectory(async (cwd) => {
    writeGateway(cwd, 'role: server, psk: {env: PSK}', 'address: 10.8.0.1/30, subnets: [172.31.0.0/16], mtu: 1380');
    const { code, stdout } = await isthmus(['export-wg', 'g.yaml', '--endpoint', '203.0.113.7:51820'], {
      cwd,
      env: { PSK },
    });
    t.is(code, 0);
    const keys = derivePeering(new Uint8Array(Buffer.from(PSK, 'hex')), 'chacha20-poly1305');
    const text = (key: Uint8Array): string => Buffer.from(key).toString('base64');
    t.deepEqual(
      stdout.split('\n').filter((line) => !line.startsWith('#')),
      [
        '[Interface]',
        `PrivateKey = ${text(keys.client)}`,
        'Address = 10.8.0.2/30',
        'MTU = 1380',
        '',
        '[Peer]',
        `PublicKey = ${text(publicKey(keys.server))}`,
        `PresharedKey = ${text(keys.presharedKey)}`,
        'AllowedIPs = 10.8.0.1/32, 172.31.0.0/16',
        'Endpoint = 203.0.113.7:51820',
        'PersistentKeepalive = 25',
        '',
      ],
    );
  });
});

test('export-wg of the side that calls listens where it is called, and knows no endpoint', async (t) => {
  await inDirectory(async (cwd) => {
    writeGateway(cwd, 'role: client, psk: {env: PSK}, endpoint: "203.0.113.7:1200", keepalive: 25s');
    const other = await isthmus(['export-wg', 'g.yaml'], { cwd, env: { PSK } });
    t.regex(other.stdout, /^ListenPort = 1200$/m);
    t.notRegex(other.stdout, /^(Endpoint|PersistentKeepalive)/m);
    const own = await isthmus(['export-wg', 'g.yaml', '--this-side'], { cwd, env: { PSK } });
    t.regex(own.stdout, /^Endpoint = 203\.0\.113\.7:1200\nPersistentKeepalive = 25$/m);
    t.regex(own.stdout, /^AllowedIPs = 10\.8\.0\.2\/32, 192\.168\.0\.0\/16$/m);
  });
});

test('export-wg refuses what WireGuard cannot do or what it cannot know', async (t) => {
  await inDirectory(async (cwd) => {
    writeGateway(cwd, 'role: server, psk: {env: PSK}, cipher: aes-256-gcm');
    const cipher = await isthmus(['export-wg', 'g.yaml'], { cwd, env: { PSK } });
    t.deepEqual([cipher.code, cipher.stdout], [1, '']);
    t.regex(cipher.stderr, /fixed to aes-256-gcm.*ISTHMUS_EXPORT_CIPHER/);

    const key = Buffer.alloc(32, 8).toString('base64');
    const peer = Buffer.alloc(32, 9).toString('base64');
    writeGateway(cwd, `public_key: ${peer}`, `private_key: ${key}`);
    const plain = await isthmus(['export-wg', 'g.yaml'], { cwd });
    t.is(plain.code, 1);
    t.regex(plain.stderr, /ISTHMUS_EXPORT_KEYS/);
    const own = await isthmus(['export-wg', 'g.yaml', '--this-side'], { cwd });
    t.regex(own.stdout, new RegExp(`PrivateKey = ${key.replaceAll('+', '\\+')}`));
    t.notRegex(own.stdout, /PresharedKey/);
    t.is((await isthmus(['export-wg', 'g.yaml', '--peering', 'tokyo'], { cwd })).code, 64);

    chmodSync(join(cwd, 'g.yaml'), 0o644);
    t.is((await isthmus(['export-wg', 'g.yaml', '--this-side'], { cwd })).code, 78);
  });
});

test('a secret that goes to a file open to others is warned of', async (t) => {
  await inDirectory(async (cwd) => {
    const shell = (umask: string): Promise<string> =>
      new Promise((resolve) => {
        const child = spawn('sh', ['-c', `umask ${umask}; "$0" "$1" genpsk > psk${umask}`, process.execPath, MAIN], {
          cwd,
        });
        let stderr = '';
        child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
        child.on('close', () => resolve(stderr));
      });
    t.regex(await shell('022'), /warning.*0644/);
    t.is(await shell('077'), '');
    t.true(existsSync(join(cwd, 'psk077')));
  });
});

test('help teaches, and an unknown word is a fault of usage', async (t) => {
  const words = ['init', 'check', 'genpsk', 'genkey', 'pubkey', 'export-wg'];
  const help = await isthmus(['--help']);
  t.is(help.code, 0);
  for (const word of words) {
    t.regex(help.stdout, new RegExp(`^  ${word} `, 'm'));
    const own = await isthmus([word, '--help']);
    t.is(own.code, 0);
    t.regex(own.stdout, /Example[^\n]*:\n  .*isthmus/);
  }
  for (const bad of [['frobnicate'], ['check'], ['check', '--frobnicate', 'x']])
    t.is((await isthmus(bad)).code, 64, bad.join(' '));
  t.regex((await isthmus(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
});

test('flows --read adds up a flow log: a file, a compressed one, or standard input', (t) =>
  inDirectory(async (cwd) => {
    const record = '2 - ist0 172.31.1.9 192.168.0.7 40000 443 6 10 4000 1795269000 1795269060 ACCEPT OK\n';
    writeFileSync(join(cwd, 'flows.log'), record);
    writeFileSync(join(cwd, 'flows.log.gz'), gzipSync(record + record));
    const top = async (words: string[], input = ''): Promise<unknown> => {
      const { code, stdout, stderr } = await isthmus(['flows', '--json', ...words], { cwd, input });
      t.deepEqual([code, stderr], [0, '']);
      return (JSON.parse(stdout) as { flows: readonly object[] }).flows;
    };
    t.like(await top(['--read', 'flows.log']), [{ source: '172.31.1.9', destination_port: 443, bytes: 4000 }]);
    t.like(await top(['--read', 'flows.log.gz']), [{ packets: 20, bytes: 8000 }]);
    t.like(await top(['--read', '-', '--port', '443'], record), [{ bytes: 4000 }]);
    t.like(await top(['--read', '-', '--format', '${bytes} ${srcaddr}'], '7 10.0.0.1\n'), [{ bytes: 7 }]);
    t.regex((await isthmus(['flows', '--read', 'flows.log'], { cwd })).stdout, /^1 of 1 flow, 10 packets, 4000 bytes/m);
    for (const [words, message] of [
      [['--read', 'none.log'], /--read none\.log: there is no such file; wanted a flow log/],
      [['--read', 'flows.log', '--watch'], /--watch shows a running gateway/],
      [['--read', 'flows.log', '--format', '${byte}'], /--format: has the unknown field "byte"/],
      [['--format', 'all'], /--format goes with --read/],
      [['--read', 'flows.log', '--sort', 'size'], /sort: is "size"/],
    ] as const) {
      const { code, stdout, stderr } = await isthmus(['flows', ...words], { cwd });
      t.deepEqual([code, stdout], [64, '']);
      t.regex(stderr, message);
    }
  }));

test('how often status is shown is said with its unit, and where it is shown again', async (t) => {
  for (const [options, wanted] of [
    [['--interval', '5s'], /^isthmus: --interval is for --watch only \(ISTHMUS_USAGE\)\n$/],
    [
      ['--watch', '--interval', '5'],
      /^isthmus: --interval: "5" is no duration; wanted .*, 200ms to 1h \(ISTHMUS_USAGE\)\n$/,
    ],
    [['--watch', '--interval', '10ms'], /^isthmus: --interval: duration "10ms" is out of range; /],
  ] as const) {
    const { code, stdout, stderr } = await isthmus(['status', ...options]);
    t.is(code, 64);
    t.is(stdout, '');
    t.regex(stderr, wanted);
  }
});
