import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { uapiServer } from '../../src/control/uapi.ts';
import { MemoryDevice, SILENT } from './memory-device.ts';

const KEY = 'e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a';
const ZERO = '0'.repeat(64);
const A = 'b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33';
const B = '58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376';

const OK = 'errno=0\n\n';
const INVALID = 'errno=-22\n\n';

interface Bench {
  device: MemoryDevice;
  /** What the device logged as an error. */
  errors: string[];
  dial: () => Socket;
  /** Sends one request on a connection of its own, and ends. Gives all that comes back. */
  ask: (request: string) => Promise<string>;
  /** Whether a peer is there, and its allowed IPs. */
  allowed: (publicKey: string) => Promise<string[] | undefined>;
}

async function bench(t: ExecutionContext): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'uapi-'));
  const path = join(folder, 'device.sock');
  const device = new MemoryDevice();
  const errors: string[] = [];
  const server = uapiServer(device, { ...SILENT, error: (message) => errors.push(message) });
  await once(server.listen(path), 'listening');
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const dial = (): Socket => connect({ path, allowHalfOpen: true });
  const ask = (request: string): Promise<string> => text(dial().end(request));
  const allowed = async (publicKey: string): Promise<string[] | undefined> => {
    const peer = (await ask('get=1\n\n')).split('public_key=').find((section) => section.startsWith(publicKey));
    return peer === undefined ? undefined : [...peer.matchAll(/^allowed_ip=(.*)$/gm)].map((match) => match[1]);
  };
  return { device, errors, dial, ask, allowed };
}

/** Resolves when `expected` is all that has come since the last time. */
function reader(socket: Socket): (expected: string) => Promise<void> {
  let come = '';
  let arrived = (): void => undefined;
  socket.on('data', (chunk: Buffer) => {
    come += chunk.toString();
    arrived();
  });
  return async (expected) => {
    while (come !== expected) await new Promise<void>((resolve) => (arrived = resolve));
    come = '';
  };
}

test('everything that is set is shown', async (t) => {
  const { device, ask } = await bench(t);
  t.is(await ask('get=1\n\n'), OK, 'a new device has nothing to show');
  t.is(
    await ask(
      `set=1\nprivate_key=${KEY}\nlisten_port=12912\nfwmark=7\nreplace_peers=true\npublic_key=${A}\n` +
        `preshared_key=${B.toUpperCase()}\nendpoint=1.2.3.4:080\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\n` +
        `allowed_ip=10.1.2.3/8\nallowed_ip=fd00::1/64\nallowed_ip=0.0.0.0/0\nprotocol_version=1\n` +
        `public_key=${B}\nendpoint=[2001:db8:0:0::1]:51820\n\n`,
    ),
    OK,
  );
  device.note(A, { lastHandshakeAt: 1_700_000_000_123.9, rxBytes: 2 ** 52, txBytes: 42 });
  t.is(
    await ask('get=1\n\n'),
    `private_key=${KEY}\nlisten_port=12912\nfwmark=7\n` +
      `public_key=${A}\npreshared_key=${B}\nprotocol_version=1\nendpoint=1.2.3.4:80\n` +
      `last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=123000000\ntx_bytes=42\nrx_bytes=4503599627370496\n` +
      `persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=fd00::/64\nallowed_ip=0.0.0.0/0\n` +
      `public_key=${B}\npreshared_key=${ZERO}\nprotocol_version=1\nendpoint=[2001:db8::1]:51820\n` +
      `last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n${OK}`,
  );
});

test('what is not named stays', async (t) => {
  const { ask } = await bench(t);
  await ask(
    `set=1\nprivate_key=${KEY}\nlisten_port=1\nfwmark=2\npublic_key=${A}\nendpoint=1.2.3.4:5\nallowed_ip=::/0\n\n`,
  );
  const before = await ask('get=1\n\n');
  t.is(await ask(`set=1\npublic_key=${A}\n\n`), OK);
  t.is(await ask('set=1\n\n'), OK);
  t.is(await ask('get=1\n\n'), before);
});

