/**
 * Writes the packets of the overlay to a pcap file, before they are judged, so that a dropped one can be seen. A layer
 * around a queue; without a path it is the queue itself.
 */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { MAX_PACKET } from '../wire/packet.ts';
import type { InboundQueue, OutboundQueue } from './index.ts';
import { ROW } from './layout.ts';

/** LINKTYPE_RAW: the packet begins with its IP header. */
const LINKTYPE_RAW = 101;
const FILE_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;

/** Starts a capture file, over an old one, readable by its owner only. */
export function createCapture(path: string): void {
  const header = Buffer.alloc(FILE_HEADER_SIZE);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(MAX_PACKET, 16);
  header.writeUInt32LE(LINKTYPE_RAW, 20);
  writeFileSync(path, header, { mode: 0o600 });
}

/** Captures what is read from the TUN; a super-packet is one record. `ended` is told why no more can be written. */
export function captureOutbound(queue: OutboundQueue, path: string, ended: (reason: string) => void): OutboundQueue {
  if (path === '') return queue;
  const write = appender(path, ended);
  return {
    ...queue,
    readTun: (maxRows) => {
      const count = queue.readTun(maxRows);
      for (let at = 0; at < count * ROW.words; at += ROW.words) {
        write(queue.slab, queue.rows[at + ROW.offset], queue.rows[at + ROW.length]);
      }
      return count;
    },
  };
}

/** Captures what was opened, packet by packet. `ended` is told why no more can be written. */
export function captureInbound(queue: InboundQueue, path: string, ended: (reason: string) => void): InboundQueue {
  if (path === '') return queue;
  const write = appender(path, ended);
  return {
    ...queue,
    coalesce: (count) => {
      for (let at = 0; at < count * ROW.words; at += ROW.words) {
        if (queue.rows[at + ROW.verdict] !== 0 || queue.rows[at + ROW.length] === 0) continue;
        // It was held back, and captured when it came.
        if (queue.rows[at + ROW.key] === 0) continue;
        write(queue.slab, queue.rows[at + ROW.offset], queue.rows[at + ROW.length]);
      }
      return queue.coalesce(count);
    },
  };
}

/**
 * Both threads append to one file, a record a call, which the kernel keeps whole. Where it no longer can, as the disk is full,
 * the capture ends, and packets go on.
 */
function appender(
  path: string,
  ended: (reason: string) => void,
): (slab: Uint8Array, offset: number, length: number) => void {
  let fd = openSync(path, 'a');
  const record = Buffer.alloc(RECORD_HEADER_SIZE + MAX_PACKET);
  return (slab, offset, length) => {
    if (fd < 0) return;
    const now = Date.now();
    record.writeUInt32LE(Math.floor(now / 1000), 0);
    record.writeUInt32LE((now % 1000) * 1000, 4);
    record.writeUInt32LE(length, 8);
    record.writeUInt32LE(length, 12);
    record.set(slab.subarray(offset, offset + length), RECORD_HEADER_SIZE);
    try {
      if (writeSync(fd, record, 0, RECORD_HEADER_SIZE + length) === RECORD_HEADER_SIZE + length) return;
      ended('no room for a whole packet');
    } catch (error) {
      ended((error as Error).message);
    }
    closeSync(fd);
    fd = -1;
  };
}
