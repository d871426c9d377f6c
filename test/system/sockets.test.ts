import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { gatewayStatus, interfaceName, startIsthmus } from '../lab/contenders.ts';
import { seeded } from '../lab/datagrams.ts';
import { leastPingTime } from '../lab/iperf3.ts';
import { apiPath, residentMebibytes } from '../lab/look.ts';
import { twoVpcs } from '../lab/two-vpcs.ts';

/** Sends this and no more, reads what comes, and resolves when the conversation has ended, well or not. */
function say(path: string, text: string | Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', () => undefined).once('close', () => resolve());
    socket.resume().end(text);
  });
}

async function connected(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

const REQUESTS = {
  uapi: [
    'get=1\n\n',
    'get=1\n',
    'get=1',
    'get=2\n\n',
    'set=1\n',
    'set=1\nlisten_port=1\n\n',
    'set=1\npublic_key=00\n\n',
    '\n\n\n',
  ],
  api: [
    'GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /v1/status HTTP/1.1\r\nHo',
    'POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx',
    'DELETE / HTTP/9.9\r\n\r\n',
    'GET /../../etc/passwd HTTP/1.0\r\n\r\n',
  ],
} as const;

test('whatever is written to its sockets, a gateway goes on', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const { processes } = await startIsthmus(lab);
  const device = interfaceName(lab, 'a');
  const random = seeded(7);
  const below = (limit: number): number => Math.floor(random() * limit);
  const sockets = { uapi: `/run/wireguard/${device}.sock`, api: apiPath(device) };
  const wg = (): Promise<string> => lab.must('gwa', ['wg', 'show', device, 'dump']);
  const before = (await wg()).split('\n').map((line) => line.split('\t').slice(0, 4));
  const memory = residentMebibytes(processes[0]);

  for (const kind of ['uapi', 'api'] as const) {
    const path = sockets[kind];
    const texts = Array.from({ length: 150 }, () => {
      const text = Buffer.from(REQUESTS[kind][below(REQUESTS[kind].length)]);
      const bytes = Buffer.from(Array.from({ length: below(3000) }, () => below(256)));
      const how = below(4);
      if (how === 0) return bytes;
      if (how === 1) return text.subarray(0, below(text.length + 1));
      if (how === 2) text[below(text.length)] ^= 1 << below(8);
      return how === 2 ? text : Buffer.concat([text, bytes]);
    });
    for (let at = 0; at < texts.length; at += 50)
      await Promise.all(texts.slice(at, at + 50).map((text) => say(path, text)));
    await say(path, Buffer.alloc(4 << 20, 'a'));

    // Many who say nothing, or ask without end and never read.
    const idle = await Promise.all(Array.from({ length: 200 }, () => connected(path)));
    const deaf = await Promise.all(Array.from({ length: 5 }, () => connected(path)));
    for (const socket of deaf) {
      socket.pause();
      socket.write(REQUESTS[kind][0].repeat(50_000));
    }
    await sleep(2000);
    t.true((await leastPingTime(lab)) < 100);
    t.is((await gatewayStatus(lab, 'a')).peers.length, 1);
    const after = (await wg()).split('\n').map((line) => line.split('\t').slice(0, 4));
    t.deepEqual(after, before, 'nothing has changed');
    const more = residentMebibytes(processes[0]) - memory;
    t.true(more < 128, `${kind}: ${more} MiB more`);
    for (const socket of [...idle, ...deaf]) socket.destroy();
  }
  t.true(processes[0].isRunning());
});