test('a zero private key and zero numbers are taken away', async (t) => {
  const { ask } = await bench(t);
  await ask(`set=1\nprivate_key=${KEY}\nlisten_port=1\nfwmark=2\n\n`);
  await ask(`set=1\nprivate_key=${ZERO}\nlisten_port=0\nfwmark=0\n\n`);
  t.is(await ask('get=1\n\n'), OK);
});

test('a private key is clamped', async (t) => {
  const { ask } = await bench(t);
  await ask(`set=1\nprivate_key=${'ff'.repeat(32)}\n\n`);
  t.is(await ask('get=1\n\n'), `private_key=f8${'ff'.repeat(30)}7f\n${OK}`);
});

test('one connection carries many requests, also cut anywhere', async (t) => {
  const { dial } = await bench(t);
  const socket = dial();
  const read = reader(socket);
  socket.write(`get=1\n\nset=1\nfwmark=1\n\nget=1\n\nset=1\nlisten_port=70000\n\nget=1\n\n`);
  await read(`${OK}${OK}fwmark=1\n${OK}${INVALID}fwmark=1\n${OK}`);
  for (const byte of `set=1\nfwmark=23\n\nget=1\n`) {
    socket.write(byte);
    await new Promise(setImmediate);
  }
  await read(OK);
  socket.end('\n');
  await read(`fwmark=23\n${OK}`);
  t.pass();
});

test('the end of the input ends a set, and lines may end in CR LF', async (t) => {
  const { ask } = await bench(t);
  t.is(await ask('set=1\nfwmark=10'), OK);
  t.is(await ask('set=1\nlisten_port=9\r\n\r\n'), OK);
  t.is(await ask('get=1\n\n'), 'listen_port=9\nfwmark=10\n' + OK);
});

test('what is no request closes the connection without an answer', async (t) => {
  const { ask, errors } = await bench(t);
  for (const request of ['foo=1\n\n', '\n', 'set=1\r\n\r\n', 'get=1\n', 'get', ''])
    t.is(await ask(request), '', request);
  t.is(await ask('get=1\nx\nget=1\n\n'), INVALID);
  t.is(errors.length, 5);
});

const refused: Record<string, string> = {
  'unknown device key': 'foo=1',
  'empty key': '=',
  'device key among a peer’s': `public_key=${A}\nlisten_port=1`,
  'peer key among the device’s': 'allowed_ip=10.0.0.0/8',
  'key of the prototype': 'constructor=1',
  'short private key': 'private_key=12',
  'private key not in hexadecimal': `private_key=${'g'.repeat(64)}`,
  'short public key': 'public_key=00',
  'long preshared key': `public_key=${A}\npreshared_key=${KEY}00`,
  'port out of range': 'listen_port=65536',
  'signed port': 'listen_port=+5',
  'no port': 'listen_port=',
  'hexadecimal fwmark': 'fwmark=0x5',
  'fwmark out of range': 'fwmark=4294967296',
  'replace_peers=false': 'replace_peers=false',
  'remove=false': `public_key=${A}\nremove=false`,
  'update_only=1': `public_key=${A}\nupdate_only=1`,
  'replace_allowed_ips=TRUE': `public_key=${A}\nreplace_allowed_ips=TRUE`,
  'protocol version 2': `public_key=${A}\nprotocol_version=2`,
  'keepalive out of range': `public_key=${A}\npersistent_keepalive_interval=65536`,
  'keepalive off': `public_key=${A}\npersistent_keepalive_interval=off`,
  'prefix without a length': `public_key=${A}\nallowed_ip=1.2.3.4`,
  'prefix length with a zero before it': `public_key=${A}\nallowed_ip=1.2.3.4/08`,
  'prefix too long': `public_key=${A}\nallowed_ip=1.2.3.4/33`,
  'IPv6 prefix too long': `public_key=${A}\nallowed_ip=::/129`,
  'octet with a zero before it': `public_key=${A}\nallowed_ip=1.2.3.04/32`,
  'two minus signs': `public_key=${A}\nallowed_ip=--1.2.3.4/32`,
  'prefix with a zone': `public_key=${A}\nallowed_ip=fe80::1%lo/64`,
  'IPv4 endpoint in brackets': `public_key=${A}\nendpoint=[1.2.3.4]:5`,
  'IPv6 endpoint without brackets': `public_key=${A}\nendpoint=::1:5`,
  'endpoint without a port': `public_key=${A}\nendpoint=1.2.3.4:`,
  'endpoint with a high port': `public_key=${A}\nendpoint=1.2.3.4:65536`,
  'endpoint by name': `public_key=${A}\nendpoint=localhost:5`,
  'endpoint on an interface that is not there': `public_key=${A}\nendpoint=[fe80::1%missing0]:5`,
};

