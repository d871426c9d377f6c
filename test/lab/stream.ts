// One TCP connection whose content is checked from end to end: each end keeps the CRC of all it sent or received.
//
//   stream --listen PORT                                   takes one connection and answers with what it received
//   stream --to ADDRESS --port PORT [--bytes N] [--rate N]  sends until N bytes or SIGTERM, `rate` bytes a second
//
// The sender writes both accounts as JSON when the receiver has confirmed the end.
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';
import { seeded } from './datagrams.ts';
import { runningTime } from './running-time.ts';

const PIECE = 1 << 20;
/** How often a sender with a rate sends, in milliseconds. */
const BEAT = 50;

const { values } = parseArgs({
  options: {
    listen: { type: 'string' },
    to: { type: 'string', default: '' },
    port: { type: 'string', default: '0' },
    bytes: { type: 'string', default: 'Infinity' },
    rate: { type: 'string', default: '0' },
  },
});

function receive(port: number): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    server.close();
    const begun = performance.now();
    const time = runningTime();
    let [bytes, crc, last, pause] = [0, 0, 0, 0];
    socket.on('data', (data) => {
      const now = time();
      pause = Math.max(pause, now - last);
      last = now;
      bytes += data.length;
      crc = crc32(data, crc);
    });
    socket.on('end', () => {
      socket.end(JSON.stringify({ bytes, crc, pause, seconds: (performance.now() - begun) / 1000 }));
    });
  });
  server.listen(port, '::', () => console.log('ready'));
}

async function send(socket: Socket, total: number, rate: number): Promise<void> {
  let answer = '';
  socket.setNoDelay(true);
  socket.on('data', (data) => (answer += data.toString()));
  socket.on('end', () =>
    console.log(JSON.stringify({ sent: { bytes, crc }, received: JSON.parse(answer) as unknown })),
  );
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const random = seeded(1);
  const noise = Buffer.from(Uint32Array.from({ length: PIECE / 4 }, () => random() * 2 ** 32).buffer);
  // While the kernel has one piece the next is made; each has its number, so that no two are the same.
  const pieces = [noise, Buffer.from(noise)];
  const size = rate > 0 ? Math.min(PIECE, Math.ceil((rate * BEAT) / 1000)) : PIECE;
  let [bytes, crc, number] = [0, 0, 0];
  let written: Promise<void> = Promise.resolve();
  while (bytes < total && !stop.signal.aborted) {
    const piece = pieces[number % 2].subarray(0, Math.min(size, total - bytes));
    if (piece.length >= 4) piece.writeUInt32LE(number);
    number++;
    bytes += piece.length;
    crc = crc32(piece, crc);
    await written;
    written = new Promise((resolve) => socket.write(piece, () => resolve()));
    if (rate > 0) await sleep(BEAT);
  }
  socket.end();
}

if (values.listen !== undefined) {
  receive(Number(values.listen));
} else {
  const socket = connect({ host: values.to, port: Number(values.port) }, () => {
    console.log('connected');
    void send(socket, Number(values.bytes), Number(values.rate));
  });
  socket.on('error', (error) => {
    console.log(error.message);
    process.exit(1);
  });
}
