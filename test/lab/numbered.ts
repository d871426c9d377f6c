// Numbered UDP datagrams at a steady rate: the receiver tells which of them never came.
//
//   numbered --listen PORT                     counts until the sender's end, and writes what it had as JSON
//   numbered --to ADDRESS --port PORT --rate N  sends N a second until SIGTERM, then says how many those were
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { udpSocket } from './datagrams.ts';

/** What the receiver had. */
export interface Received {
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
  /** The first few that never came. */
  readonly missing: readonly number[];
}

const BEAT = 10;
const LAST = 0xffffffff;
/** Late ones may still come after the end was announced. */
const GRACE = 500;
const SHOWN = 20;

const { values } = parseArgs({
  options: {
    listen: { type: 'string' },
    to: { type: 'string', default: '' },
    port: { type: 'string', default: '0' },
    rate: { type: 'string', default: '100' },
  },
});

function receive(port: number): void {
  const socket = udpSocket('0.0.0.0');
  const seen = new Set<number>();
  let duplicates = 0;
  let sent = -1;
  socket.on('message', (message) => {
    const number = message.readUInt32BE(0);
    if (number !== LAST) {
      if (seen.has(number)) duplicates++;
      seen.add(number);
    } else if (sent < 0) {
      sent = message.readUInt32BE(4);
      setTimeout(report, GRACE);
    }
  });
  const report = (): void => {
    socket.close();
    const missing: number[] = [];
    for (let number = 0; number < sent && missing.length < SHOWN; number++) if (!seen.has(number)) missing.push(number);
    console.log(JSON.stringify({ sent, received: seen.size, duplicates, missing } satisfies Received));
  };
  socket.bind(port, () => console.log('ready'));
}

async function send(address: string, port: number, rate: number): Promise<void> {
  const socket = udpSocket(address);
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const datagram = (number: number, count = 0): Buffer => {
    const bytes = Buffer.alloc(200);
    bytes.writeUInt32BE(number);
    bytes.writeUInt32BE(count, 4);
    return bytes;
  };
  const begun = performance.now();
  let sent = 0;
  while (!stop.signal.aborted) {
    // After a pause of this process no burst makes up for it.
    const due = Math.min(((performance.now() - begun) * rate) / 1000, sent + (10 * rate * BEAT) / 1000);
    while (sent < due) socket.send(datagram(sent++), port, address);
    await sleep(BEAT);
  }
  for (let end = 0; end < 20; end++) {
    await sleep(BEAT);
    socket.send(datagram(LAST, sent), port, address);
  }
  socket.close();
}

if (values.listen !== undefined) receive(Number(values.listen));
else if (values.to !== '') await send(values.to, Number(values.port), Number(values.rate));
