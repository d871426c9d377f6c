/**
 * The descriptor tables that TypeScript and the native layer both read and write (native/rows.h, native/addon.h).
 * All words are int32.
 */

/** One packet. Outbound: as read from the TUN, then what to seal it with. Inbound: a datagram, then the packet in it. */
export const ROW = {
  /** Byte offset in the slab: of the IP packet; inbound, until opened, of the transport message. */
  offset: 0,
  length: 1,
  /** virtio GSO type; 0 for a packet that is not a super-packet. */
  gso: 2,
  /** Payload bytes per segment of a super-packet. */
  segmentSize: 3,
  /** Bytes of IP and transport header of a super-packet. */
  header: 4,
  /** Packets that it becomes on the wire; 0 if malformed. */
  segments: 5,
  /** Key handle; 0: this row is dropped. */
  key: 6,
  /** Counter of the first segment. */
  counterLo: 7,
  counterHi: 8,
  receiver: 9,
  endpoint: 10,
  /** 0 for success, -1 for failure of the last native step. */
  verdict: 11,
  /** Inbound: the peer's slot. Packets of different peers never coalesce. */
  peer: 12,
  /** Inbound: the next row of the same group, -1 in its last. */
  next: 13,
  words: 16,
} as const;

/** A run of packets of one flow that is written to the TUN as one. */
export const GROUP = {
  first: 0,
  count: 1,
  /** Bytes of the merged packet. */
  length: 2,
  /** Bytes of IP and transport header; 0 when the count is 1. */
  header: 5,
  /** The peer that the packets came from; of a group that is handed on, the one that it goes to. */
  peer: 6,
  /** 0: write it. `HAND_ON`: to another peer. Anything else: dropped. */
  verdict: 7,
  words: 8,
} as const;

/** A group's verdict: not to the TUN but, by the ring between the threads, to the peer that the group then names. */
export const HAND_ON = -2;
/** What that verdict becomes where the ring has no room. */
export const NO_ROOM = -3;

/** Words of the ring between the threads (native/ring.h); what lies behind is the native layer's. */
export const RING = { head: 0, tail: 16, sleeping: 32 } as const;

/** A received buffer: one datagram, or several of `segment` bytes each (the last may be shorter). */
export const BUFFER = { offset: 0, length: 1, segment: 2, endpoint: 4, words: 16 } as const;

export const RUN = { offset: 0, length: 1, segment: 2, count: 3, endpoint: 4, unsent: 5, words: 8 } as const;

/** Secondary results of the last native call. */
export const STATUS = { runs: 0, failed: 1, errno: 2, gsoOff: 3, words: 8 } as const;

/** What ended a wait. */
export const EVENT = { ready: 1, woken: 2, error: 4 } as const;

export const RECEIVE_BUFFER = 65536;
