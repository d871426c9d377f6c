// Sends a gateway what it should not get: random bytes, random bytes that begin like a message, and datagrams of a
// capture that are truncated, repeated or have bits flipped. Ends after `count`, and writes what was answered as JSON.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { seeded, socketAddress, udpSocket } from './datagrams.ts';

const MAX_DATAGRAM = 1472;
const SLICE = 10; // ms between bursts

const { values } = parseArgs({
  options: {
    to: { type: 'string', default: '' },
    count: { type: 'string', default: '0' },
    rate: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    samples: { type: 'string' },
  },
});
const random = seeded(Number(values.seed));
const below = (limit: number): number => Math.floor(random() * limit);

/** UDP payloads of a capture in the classic pcap format, little-endian, of Ethernet frames. */
function udpPayloads(file: string): Buffer[] {
  const capture = readFileSync(file);
  const payloads: Buffer[] = [];
  for (let at = 24; at + 16 <= capture.length;) {
    const frame = capture.subarray(at + 16, at + 16 + capture.readUInt32LE(at + 8));
    at += 16 + frame.length;
    const header = frame.readUInt16BE(12) === 0x86dd ? 40 : (frame[14] & 15) * 4;
    // A frame of one UDP_SEGMENT call holds many datagrams; its first bytes make as good a start as one of them.
    const payload = frame.subarray(14 + header + 8, 14 + header + 8 + MAX_DATAGRAM);
    if (payload.length > 0) payloads.push(payload);
  }
  return payloads;
}

const noise = Buffer.from(Array.from({ length: 1 << 16 }, () => below(256)));
const samples = values.samples ? udpPayloads(values.samples) : [];

function randomBytes(): Buffer {
  const length = below(MAX_DATAGRAM + 1);
  const start = below(noise.length - length);
  return noise.subarray(start, start + length);
}

/** Random bytes with the first four of a message, and half the time that message's length. */
function impostor(): Buffer {
  const type = 1 + below(4);
  const length = [148, 92, 64, 32 + 16 * below(90)][type - 1];
  const start = below(noise.length - MAX_DATAGRAM);
  const bytes = Buffer.from(noise.subarray(start, start + (below(2) ? length : 4 + below(MAX_DATAGRAM - 4))));
  bytes.writeUInt32LE(type, 0);
  return bytes;
}

function bitsFlipped(sample: Buffer): Buffer {
  const bytes = Buffer.from(sample);
  for (let flips = 1 + below(4); flips > 0; flips--) bytes[below(bytes.length)] ^= 1 << below(8);
  return bytes;
}

function next(): Buffer {
  const kind = below(samples.length > 0 ? 5 : 2);
  if (kind === 0) return randomBytes();
  if (kind === 1) return impostor();
  const sample = samples[below(samples.length)];
  if (kind === 2) return sample.subarray(0, below(sample.length));
  return kind === 3 ? sample : bitsFlipped(sample);
}

const target = socketAddress(values.to);
const socket = udpSocket(target.address);
const answers: Partial<Record<string, number>> = {};
socket.on('message', (answer) => {
  const type = answer.length > 0 ? String(answer[0]) : 'empty';
  answers[type] = (answers[type] ?? 0) + 1;
});
// Not connected, so that an ICMP error for one datagram does not end the flood.
const count = Number(values.count);
const start = performance.now();
let sent = 0;
while (sent < count) {
  const due = Math.min(count, Math.ceil(((performance.now() - start) * Number(values.rate)) / 1000));
  let last: Promise<void> | undefined;
  while (sent < due) {
    sent++;
    last = new Promise((resolve) => socket.send(next(), target.port, target.address, () => resolve()));
  }
  await last;
  await sleep(SLICE);
}
await sleep(500);
socket.close();
console.log(JSON.stringify({ sent, answers }));