for (const [name, lines] of Object.entries(refused)) {
  test(`refused: ${name}`, async (t) => {
    const { ask, device, errors } = await bench(t);
    t.is(await ask(`set=1\n${lines}\n\n`), INVALID);
    t.is(errors.length, 1);
    t.deepEqual(device.changes, []);
  });
}

test('a line without an equals sign is a fault of the protocol', async (t) => {
  const { ask } = await bench(t);
  t.is(await ask('set=1\nprivate_key\n\n'), 'errno=-71\n\n');
});

test('a request with a bad line changes nothing', async (t) => {
  const { ask } = await bench(t);
  await ask(`set=1\nfwmark=1\npublic_key=${A}\nallowed_ip=10.0.0.0/8\n\n`);
  const before = await ask('get=1\n\n');
  t.is(await ask(`set=1\nfwmark=2\nreplace_peers=true\npublic_key=${B}\nfoo=1\nallowed_ip=::/0\n\n`), INVALID);
  t.is(await ask('get=1\n\n'), before);
});

test('the error number of what the device cannot do is handed on', async (t) => {
  const { ask, device } = await bench(t);
  t.is(await ask(`set=1\nlisten_port=${device.takenPort}\n\n`), 'errno=-98\n\n');
  device.configure = () => Promise.reject(new Error('no number'));
  t.is(await ask('set=1\n\n'), 'errno=-55\n\n');
  t.is(await ask('get=1\n\n'), OK);
});

test('no key gets into the log', async (t) => {
  const { ask, errors } = await bench(t);
  for (const line of [KEY, `${KEY}=`, `private_key=${KEY}00`, `public_key=${A}\n${KEY}=1`])
    await ask(`set=1\n${line}\n\n`);
  await ask(`${KEY}\n`);
  t.is(errors.length, 5);
  t.false(errors.some((message) => message.includes(KEY.slice(0, 8))));
});

test('a line of 65535 bytes is read, a longer one ends the connection', async (t) => {
  const { ask, dial } = await bench(t);
  const digits = 65535 - 'fwmark='.length;
  t.is(await ask(`set=1\nfwmark=${'7'.padStart(digits, '0')}\n\nget=1\n\n`), OK + 'fwmark=7\n' + OK);
  t.is(await ask(`set=1\nfwmark=${'8'.padStart(digits + 1, '0')}\n\nget=1\n\n`), 'errno=-5\n\n');
  const endless = dial();
  const answer = text(endless);
  endless.write(`set=1\nfwmark=${'8'.repeat(70_000)}`);
  t.is(await answer, 'errno=-5\n\n', 'also while its end has not come');
  endless.destroy();
  t.is(await ask('get=1\n\n'), 'fwmark=7\n' + OK);
});

