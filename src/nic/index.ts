/**
 * What the data plane sees of the machine: two queues, one per direction, each used by one thread. `native.ts` is the
 * machine, `memory.ts` a twin that keeps everything in memory.
 *
 * Hot calls return a count or a negative errno, and never throw.
 */
import type { Endpoint } from '../wire/endpoint.ts';

export type KeyHandle = number;

/** How AES-256-GCM and ChaCha20-Poly1305 are told to the native layer. */
export const CIPHER_NUMBER = { 'chacha20-poly1305': 1, 'aes-256-gcm': 2 } as const;

/** What both directions have. */
export interface Queue {
  readonly slab: Uint8Array<ArrayBuffer>;
  /** Offset in the slab from which on no read or receive writes: room for packets that are held back. */
  readonly reserve: number;
  /** `ROW` descriptors. */
  readonly rows: Int32Array;
  /** [0]: milliseconds of the boot clock, as of the last read, receive or wait. */
  readonly clock: Float64Array;
  /** `STATUS` words. */
  readonly status: Int32Array;
  /** Sleeps until there is something to read or to receive, `wake` was called, or the time is over. `EVENT` bits. */
  wait(milliseconds: number): number;
  /** Lets another thread run first. */
  yield(): void;
  /** Sleeps, to the microsecond. */
  pause(microseconds: number): void;
  /** Whether the thread carries so much that packets may rather gather than be seen to at once. */
  schedule(bulk: boolean): void;
}

/** Memory that both directions share: what goes from one peer to another passes through it. */
export type TransitRing = Int32Array<SharedArrayBuffer>;

/** TUN to UDP. */
export interface OutboundQueue extends Queue {
  /** `RUN` descriptors of what was sealed; valid until the next seal. */
  readonly runs: Int32Array;
  /** Reads packets into `slab` and `rows`. */
  readTun(maxRows: number): number;
  /** Takes what the inbound direction handed on into `slab` and `rows`; a row's `endpoint` is the peer that it is for. */
  readTransit(maxRows: number): number;
  /** Seals the rows [from, to) whose key is set. Returns the row it stopped before; send, and go on from there. */
  seal(from: number, to: number, mtu: number): number;
  /** Sends what was sealed. Returns datagrams sent; `STATUS.failed` counts the others. */
  send(): number;
  /** From now on sends by this socket; -1: by none, everything fails. */
  useSocket(fd: number, gso: boolean): void;
}

/** UDP to TUN. */
export interface InboundQueue extends Queue {
  /** `BUFFER` descriptors of what was received. */
  readonly buffers: Int32Array;
  /** `GROUP` descriptors. */
  readonly groups: Int32Array;
  receive(): number;
  /** Opens the transport messages of rows [0, count) in place. */
  open(count: number): number;
  /** Groups the packets of rows [0, count) whose verdict is 0 and length is not. Returns the number of groups. */
  coalesce(count: number): number;
  /** Writes the groups whose verdict is 0. Returns how many were written; `STATUS.failed` counts the packets of the others. */
  writeTun(groups: number): number;
  /** Hands on the groups whose verdict is `HAND_ON`. Returns how many; `STATUS.failed` counts those now `NO_ROOM`. */
  handOn(groups: number): number;
  /** Hands on the packet that `bytes` begins with, to the peer in `slot`. False if there is no room. */
  handOnPacket(bytes: Uint8Array, length: number, slot: number): boolean;
  useSocket(fd: number): void;
}

/** Keys and endpoints: shared by all threads, addressed by handle and slot. */
export interface KeyStore {
  /** Puts a 32-byte key into a slot, for one direction. */
  setKey(cipher: keyof typeof CIPHER_NUMBER, key: Uint8Array, seals: boolean): KeyHandle;
  /** Wipes it. */
  freeKey(key: KeyHandle): void;
}

export interface EndpointStore {
  setEndpoint(slot: number, endpoint: Endpoint): void;
  /** Copies the endpoint into `out`; false if none is set. */
  getEndpoint(slot: number, out: Endpoint): boolean;
}
