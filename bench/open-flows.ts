// Opens UDP flows from host A to host B, one datagram each: many ports of B, from as many sockets as that takes.
//
//   open-flows COUNT
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { B } from '../test/lab/two-vpcs.ts';

/** Destination ports of one socket: all but those below 1,024 and above 63,999, where somebody may listen. */
const PORTS = { first: 10_000, count: 50_000 } as const;
/** Datagrams a second: what the slower of the gateways carries without loss, and yet a million before the first expires. */
const RATE = 50_000;
const BURST = 64;

const count = Number(process.argv[2]);
const sockets: Socket[] = [];
for (let opened = 0; opened < count; opened += PORTS.count) {
  const socket = createSocket('udp4');
  // What comes back is that nobody listens.
  socket.on('error', () => undefined);
  socket.bind(0);
  await once(socket, 'listening');
  sockets.push(socket);
}

const payload = Buffer.alloc(8);
const begun = performance.now();
for (let number = 0; number < count; number++) {
  const port = PORTS.first + (number % PORTS.count);
  sockets[Math.floor(number / PORTS.count)].send(payload, port, B[4]);
  if (number % BURST !== BURST - 1) continue;
  // Sleeping lets the sends go out, too; behind the plan it is a mere turn of the loop.
  await sleep(Math.max(0, (number / RATE) * 1000 - (performance.now() - begun)));
}
await sleep(200);
for (const socket of sockets) socket.close();
