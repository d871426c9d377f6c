/**
 * The machine's twin in memory: packets and datagrams come from callbacks and go to callbacks, and the time is what the
 * owner writes into `clock`. Sealing, opening and coalescing are the machine's own.
 */
import { ENDPOINT, ENDPOINT_WORDS } from '../wire/endpoint.ts';
import type { Endpoint } from '../wire/endpoint.ts';
import { MAX_PACKET } from '../wire/packet.ts';
import type { EndpointStore, InboundQueue, OutboundQueue, TransitRing } from './index.ts';
import { BUFFER, GROUP, RECEIVE_BUFFER, ROW, RUN, STATUS } from './layout.ts';
import {
  coalesceRows,
  createTransitRing,
  discardSealed,
  handOnGroups,
  handOnPacket,
  inboundMemory,
  openRows,
  outboundMemory,
  readRing,
  sealRows,
} from './native.ts';

export interface OutboundIo {
  /**
   * Puts the next packet at `offset` and returns its length, 0 if there is none. The row at word `row` describes a packet
   * of its own; for a super-packet the callback fills in the GSO type, segment size, header and segments.
   */
  read(slab: Uint8Array, offset: number, rows: Int32Array, row: number): number;
  /** Takes a datagram for the endpoint in `slot`; false if it can't. */
  send(bytes: Uint8Array, offset: number, length: number, slot: number): boolean;
}

export interface InboundIo {
  /**
   * Puts the next datagram at `offset` and returns its length, negative if there is none. In the buffer at word `buffer`
   * the callback fills in the endpoint and, if these are several datagrams of one size, the segment size.
   */
  receive(slab: Uint8Array, offset: number, buffers: Int32Array, buffer: number): number;
  /** Takes a packet for the TUN; false if it can't. */
  write(bytes: Uint8Array, offset: number, length: number): boolean;
}

/** Where packets may begin, and what is kept free behind each. */
const ALIGNMENT = 64;

/** Nobody sleeps in memory. */
const NO_WAKE = -1;

/** `ring`: the one that the inbound twin of the same gateway hands on by. */
export function memoryOutbound(io: OutboundIo, ring: TransitRing = createTransitRing()): OutboundQueue {
  const { slab, reserve, rows, clock, status, sealed, table: runs, handle } = outboundMemory();
  let connected = false;
  return {
    slab,
    reserve,
    rows,
    clock,
    status,
    runs,
    readTun: (maxRows) => {
      let count = 0;
      let offset = ALIGNMENT;
      while (count < maxRows && offset + MAX_PACKET + ALIGNMENT <= reserve) {
        const row = count * ROW.words;
        rows.fill(0, row, row + ROW.words);
        rows[row + ROW.offset] = offset;
        rows[row + ROW.segments] = 1;
        const length = io.read(slab, offset, rows, row);
        if (length === 0) break;
        rows[row + ROW.length] = length;
        offset = (offset + length + 2 * ALIGNMENT - 1) & -ALIGNMENT;
        count++;
      }
      return count;
    },
    readTransit: (maxRows) => readRing(handle, ring, maxRows),
    seal: (from, to, mtu) => sealRows(handle, from, to, mtu),
    send: () => {
      let sent = 0;
      let failed = 0;
      const words = status[STATUS.runs] * RUN.words;
      // Empties the native table, and leaves the runs and their bytes where they are.
      discardSealed(handle);
      for (let run = 0; run < words; run += RUN.words) {
        const segment = runs[run + RUN.segment];
        let offset = runs[run + RUN.offset];
        const failedBefore = failed;
        for (let left = runs[run + RUN.length]; left > 0; left -= segment) {
          const length = left < segment ? left : segment;
          if (connected && io.send(sealed, offset, length, runs[run + RUN.endpoint])) sent++;
          else failed++;
          offset += segment;
        }
        runs[run + RUN.unsent] = failed - failedBefore;
      }
      status[STATUS.failed] = failed;
      return sent;
    },
    useSocket: (fd) => {
      connected = fd >= 0;
    },
    wait: () => 0,
    yield: () => undefined,
    pause: () => undefined,
    schedule: () => undefined,
  };
}

/** A group of packets that the machine would write as one is written packet by packet. */
export function memoryInbound(io: InboundIo, ring: TransitRing = createTransitRing()): InboundQueue {
  const { slab, reserve, rows, clock, status, table: buffers, groups, handle } = inboundMemory();
  let connected = false;
  const writeGroup = (group: number): boolean => {
    let written = true;
    for (let row = groups[group + GROUP.first]; row >= 0; row = rows[row * ROW.words + ROW.next]) {
      const at = row * ROW.words;
      if (!io.write(slab, rows[at + ROW.offset], rows[at + ROW.length])) written = false;
    }
    return written;
  };
  return {
    slab,
    reserve,
    rows,
    clock,
    status,
    buffers,
    groups,
    receive: () => {
      let count = 0;
      while (connected && count < buffers.length / BUFFER.words) {
        const buffer = count * BUFFER.words;
        const offset = count * RECEIVE_BUFFER;
        buffers.fill(0, buffer, buffer + BUFFER.words);
        const length = io.receive(slab, offset, buffers, buffer);
        if (length < 0) break;
        buffers[buffer + BUFFER.offset] = offset;
        buffers[buffer + BUFFER.length] = length;
        if (buffers[buffer + BUFFER.segment] === 0) buffers[buffer + BUFFER.segment] = length;
        count++;
      }
      return count;
    },
    open: (count) => openRows(handle, count),
    coalesce: (count) => coalesceRows(handle, count),
    writeTun: (count) => {
      let written = 0;
      let failed = 0;
      for (let group = 0; group < count * GROUP.words; group += GROUP.words) {
        if (groups[group + GROUP.verdict] !== 0) continue;
        if (writeGroup(group)) written++;
        else failed += groups[group + GROUP.count];
      }
      status[STATUS.failed] = failed;
      return written;
    },
    handOn: (count) => handOnGroups(handle, ring, NO_WAKE, count),
    handOnPacket: (bytes, length, slot) => handOnPacket(ring, NO_WAKE, bytes, length, slot),
    useSocket: (fd) => {
      connected = fd >= 0;
    },
    wait: () => 0,
    yield: () => undefined,
    pause: () => undefined,
    schedule: () => undefined,
  };
}

export function memoryEndpoints(): EndpointStore {
  const endpoints = new Map<number, Endpoint>();
  return {
    setEndpoint: (slot, endpoint) => {
      const known = endpoints.get(slot);
      if (known === undefined) endpoints.set(slot, endpoint.slice(0, ENDPOINT_WORDS));
      else known.set(endpoint);
    },
    getEndpoint: (slot, out) => {
      const endpoint = endpoints.get(slot);
      if (endpoint === undefined || endpoint[ENDPOINT.port] === 0) return false;
      out.set(endpoint);
      return true;
    },
  };
}
