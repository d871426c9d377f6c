/** The machine: the sole importer of the addon. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Endpoint } from '../wire/endpoint.ts';
import { CIPHER_NUMBER } from './index.ts';
import type { EndpointStore, InboundQueue, KeyHandle, KeyStore, OutboundQueue, TransitRing } from './index.ts';
import { BUFFER, EVENT, GROUP, RECEIVE_BUFFER, RING, ROW, STATUS } from './layout.ts';

/** An opened TUN, with the offloads that this kernel gave it. */
export interface Tun {
  readonly fd: number;
  readonly name: string;
  /** Packets carry a virtio header. */
  readonly vnet: boolean;
  /** Super-packets of TCP, of UDP. */
  readonly tso: boolean;
  readonly uso: boolean;
}

export interface TunState {
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
}

export interface UdpSocket {
  readonly fd: number;
  readonly port: number;
  readonly gso: boolean;
  readonly gro: boolean;
}

type NativeQueue = object;

interface Addon {
  queue(memory: Record<string, NodeJS.TypedArray | number>): NativeQueue;
  openTun(name: string): Tun;
  adoptTun(fd: number): Tun;
  tunState(fd: number): TunState | undefined;
  readTun(queue: NativeQueue, fd: number, vnet: number, maxRows: number): number;
  writeTun(queue: NativeQueue, fd: number, vnet: number, groups: number): number;
  coalesce(queue: NativeQueue, count: number, tso: number, uso: number): number;
  openUdp(port: number, mark: number, address?: Int32Array): UdpSocket;
  setMark(fd: number, mark: number): number;
  socketFamily(fd: number): number;
  send(queue: NativeQueue, fd: number, family: number): number;
  receive(queue: NativeQueue, fd: number, maxBuffers: number): number;
  sendDatagram(fd: number, slot: number, endpoint: Endpoint, bytes: Uint8Array): number;
  setEndpoint(slot: number, endpoint: Endpoint): void;
  getEndpoint(slot: number, out: Endpoint): boolean;
  aeadLibrary(): string;
  setKey(cipher: number, key: Uint8Array, seals: boolean): KeyHandle;
  freeKey(key: KeyHandle): void;
  seal(queue: NativeQueue, from: number, to: number, mtu: number, maxSegments: number): number;
  open(queue: NativeQueue, count: number): number;
  createWake(): number;
  wake(fd: number): number;
  wait(queue: NativeQueue, fd: number, wakeFd: number, milliseconds: number): number;
  yieldCpu(): void;
  pause(microseconds: number): void;
  schedule(bulk: boolean): number;
  bootTime(): number;
  closeFd(fd: number): void;
  listenUnix(path: string): number;
  notify(path: string, text: string, fd: number): number;
  handOn(queue: NativeQueue, ring: TransitRing, wakeFd: number, groups: number): number;
  handOnPacket(ring: TransitRing, wakeFd: number, bytes: Uint8Array, length: number, target: number): number;
  readTransit(queue: NativeQueue, ring: TransitRing, maxRows: number): number;
}

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const load = createRequire(import.meta.url)('node-gyp-build') as (folder: string) => Addon;
const addon = load(root);

/** Opens a TUN of this name, making it if it does not exist; `%d` is the kernel's to fill. Throws what the kernel says. */
export const openTun = (name: string): Tun => addon.openTun(name);
/** Takes over a TUN that another process opened. */
export const adoptTun = (fd: number): Tun => addon.adoptTun(fd);
/** Whether the link is up, its MTU and present name; undefined when it was deleted. Works across network namespaces. */
export const tunState = (fd: number): TunState | undefined => addon.tunState(fd);
/** A UDP socket for both families on `port` (0: any), on one address only if `address` (four words) is given. */
export const openUdp = (port: number, mark: number, address?: Int32Array): UdpSocket =>
  addon.openUdp(port, mark, address);
/** Sets SO_MARK; 0 or a negative errno. */
export const setMark = (fd: number, mark: number): number => addon.setMark(fd, mark);
/** Sends one datagram to an endpoint; `slot` is the peer's, or -1. 0 or a negative errno. */
export const sendDatagram = (fd: number, slot: number, endpoint: Endpoint, bytes: Uint8Array): number =>
  addon.sendDatagram(fd, slot, endpoint, bytes);
