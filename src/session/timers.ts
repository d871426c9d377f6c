/**
 * WireGuard's timers that follow the traffic (white paper §6.2, §6.5). Nothing sets them packet by packet: they are asked at
 * each tick, and told when data and other messages last went out and came in. So they may be late by a tick.
 */
import type { Timing } from './constants.ts';
import type { Keypair } from './keypairs.ts';

/** Data went out, and nothing at all came back for a while: is the peer still there? */
export class ReplyTimer {
  #dueAt = Infinity;
  #sentAt = 0;
  #handledAt = 0;

  /** Off, until data is sent after `now`. */
  reset(now: number): void {
    this.#dueAt = Infinity;
    this.#handledAt = now;
  }

  /** True once for data sent with no message received for `delay()` ms, which is asked when the timer starts. */
  due(now: number, dataSentAt: number, receivedAt: number, delay: () => number): boolean {
    if (receivedAt >= this.#sentAt) this.#dueAt = Infinity;
    if (this.#dueAt === Infinity) {
      if (dataSentAt <= receivedAt || dataSentAt <= this.#handledAt) return false;
      this.#sentAt = dataSentAt;
      this.#dueAt = dataSentAt + delay();
    }
    if (now < this.#dueAt) return false;
    this.#dueAt = Infinity;
    this.#handledAt = dataSentAt;
    return true;
  }
}

/** Data came in, and nothing went out for a while: the peer should hear that we are still here. */
export class KeepaliveTimer {
  #dueAt = Infinity;
  #receivedAt = 0;
  #handledAt = 0;
  /** Whether this is the second keepalive for one stretch of data, which the first doesn't call off. */
  #again = false;

  /** Off, until data is received after `now`. */
  reset(now: number): void {
    this.#dueAt = Infinity;
    this.#handledAt = now;
    this.#again = false;
  }

  /**
   * True when a keepalive is to be sent: data came, and nothing was sent for `timeout` ms; and once more if further data
   * came in that time. `sentAt` is of any message, `answeredAt` of any but a keepalive.
   */
  due(now: number, dataReceivedAt: number, sentAt: number, answeredAt: number, timeout: number): boolean {
    if ((this.#again ? answeredAt : sentAt) >= this.#receivedAt) {
      this.#dueAt = Infinity;
      this.#again = false;
    }
    if (this.#dueAt === Infinity) {
      if (dataReceivedAt <= sentAt || dataReceivedAt <= this.#handledAt) return false;
      this.#receivedAt = dataReceivedAt;
      this.#dueAt = dataReceivedAt + timeout;
    }
    if (now < this.#dueAt) return false;
    this.#again = !this.#again && dataReceivedAt > this.#receivedAt;
    this.#receivedAt = this.#handledAt = now;
    this.#dueAt = this.#again ? now + timeout : Infinity;
    return true;
  }
}

/** A session grows old while it is used: it is renewed before it ends. */
export class RekeyTimer {
  /** The sent message that last led to a rekey, and whether receiving has led to one since the last handshake. */
  #doneForSentAt = 0;
  #doneForReceived = false;

  /** For a new session, and for none. */
  reset(): void {
    this.#doneForReceived = false;
  }

  /** Only the initiator of a session renews it, so that the two ends don't do so at once. */
  due({ isInitiator, createdAt }: Keypair, last: { sentAt: number; receivedAt: number }, timing: Timing): boolean {
    if (!isInitiator) return false;
    const { sentAt, receivedAt } = last;
    const isDueForSent = sentAt >= createdAt + timing.rekeyAfterTime && sentAt > this.#doneForSentAt;
    if (isDueForSent) this.#doneForSentAt = sentAt;
    const lastMinute = createdAt + timing.rejectAfterTime - timing.keepaliveTimeout - timing.rekeyTimeout;
    const isDueForReceived = receivedAt >= lastMinute && !this.#doneForReceived;
    if (isDueForReceived) this.#doneForReceived = true;
    return isDueForSent || isDueForReceived;
  }
}
