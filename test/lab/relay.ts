// A UDP relay that does to datagrams what a bad network does: delay, loss, duplication, another order. Each address that
// sends to it is given a socket of its own toward the target, whose answers go back to that address.
import type { Socket } from 'node:dgram';
import { parseArgs } from 'node:util';
import { seeded, socketAddress, udpSocket } from './datagrams.ts';

/** How long a datagram that is to lose its place is held back, in milliseconds: some hundred others pass it. */
const HELD_BACK = 5;

const number = { type: 'string', default: '0' } as const;
const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
    loss: number,
    duplicate: number,
    reorder: number,
    delay: number,
    seed: { type: 'string', default: '1' },
  },
});
const random = seeded(Number(values.seed));
const chance = (percent: string): boolean => random() * 100 < Number(percent);
const target = socketAddress(values.to);
const counts = { passed: 0, lost: 0, duplicated: 0, reordered: 0 };

function pass(datagram: Buffer, send: (datagram: Buffer) => void): void {
  if (chance(values.loss)) {
    counts.lost++;
    return;
  }
  const twice = chance(values.duplicate);
  if (twice) counts.duplicated++;
  for (let copy = twice ? 2 : 1; copy > 0; copy--) {
    const late = chance(values.reorder);
    if (late) counts.reordered++;
    const delay = Number(values.delay) + (late ? HELD_BACK : 0);
    counts.passed++;
    if (delay > 0) setTimeout(() => send(datagram), delay);
    else send(datagram);
  }
}

const towardTarget = new Map<string, Socket>();
const listen = socketAddress(values.listen);
const front = udpSocket(listen.address);
front.on('message', (datagram, from) => {
  const key = `${from.address} ${from.port}`;
  let back = towardTarget.get(key);
  if (!back) {
    back = udpSocket(target.address);
    back.on('message', (answer) => pass(answer, (bytes) => front.send(bytes, from.port, from.address)));
    // A target that is not there is the test's concern.
    back.on('error', () => undefined);
    towardTarget.set(key, back);
  }
  const socket = back;
  pass(datagram, (bytes) => socket.send(bytes, target.port, target.address));
});
process.once('SIGTERM', () => {
  console.log(JSON.stringify(counts));
  process.exit(0);
});
front.bind(listen.port, listen.address, () => console.log('ready'));
