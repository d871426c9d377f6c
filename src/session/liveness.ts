/**
 * Whether a path to a peer carries packets: by the answers to probes, or, where nothing can be asked, by whether anything
 * comes back at all. A path that fell is used again only after it has answered for a while, longer with each fall.
 * Times are ms of one clock, which the caller reads.
 */

/**
 * `unknown`: no sign of life yet; `up`: in use; `down`: gave no sign for too long; `damped`: gives signs again, but not yet
 * for long enough.
 */
export type PathState = 'unknown' | 'up' | 'down' | 'damped';

export interface LivenessTiming {
  /** Between two probes; 0: none are sent, signs of life are what the peer sends of itself. */
  readonly probe: number;
  /** A path without a sign of life for so long is down. */
  readonly downAfter: number;
  /** For so long a path must give signs after its first fall, before it is used again; twice as long after the next. */
  readonly upAfter: number;
}

export const PROBE_INTERVAL = 1_000;
/** In probe intervals: with its default a dead path is out of use within 3 s, the ticks of the clock included. */
export const DOWN_AFTER_PROBES = 2.5;
export const UP_AFTER = 5_000;
/** Without probes: WireGuard's own time until data that nobody answered makes it doubt a session (§6.5). */
export const DOWN_AFTER_SILENCE = 15_000;
/** The longest that a path which falls again and again is kept waiting. */
export const UP_AFTER_MAX = 60_000;
/** A path that stayed up for so long is as good as one that never fell. */
const FORGIVEN_AFTER = 600_000;
/** Probes whose fate the loss is counted from. */
const LOSS_WINDOW = 100;
/** A probe that is not answered after this share of the interval is late: the next ones follow at a quarter of it. */
const LATE = 0.5;
const HURRY = 0.25;
/** Data was sent and nothing at all came back for so long: the path is asked at once, and at every turn of the clock. */
const DOUBT_AFTER = 300;
/** So many such questions, without an answer to any, bring the path down, ... */
const DOUBT_PROBES = 6;
/** ... but not before the first could be answered: so long, or so many round trips. */
const DOUBT_LEAST = 400;
const DOUBT_ROUND_TRIPS = 4;
/**
 * The caller's thread was held up for longer than this, and could neither ask nor look: of such a time no more counts as
 * the path's silence.
 */
const HELD_UP = 500;
/** Weights of a new value in the mean of round-trip times (RFC 6298) and in the jitter (RFC 3550 §6.4.1). */
const RTT_WEIGHT = 1 / 8;
const JITTER_WEIGHT = 1 / 16;

/** How many probes may be without an answer at a time; an answer to an older one is as good as none. */
export const PROBES_OUT = 16;

export class Liveness {
  readonly timing: LivenessTiming;
  #state: PathState = 'unknown';
  #signAt = -Infinity;
  #answeringSince = 0;
  #upSince = 0;
  #falls = 0;
  #sequence = 0;
  #probedAt = -Infinity;
  #lookedAt = Infinity;
  #rtt: number | undefined;
  #lastRtt = 0;
  #jitter = 0;
  /** When each of the last probes was sent, by sequence; 0 when its fate is known. */
  readonly #out = new Float64Array(PROBES_OUT);
  readonly #fates: boolean[] = [];
  #isDoubtful = false;
  /** Questions since there is a doubt and no answer, and when the first was asked. */
  #doubts = 0;
  #doubtedAt = 0;

  constructor(timing: LivenessTiming) {
    this.timing = timing;
  }

  get state(): PathState {
    return this.#state;
  }

  /** Mean round-trip time in ms, undefined before the first answer. */
  get rtt(): number | undefined {
    return this.#rtt;
  }

  /** Mean difference of one round trip to the next, in ms. */
  get jitter(): number {
    return this.#jitter;
  }

  /** Share of the last hundred probes that nobody answered in time: 0 to 1. */
  get loss(): number {
    const { length } = this.#fates;
    return length === 0 ? 0 : this.#fates.filter((answered) => !answered).length / length;
  }

