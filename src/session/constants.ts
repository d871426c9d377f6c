/**
 * WireGuard's constants (white paper §6.1), times in ms, and below them this implementation's own.
 * The life of a cookie stands with the cookies, in noise.
 */

export interface Timing {
  /** An initiator that sends under a key this old asks for a new one. */
  readonly rekeyAfterTime: number;
  /** A key this old is neither sent nor received under. */
  readonly rejectAfterTime: number;
  /** How long an attempt to reach a peer lasts without anything new to send. */
  readonly rekeyAttemptTime: number;
  /** The time between two initiations, to which up to `RETRY_JITTER` is added. */
  readonly rekeyTimeout: number;
  /** Data that came and was not answered for this long is answered by a keepalive. */
  readonly keepaliveTimeout: number;
}

export const DEFAULT_TIMING: Timing = Object.freeze({
  rekeyAfterTime: 120_000,
  rejectAfterTime: 180_000,
  rekeyAttemptTime: 90_000,
  rekeyTimeout: 5_000,
  keepaliveTimeout: 10_000,
});

/** WireGuard's timing with an earlier rekey, 5,000 to 120,000 ms; else a `RangeError`. */
export function timing(rekeyAfterTime: number): Timing {
  if (!(rekeyAfterTime >= DEFAULT_TIMING.rekeyTimeout && rekeyAfterTime <= DEFAULT_TIMING.rekeyAfterTime)) {
    throw new RangeError(`rekey time must be from 5 s to 120 s, not ${rekeyAfterTime} ms`);
  }
  return { ...DEFAULT_TIMING, rekeyAfterTime };
}

/** A 64-bit message counter as two int32 words, unsigned in meaning. */
export interface Counter {
  readonly hi: number;
  readonly lo: number;
}

/** 2^60: after so many messages under one key, ask for a new one. */
export const REKEY_AFTER_MESSAGES: Counter = Object.freeze({ hi: 1 << 28, lo: 0 });
/** 2^64 - 2^13 - 1: a counter that must be neither sent nor accepted, nor any above it. */
export const REJECT_AFTER_MESSAGES: Counter = Object.freeze({ hi: -1, lo: 0xffffdfff | 0 });

/** The most that is added to a retry, so that two ends don't go on initiating at the same moments. */
export const RETRY_JITTER = 333;
/** Keys that were last renewed this many `rejectAfterTime` ago leave no trace, nor does a handshake in progress. */
export const FORGET_AFTER_REJECTS = 3;

/** For so long after a peer's initiation it is still told how far its clock was off, in ms. */
export const CLOCK_SKEW_LIFE = 900_000;

/** A peer's initiations closer together than this are dropped. */
export const INITIATION_INTERVAL = 20;
/** This many handshake messages waiting put the device under load, and for `UNDER_LOAD_TIME` after. */
export const UNDER_LOAD_QUEUE = 128;
export const UNDER_LOAD_TIME = 1_000;

/** Handshake messages from one source under load: per second, at once, and how many sources are told apart. */
export const RATE_PER_SECOND = 20;
export const RATE_BURST = 5;
export const RATE_SOURCES = 16_384;

/**
 * Tries of an initiation's mac1 under one identity after another, each some 3 µs: per second, and at once after a quiet time.
 * Beyond them strangers wait; where a peer was seen, and who shows a cookie, is not counted.
 */
export const MAC1_PER_SECOND = 50_000;
export const MAC1_BURST = 100_000;
/** Identities that are tried first because one of their peers was last seen at the source. */
export const MAC1_NEAR = 8;

/** What may wait for one peer's session. */
export const STAGED_PACKETS = 128;
export const STAGED_BYTES = 512 * 1024;

/** How many counters behind the greatest are still told apart, the greatest included. */
export const REPLAY_WINDOW = 8_192;