/** An eventfd that ends another thread's wait, and the call that does. */
export const createWake = (): number => addon.createWake();
export const wake = (fd: number): void => void addon.wake(fd);
export const closeFd = (fd: number): void => addon.closeFd(fd);
/** Milliseconds of CLOCK_BOOTTIME, the clock of all queues. */
export const bootTime = (): number => addon.bootTime();
/** The fd of a listening unix socket with mode 0600. */
export const listenUnix = (path: string): number => addon.listenUnix(path);
/** Sends a datagram to a unix socket (`@name`: one without a file), with a descriptor unless -1. 0 or a negative errno. */
export const notify = (path: string, text: string, fd = -1): number => addon.notify(path, text, fd);

/** What seals and opens on this CPU: `ipsec-mb` with its instruction set, or `openssl`. */
export const aeadLibrary = (): string => addon.aeadLibrary();

export const keys: KeyStore = {
  setKey: (cipher, key, seals) => addon.setKey(CIPHER_NUMBER[cipher], key, seals),
  freeKey: (key) => addon.freeKey(key),
};

export const endpoints: EndpointStore = {
  setEndpoint: (slot, endpoint) => addon.setEndpoint(slot, endpoint),
  getEndpoint: (slot, out) => addon.getEndpoint(slot, out),
};

/** Sizes of the memory that the queues work in, in bytes or entries. */
const OUTBOUND = { slab: 1 << 20, rows: 256, sealed: 2 << 20, runs: 1024 } as const;
const INBOUND = { buffers: 16, rows: 2048 } as const;

/** Bytes behind what is read or received, where packets that are held back wait. Memory that was never touched costs nothing. */
const RESERVE = 16 << 20;

/** Segments per UDP_SEGMENT call that every kernel with it takes. */
const MAX_SEGMENTS = 64;

/** Bytes of the ring between the threads: its words, and records for some sixty super-packets. */
const RING_BYTES = 256 + (4 << 20);

/** The memory by which the inbound direction hands packets to the outbound one. */
export function createTransitRing(): TransitRing {
  return new Int32Array(new SharedArrayBuffer(RING_BYTES));
}

/** Whether the ring may have no room for the largest packet. */
export function isRingFull(ring: TransitRing): boolean {
  return ringUsed(ring) > RING_BYTES - 256 - 2 * 65536;
}

/** Bytes in the ring. */
export function ringUsed(ring: TransitRing): number {
  return (Atomics.load(ring, RING.head) - Atomics.load(ring, RING.tail)) >>> 0;
}

/** What the outbound direction works in. */
export function outboundMemory() {
  const memory = {
    slab: new Uint8Array(OUTBOUND.slab + RESERVE),
    reserve: OUTBOUND.slab,
    rows: new Int32Array(OUTBOUND.rows * ROW.words),
    clock: new Float64Array(1),
    status: new Int32Array(STATUS.words),
    sealed: new Uint8Array(OUTBOUND.sealed),
    table: new Int32Array(OUTBOUND.runs * BUFFER.words),
  };
  return { ...memory, handle: addon.queue(memory) };
}

/** What the inbound direction works in. */
export function inboundMemory() {
  const memory = {
    slab: new Uint8Array(INBOUND.buffers * RECEIVE_BUFFER + RESERVE),
    reserve: INBOUND.buffers * RECEIVE_BUFFER,
    rows: new Int32Array(INBOUND.rows * ROW.words),
    clock: new Float64Array(1),
    status: new Int32Array(STATUS.words),
    table: new Int32Array(INBOUND.buffers * BUFFER.words),
    groups: new Int32Array(INBOUND.rows * GROUP.words),
  };
  return { ...memory, handle: addon.queue(memory) };
}

/** The steps that touch memory only, which the in-memory twin takes from here. */
export const sealRows = (queue: NativeQueue, from: number, to: number, mtu: number): number =>
  addon.seal(queue, from, to, mtu, MAX_SEGMENTS);