  /** For a path with probes: when data was last sent, and anything at all last received; 0 for never. */
  heed(now: number, sentAt: number, receivedAt: number): void {
    this.#isDoubtful = this.#state === 'up' && sentAt > receivedAt && now - receivedAt > DOUBT_AFTER;
    if (!this.#isDoubtful) this.#doubts = 0;
  }

  /** The sequence number, 0 to 65535, of the probe that is to be sent now, or -1. */
  due(now: number): number {
    const { probe } = this.timing;
    if (probe === 0) return -1;
    const isLate = this.#state === 'up' && now - this.#signAt > probe * (1 + LATE);
    if (this.#isDoubtful) {
      this.#probedAt = now;
      if (this.#doubts++ === 0) this.#doubtedAt = now;
    } else {
      if (now - this.#probedAt < (isLate ? probe * HURRY : probe)) return -1;
      // At the interval, not at the ticks: a late tick must not make all later probes late.
      this.#probedAt = now - this.#probedAt < 2 * probe && !isLate ? this.#probedAt + probe : now;
    }
    this.#sequence = (this.#sequence + 1) & 0xffff;
    const place = this.#sequence % PROBES_OUT;
    if (this.#out[place] !== 0) this.#settle(place, false);
    this.#out[place] = now;
    return this.#sequence;
  }

  /** A probe's answer came at `at`, `rtt` ms after the probe was sent. */
  answered(sequence: number, rtt: number, at: number): void {
    const place = sequence % PROBES_OUT;
    if (this.#out[place] !== 0) this.#settle(place, true);
    if (this.#rtt === undefined) this.#rtt = rtt;
    else {
      this.#rtt += (rtt - this.#rtt) * RTT_WEIGHT;
      this.#jitter += (Math.abs(rtt - this.#lastRtt) - this.#jitter) * JITTER_WEIGHT;
    }
    this.#lastRtt = rtt;
    this.#doubts = 0;
    this.#sign(at);
  }

  /** For a path without probes: when data was last sent, and anything at all last received; 0 for never. */
  watch(now: number, sentAt: number, receivedAt: number): void {
    if (receivedAt === 0) return;
    const isOwed = sentAt > receivedAt;
    const resting = this.#state === 'up' || this.#state === 'damped' || this.#signAt === -Infinity;
    if (resting && !isOwed) this.#sign(now);
    else if (receivedAt > this.#signAt) this.#sign(receivedAt);
  }

  /** True when the state is another than before. */
  advance(now: number): boolean {
    const { downAfter } = this.timing;
    const before = this.#state;
    this.#excuse(now - this.#lookedAt - HELD_UP, now);
    this.#lookedAt = now;
    for (let place = 0; place < PROBES_OUT; place++) {
      if (this.#out[place] !== 0 && now - this.#out[place] > downAfter) this.#settle(place, false);
    }
    const isSilent = now - this.#signAt > downAfter || this.#isDisproved(now);
    if (this.#state === 'up') {
      if (now - this.#upSince > FORGIVEN_AFTER) this.#falls = 0;
      if (isSilent) {
        this.#state = 'down';
        this.#falls++;
        this.#signAt = -Infinity;
      }
    } else if (this.#state === 'unknown') {
      if (!isSilent) this.#rise(now);
    } else if (isSilent) {
      this.#state = 'down';
    } else if (this.#state === 'down') {
      this.#state = 'damped';
      this.#answeringSince = this.#signAt;
    } else if (now - this.#answeringSince >= this.#hold()) {
      this.#rise(now);
    }
    return this.#state !== before;
  }

  /** Whether none of the questions that a doubt gave rise to was answered. */
  #isDisproved(now: number): boolean {
    const patience = Math.max(DOUBT_LEAST, (this.#rtt ?? 0) * DOUBT_ROUND_TRIPS);
    return this.#doubts >= DOUBT_PROBES && now - this.#doubtedAt > patience;
  }

  /** Takes a time in which nobody looked out of the account. */
  #excuse(time: number, now: number): void {
    if (time <= 0) return;
    this.#signAt = Math.min(this.#signAt + time, now);
    this.#doubtedAt = Math.min(this.#doubtedAt + time, now);
    for (let place = 0; place < PROBES_OUT; place++) if (this.#out[place] !== 0) this.#out[place] += time;
  }

  #sign(at: number): void {
    if (at > this.#signAt) this.#signAt = at;
  }

  #rise(now: number): void {
    this.#state = 'up';
    this.#upSince = now;
  }

  #hold(): number {
    const { upAfter } = this.timing;
    return Math.max(upAfter, Math.min(upAfter * 2 ** (this.#falls - 1), UP_AFTER_MAX));
  }

  #settle(place: number, answered: boolean): void {
    this.#out[place] = 0;
    this.#fates.push(answered);
    if (this.#fates.length > LOSS_WINDOW) this.#fates.shift();
  }
}