test('an allowed IP moves to the peer that is given it', async (t) => {
  const { ask, allowed } = await bench(t);
  await ask(`set=1\npublic_key=${A}\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\n\n`);
  await ask(`set=1\npublic_key=${B}\nallowed_ip=10.0.0.0/8\nallowed_ip=10.1.0.0/16\n\n`);
  t.deepEqual(await allowed(A), ['::/0']);
  t.deepEqual(await allowed(B), ['10.0.0.0/8', '10.1.0.0/16']);
});

test('an allowed IP with a minus sign is taken away from its owner only', async (t) => {
  const { ask, allowed } = await bench(t);
  await ask(`set=1\npublic_key=${A}\nallowed_ip=10.0.0.0/8\nallowed_ip=fd00::/64\n\n`);
  await ask(`set=1\npublic_key=${B}\nallowed_ip=-10.0.0.0/8\n\n`);
  t.deepEqual(await allowed(A), ['10.0.0.0/8', 'fd00::/64']);
  await ask(`set=1\npublic_key=${A}\nallowed_ip=-fd00::5/64\nallowed_ip=-9.9.9.9/32\n\n`);
  t.deepEqual(await allowed(A), ['10.0.0.0/8']);
});

test('lines about allowed IPs count in their order', async (t) => {
  const { ask, allowed } = await bench(t);
  await ask(`set=1\npublic_key=${B}\nallowed_ip=7.0.0.0/8\n\n`);
  await ask(
    `set=1\npublic_key=${A}\nallowed_ip=7.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=8.0.0.0/8\nallowed_ip=-8.0.0.0/8\n` +
      `allowed_ip=-9.0.0.0/8\nallowed_ip=9.0.0.0/8\n\n`,
  );
  t.deepEqual(await allowed(A), ['9.0.0.0/8']);
  t.deepEqual(await allowed(B), []);
});

test('update_only makes no peer, wherever it stands', async (t) => {
  const { ask, allowed } = await bench(t);
  await ask(`set=1\npublic_key=${A}\n\n`);
  const update = (key: string): string =>
    `public_key=${key}\npreshared_key=${KEY}\nupdate_only=true\nallowed_ip=1.0.0.0/8\nallowed_ip=-2.0.0.0/8\n`;
  t.is(await ask(`set=1\n${update(A)}${update(B)}\n`), OK);
  t.deepEqual(await allowed(A), ['1.0.0.0/8']);
  t.is(await allowed(B), undefined);
});

test('remove', async (t) => {
  const { ask, allowed } = await bench(t);
  await ask(`set=1\npublic_key=${A}\nallowed_ip=1.0.0.0/8\npublic_key=${B}\n\n`);
  t.is(
    await ask(
      `set=1\npublic_key=${A}\nremove=true\nallowed_ip=4.0.0.0/8\nremove=true\nupdate_only=true\nallowed_ip=-5.0.0.0/8\n\n`,
    ),
    OK,
  );
  t.is(await allowed(A), undefined);
  t.deepEqual(await allowed(B), []);
  t.is(
    await ask(`set=1\npublic_key=${A}\nremove=true\npublic_key=${B}\nallowed_ip=2.0.0.0/8\nremove=true\n\n`),
    OK,
    'one that is not there',
  );
  t.is(await allowed(A), undefined);
  t.is(await allowed(B), undefined);
  await ask(`set=1\npublic_key=${A}\nremove=true\npublic_key=${A}\n\n`);
  t.deepEqual(await allowed(A), [], 'and made again');
});

test('replace_peers and replace_allowed_ips', async (t) => {
  const { ask, allowed } = await bench(t);
  await ask(`set=1\npublic_key=${A}\nallowed_ip=1.0.0.0/8\nallowed_ip=2.0.0.0/8\npublic_key=${B}\n\n`);
  await ask(`set=1\npublic_key=${A}\nreplace_allowed_ips=true\nallowed_ip=3.0.0.0/8\n\n`);
  t.deepEqual(await allowed(A), ['3.0.0.0/8']);
  await ask(`set=1\nreplace_peers=true\npublic_key=${B}\n\n`);
  t.is(await allowed(A), undefined);
  t.deepEqual(await allowed(B), []);
});

