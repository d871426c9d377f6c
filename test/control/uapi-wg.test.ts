import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { uapiServer } from '../../src/control/uapi.ts';
import { MemoryDevice, SILENT } from './memory-device.ts';

const NAME = `wgt${process.pid}`;
const SOCKET = `/var/run/wireguard/${NAME}.sock`;
const PRIVATE = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const PUBLIC = 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=';
const PSK = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';
const A = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
const B = 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=';

let device: MemoryDevice;
const server = createServer((socket) => uapiServer(device, SILENT).emit('connection', socket));

/** Runs the real `wg`. Rejects when that fails. */
async function wg(...argv: string[]): Promise<string> {
  return (await promisify(execFile)('wg', argv, { maxBuffer: 64 << 20 })).stdout;
}

const folder = mkdtempSync(join(tmpdir(), 'wg-'));

/** A file for `wg` to read. */
function file(text: string): string {
  const path = join(folder, 'input');
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

test.before(async () => {
  mkdirSync('/var/run/wireguard', { recursive: true });
  await once(server.listen(SOCKET), 'listening');
});

test.after.always(() => {
  server.close();
  rmSync(SOCKET, { force: true });
  rmSync(folder, { recursive: true });
});

test.beforeEach(() => {
  device = new MemoryDevice();
});

const CONFIG = `[Interface]
PrivateKey = ${PRIVATE}
ListenPort = 41414
FwMark = 0x1234
[Peer]
PublicKey = ${A}
PresharedKey = ${PSK}
AllowedIPs = 10.192.122.3/32, 10.192.124.1/24, ::/0
PersistentKeepalive = 25
Endpoint = [2607:5300:60:6b0::c05f:543]:2468
[Peer]
PublicKey = ${B}
Endpoint = 192.95.5.69:51820
`;

test.serial('wg setconf, and every form of wg show', async (t) => {
  await wg('setconf', NAME, file(CONFIG));
  const [idA] = device.state().peers.map((peer) => Buffer.from(peer.publicKey).toString('hex'));
  const now = Math.floor(Date.now() / 1000);
  device.note(idA, { lastHandshakeAt: now * 1000 + 999, rxBytes: 2048, txBytes: 3 * 1024 * 1024 });
  const show = async (what: string): Promise<string> => wg('show', NAME, what);
  t.is(await show('public-key'), `${PUBLIC}\n`);
  t.is(await show('private-key'), `${PRIVATE}\n`);
  t.is(await show('listen-port'), '41414\n');
  t.is(await show('fwmark'), '0x1234\n');
  t.is(await show('peers'), `${A}\n${B}\n`);
  t.is(await show('preshared-keys'), `${A}\t${PSK}\n${B}\t(none)\n`);
  t.is(await show('endpoints'), `${A}\t[2607:5300:60:6b0::c05f:543]:2468\n${B}\t192.95.5.69:51820\n`);
  t.is(await show('allowed-ips'), `${A}\t10.192.122.3/32 10.192.124.0/24 ::/0\n${B}\t(none)\n`);
  t.is(await show('latest-handshakes'), `${A}\t${now}\n${B}\t0\n`);
  t.is(await show('transfer'), `${A}\t2048\t3145728\n${B}\t0\t0\n`);
  t.is(await show('persistent-keepalive'), `${A}\t25\n${B}\toff\n`);
  t.is(
    await show('dump'),
    `${PRIVATE}\t${PUBLIC}\t41414\t0x1234\n` +
      `${A}\t${PSK}\t[2607:5300:60:6b0::c05f:543]:2468\t10.192.122.3/32,10.192.124.0/24,::/0\t${now}\t2048\t3145728\t25\n` +
      `${B}\t(none)\t192.95.5.69:51820\t(none)\t0\t0\t0\toff\n`,
  );
  t.regex(await wg('show', NAME), /transfer: 2.00 KiB received, 3.00 MiB sent/);
  t.true((await wg('show', 'interfaces')).split(/\s/).includes(NAME));
});

test.serial('wg showconf gives what wg setconf takes', async (t) => {
  await wg('setconf', NAME, file(CONFIG));
  const before = device.state();
  const config = await wg('showconf', NAME);
  device = new MemoryDevice();
  await wg('setconf', NAME, file(config));
  t.deepEqual(device.state(), before);
});

test.serial('wg set', async (t) => {
  const set = async (...argv: string[]): Promise<string> => wg('set', NAME, ...argv);
  await set('private-key', file(`${PRIVATE}\n`), 'listen-port', '7', 'fwmark', '9');
  await set('peer', A, 'allowed-ips', '10.0.0.0/8,::/0', 'endpoint', '1.2.3.4:5', 'persistent-keepalive', '30');
  await set('peer', A, 'preshared-key', file(`${PSK}\n`));
  t.is(
    await wg('show', NAME, 'dump'),
    `${PRIVATE}\t${PUBLIC}\t7\t0x9\n${A}\t${PSK}\t1.2.3.4:5\t10.0.0.0/8,::/0\t0\t0\t0\t30\n`,
  );
  await set('peer', B, 'allowed-ips', '10.0.0.0/8');
  t.is(await wg('show', NAME, 'allowed-ips'), `${A}\t::/0\n${B}\t10.0.0.0/8\n`);
  await set('peer', A, 'persistent-keepalive', 'off', 'preshared-key', '/dev/null', 'allowed-ips', '');
  await set('peer', B, 'remove', 'peer', PUBLIC, 'allowed-ips', '11.0.0.0/8');
  await set('private-key', '/dev/null', 'fwmark', '0', 'listen-port', '0');
  t.is(await wg('show', NAME, 'dump'), `(none)\t(none)\t0\toff\n${A}\t(none)\t1.2.3.4:5\t(none)\t0\t0\t0\toff\n`);
});

test.serial('wg syncconf and wg addconf change only what differs', async (t) => {
  await wg('setconf', NAME, file(CONFIG));
  const [first] = device.state().peers;
  await wg('syncconf', NAME, file(CONFIG.slice(0, CONFIG.lastIndexOf('[Peer]'))));
  t.deepEqual(device.state().peers, [first]);
  t.false(device.changes.at(-1)!.replacePeers ?? false);
  await wg('addconf', NAME, file(`[Peer]\nPublicKey = ${B}\nAllowedIPs = 7.0.0.0/8\n`));
  t.is(device.state().peers.length, 2);
});

test.serial('wg says what the device cannot do', async (t) => {
  await t.throwsAsync(wg('set', NAME, 'listen-port', String(device.takenPort)), { message: /Address already in use/ });
});

test.serial('wg setconf with 130,000 allowed IPs', async (t) => {
  const prefixes = Array.from({ length: 130_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`);
  await wg('setconf', NAME, file(`[Peer]\nPublicKey = ${A}\nAllowedIPs = ${prefixes.join(', ')}\n`));
  t.is(await wg('show', NAME, 'allowed-ips'), `${A}\t${prefixes.join(' ')}\n`);
});