export const openRows = (queue: NativeQueue, count: number): number => addon.open(queue, count);
export const coalesceRows = (queue: NativeQueue, count: number): number => addon.coalesce(queue, count, 1, 1);
/** Empties the queue of what was sealed: no socket has the fd -1. */
export const discardSealed = (queue: NativeQueue): void => void addon.send(queue, -1, 0);

/** The ring's steps for a queue, which touch memory only but for the wake. */
export const handOnGroups = (queue: NativeQueue, ring: TransitRing, wakeFd: number, groups: number): number =>
  addon.handOn(queue, ring, wakeFd, groups);
export const handOnPacket = (
  ring: TransitRing,
  wakeFd: number,
  bytes: Uint8Array,
  length: number,
  slot: number,
): boolean => addon.handOnPacket(ring, wakeFd, bytes, length, slot) === 0;
export const readRing = (queue: NativeQueue, ring: TransitRing, maxRows: number): number =>
  Atomics.load(ring, RING.head) === ring[RING.tail] ? 0 : addon.readTransit(queue, ring, maxRows);

/** `wakeFd` ends its waits. */
export function outboundQueue(tun: Tun, wakeFd: number, ring: TransitRing): OutboundQueue {
  const { slab, reserve, rows, clock, status, table, handle } = outboundMemory();
  const vnet = Number(tun.vnet);
  let socket = -1;
  let family = 0;
  let maxSegments = 1;
  return {
    slab,
    reserve,
    rows,
    clock,
    status,
    runs: table,
    readTun: (maxRows) => addon.readTun(handle, tun.fd, vnet, maxRows),
    readTransit: (maxRows) => readRing(handle, ring, maxRows),
    seal: (from, to, mtu) => addon.seal(handle, from, to, mtu, maxSegments),
    send: () => {
      const sent = addon.send(handle, socket, family);
      if (status[STATUS.gsoOff] !== 0) {
        status[STATUS.gsoOff] = 0;
        maxSegments = 1;
      }
      return sent;
    },
    useSocket: (fd, gso) => {
      socket = fd;
      family = addon.socketFamily(fd);
      maxSegments = gso ? MAX_SEGMENTS : 1;
    },
    wait: (milliseconds) => {
      // Said before the ring is looked at, so that what is handed on from now on wakes this thread.
      Atomics.store(ring, RING.sleeping, 1);
      const isEmpty = Atomics.load(ring, RING.head) === ring[RING.tail];
      const events = isEmpty ? addon.wait(handle, tun.fd, wakeFd, milliseconds) : EVENT.ready;
      Atomics.store(ring, RING.sleeping, 0);
      return events;
    },
    yield: () => addon.yieldCpu(),
    pause: (microseconds) => addon.pause(microseconds),
    schedule: (bulk) => addon.schedule(bulk),
  };
}

/** `outboundWakeFd` ends the waits of the direction that takes from the ring. */
export function inboundQueue(tun: Tun, wakeFd: number, ring: TransitRing, outboundWakeFd: number): InboundQueue {
  const { slab, reserve, rows, clock, status, table, groups, handle } = inboundMemory();
  const vnet = Number(tun.vnet);
  const tso = Number(tun.tso);
  const uso = Number(tun.uso);
  let socket = -1;
  return {
    slab,
    reserve,
    rows,
    clock,
    status,
    buffers: table,
    groups,
    receive: () => (socket < 0 ? 0 : addon.receive(handle, socket, INBOUND.buffers)),
    open: (count) => addon.open(handle, count),
    coalesce: (count) => addon.coalesce(handle, count, tso, uso),
    writeTun: (count) => addon.writeTun(handle, tun.fd, vnet, count),
    handOn: (count) => handOnGroups(handle, ring, outboundWakeFd, count),
    handOnPacket: (bytes, length, slot) => handOnPacket(ring, outboundWakeFd, bytes, length, slot),
    useSocket: (fd) => {
      socket = fd;
    },
    wait: (milliseconds) => addon.wait(handle, socket, wakeFd, milliseconds),
    yield: () => addon.yieldCpu(),
    pause: (microseconds) => addon.pause(microseconds),
    schedule: (bulk) => addon.schedule(bulk),
  };
}