test('an endpoint of link-local scope', async (t) => {
  const { ask } = await bench(t);
  await ask(`set=1\npublic_key=${A}\nendpoint=[fe80::1%1]:5\n\n`);
  t.regex(await ask('get=1\n\n'), /^endpoint=\[fe80::1%1\]:5$/m);
});

test('requests of several connections are served one after another', async (t) => {
  const { ask, device } = await bench(t);
  const log: string[] = [];
  const configure = device.configure.bind(device);
  device.configure = async (change) => {
    log.push(`begin ${change.fwmark}`);
    await delay(20);
    await configure(change);
    log.push(`end ${change.fwmark}`);
  };
  await Promise.all([1, 2, 3].map((mark) => ask(`set=1\nfwmark=${mark}\n\n`)));
  t.is(log.length, 6);
  for (let i = 0; i < 6; i += 2) t.is(log[i].replace('begin', 'end'), log[i + 1]);
});

test('one who does not read holds up nobody, and one who breaks off harms nobody', async (t) => {
  const { dial, ask, device } = await bench(t);
  const prefixes = Array.from({ length: 20_000 }, (_, i) => `allowed_ip=10.${i >> 8}.${i & 255}.0/24\n`).join('');
  await ask(`set=1\npublic_key=${A}\n${prefixes}\n`);
  const deaf = dial().pause();
  deaf.write('get=1\n\n'.repeat(50));
  const gone = dial();
  gone.write('get=1\n\n'.repeat(50), () => gone.destroy());
  const configure = device.configure.bind(device);
  device.configure = async (change) => {
    await delay(20);
    await configure(change);
  };
  const goneBeforeItsAnswer = dial();
  goneBeforeItsAnswer.end('set=1\nfwmark=1', () => goneBeforeItsAnswer.destroy());
  const length = (await ask('get=1\n\n')).length;
  t.true(length > 400_000);
  while (!(await ask('get=1\n\n')).startsWith('fwmark=1\n')) await delay(20);
  deaf.destroy();
});

test('130,000 allowed IPs in one request', async (t) => {
  const { ask, device } = await bench(t);
  const prefixes = Array.from({ length: 130_000 }, (_, i) =>
    i % 4 === 0
      ? `2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::/64`
      : `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`,
  );
  t.is(await ask(`set=1\npublic_key=${A}\n${prefixes.map((prefix) => `allowed_ip=${prefix}\n`).join('')}\n`), OK);
  const answer = await ask('get=1\n\n');
  t.is(answer.match(/^allowed_ip=/gm)?.length, prefixes.length);
  t.is(device.changes[0].peers.length, 1);
});

test('whatever comes, nothing throws, and the device goes on', async (t) => {
  const { dial, ask } = await bench(t);
  const keys = [
    'get',
    'set',
    'private_key',
    'public_key',
    'allowed_ip',
    'endpoint',
    'remove',
    'replace_allowed_ips',
    'fwmark',
  ];
  const line = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constant(''),
    fc
      .tuple(fc.constantFrom(...keys), fc.constantFrom('1', 'true', A, B, '10.0.0.0/8', '-::/0', '[::1]:5', ''))
      .map((pair) => pair.join('=')),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 12 }), fc.boolean(), async (lines, valid) => {
      const socket = dial();
      const answer = text(socket);
      socket.end((valid ? 'set=1\n' : '') + lines.join('\n'));
      const answers = (await answer).split('\n\n');
      return answers.pop() === '' && answers.every((one) => /(^|\n)errno=(0|-22|-71)$/.test(one));
    }),
    { seed: 7, numRuns: 300 },
  );
  t.regex(await ask('get=1\n\n'), /errno=0\n\n$/);
});
