/**
 * What goes by, flow by flow, as the data plane notes it: handed to flow logs once an interval, and looked through for
 * `isthmus flows`. The threads write into tables in shared memory (policy/flow-log-table.ts); once a minute each gets
 * another table, and what the last one holds is read in slices, so that a million flows never hold the main thread up.
 *
 * Nothing is noted, and no memory taken, unless there is a flow log or somebody has lately asked for flows.
 */
import { randomInt } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { FLOW_LOG_STATE, FlowLogTable, clearFlowLogTable, createFlowLogTable } from '../policy/flow-log-table.ts';
import type { FlowLogData } from '../policy/flow-log-table.ts';
import type { FlowLogConfig } from './config.ts';
import { FlowView } from './flow-view.ts';
import type { FlowNames, SeenFlow } from './flow-view.ts';
import { topFlows } from './flow-top.ts';
import type { FlowQuery, FlowTables, FlowsAnswer } from './flow-top.ts';
import type { Log } from './tunnel.ts';

/** What a flow log is told of one interval. */
export interface SeenFlows {
  /** Unix seconds. */
  readonly start: number;
  readonly end: number;
  /** Packets of flows for which there was no room. */
  readonly skipped: number;
  /** Gives every flow to `take`, which must not keep the object, and after each slice waits for `between`. */
  forEach(take: (flow: SeenFlow) => void, between: () => Promise<void>): Promise<void>;
}

/** Who writes flow logs. */
export interface FlowSink {
  /** From now on these; those that stay the same go on as they are. */
  configure(logs: readonly FlowLogConfig[], interfaceName: string): Promise<void>;
  /** Writes what was seen in an interval to all logs of this length, in seconds. */
  write(seconds: number, flows: SeenFlows): Promise<void>;
  /** Writes out what is left, and ends. */
  close(): Promise<void>;
}

/** The part of a tunnel that this needs. */
export interface WatchedTunnel {
  setFlowLog(tables?: { outbound: FlowLogData; inbound: FlowLogData }): void;
  setFlowRules(base: number): void;
}

export interface WatchOptions {
  readonly tunnel: WatchedTunnel;
  readonly sink: FlowSink;
  /** Flows for which there is room, in each direction and interval: a power of two. */
  readonly capacity: number;
  readonly log: Log;
  /** The wall clock and that of the data plane, in ms. */
  readonly wallClock: () => number;
  readonly bootClock: () => number;
}

/** How often a thread's table is changed, in seconds: the shortest interval of a flow log. */
const PERIOD = 60;
/** How long flows are noted after somebody asked for them, in ms. */
const LEASE = 120_000;
/** Entries that are read at a time. */
const SLICE = 2000;
/** A thread lets go of a table with its next batch, at the latest when it is woken for it; in ms. */
const RELEASE_LIMIT = 5000;
/** How often the time is looked at, in ms. */
const TICK = 250;
/** More than this many flows of an interval are not told apart. */
const MAX_CAPACITY = 1 << 20;
/** Names of rules that a reload replaced are kept for this long, in ms: until the last interval with them is written. */
const NAMES_LIFE = 1_500_000;

/** A longer interval, put together from several periods. */
interface Sum {
  readonly seconds: number;
  readonly data: FlowLogData;
  table: FlowLogTable;
  start: number;
}

export class FlowWatch {
  readonly #options: WatchOptions;
  readonly #capacity: number;
  readonly #peerings = new Map<number, string>();
  #rules: { base: number; names: readonly string[]; until: number }[] = [];
  #logs: readonly FlowLogConfig[] = [];
  #sums: Sum[] = [];
  #current: FlowTables | undefined;
  #previous: FlowTables | undefined;
  #leaseUntil = -Infinity;
  #busy: Promise<void> = Promise.resolve();
  #ticker: NodeJS.Timeout | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#capacity = Math.min(options.capacity, MAX_CAPACITY);
  }

  /** Looks at the time from now on. */
  start(): void {
    this.#ticker = setInterval(() => void this.tick(), TICK);
  }

  /** From now on these logs. What was seen until now is written to those before, if they differ. */
  configure(logs: readonly FlowLogConfig[], interfaceName: string): Promise<void> {
    return this.#queue(async () => {
      const differs = JSON.stringify(logs) !== JSON.stringify(this.#logs);
      if (differs && this.#logs.length > 0) await this.#handOver(true);
      this.#logs = logs;
      const lengths = new Set(logs.map(({ interval }) => interval));
      if (differs) this.#sums = [...lengths].filter((seconds) => seconds > PERIOD).map((each) => this.#createSum(each));
      await this.#options.sink.configure(logs, interfaceName);
      if (logs.length > 0) this.#begin();
    });
  }

  /** The name of the peering in a slot, kept after the peering is gone, for what it left behind. */
  name(slot: number, peering: string): void {
    this.#peerings.set(slot, peering);
  }

  /** Makes `change`, after which the rules of the data plane are those of these names, in this order. */
  changeRules(names: readonly string[], change: () => void): void {
    const now = this.#options.wallClock();
    const last = this.#rules.at(-1);
    // In between a thread may judge by either rules: it then names none.
    this.#options.tunnel.setFlowRules(-1);
    change();
    if (last === undefined || last.names.join() !== names.join()) {
      if (last !== undefined) last.until = now + NAMES_LIFE;
      this.#rules = this.#rules.filter(({ until }) => until > now);
      this.#rules.push({ base: last === undefined ? 0 : last.base + last.names.length, names, until: Infinity });
    }
    this.#options.tunnel.setFlowRules(this.#rules.at(-1)!.base);
  }

  /** Hands over what was seen, if a period is over; forgets flows that nobody asks for any more. */
  tick(): Promise<void> {
    const now = this.#options.wallClock();
    const current = this.#current;
    if (current === undefined) return Promise.resolve();
    if (this.#logs.length === 0 && now > this.#leaseUntil) return this.#queue(() => this.#end());
    const boundary = (Math.floor(current.start / PERIOD) + 1) * PERIOD;
    // A clock that was set back ends a period too.
    if (now / 1000 < boundary && now / 1000 >= current.start) return Promise.resolve();
    return this.#queue(() => this.#handOver(false));
  }

  /** The flows that carry most, of the last minute or two. Flows are noted for a while after, also without a flow log. */
  async top(query: FlowQuery): Promise<FlowsAnswer> {
    const { wallClock } = this.#options;
    this.#leaseUntil = wallClock() + LEASE;
    this.#begin();
    for (;;) {
      const current = this.#current;
      const tables = [current, this.#previous].filter((each) => each !== undefined);
      // When the threads are given other tables, what is looked through may be cleared: then all is looked through anew.
      const isStale = (): boolean => this.#current !== current;
      const answer = await topFlows(tables, this.#names(), query, wallClock() / 1000, isStale);
      if (answer !== undefined) return answer;
    }
  }

  /** Writes the last interval. The threads must have ended. */
  close(): Promise<void> {
    clearInterval(this.#ticker);
    return this.#queue(async () => {
      const last = this.#current;
      this.#current = undefined;
      if (last !== undefined) await this.#deliver(last, true);
      await this.#options.sink.close();
    });
  }

  /** One thing after the other: what goes wrong with a log is the log's matter, and told there. */
  #queue(job: () => Promise<void> | void): Promise<void> {
    this.#busy = this.#busy.then(job).catch((error: unknown) => {
      this.#options.log.error(`flow logs: ${(error as Error).message}`);
    });
    return this.#busy;
  }

  #begin(): void {
    if (this.#current !== undefined) return;
    this.#current = this.#createTables();
    this.#options.tunnel.setFlowLog(this.#current);
  }

  #end(): void {
    this.#current = this.#previous = undefined;
    this.#options.tunnel.setFlowLog();
  }

  /** Gives the threads other tables, and what is in theirs to the logs. `all`: also of intervals that are not over. */
  async #handOver(all: boolean): Promise<void> {
    const last = this.#current;
    if (last === undefined) return;
    const next = this.#previous ?? this.#createTables();
    for (const data of [next.outbound, next.inbound]) clearFlowLogTable(data);
    next.start = Math.floor(this.#options.wallClock() / 1000);
    this.#previous = last;
    this.#current = next;
    this.#options.tunnel.setFlowLog(next);
    const deadline = performance.now() + RELEASE_LIMIT;
    while (!isReleased(last.outbound) || !isReleased(last.inbound)) {
      if (performance.now() > deadline) {
        this.#options.log.warn('flow logs: a data-plane thread does not let go of its table');
        this.#previous = undefined;
        break;
      }
      await sleep(1);
    }
    await this.#deliver(last, all);
  }

  async #deliver({ outbound, inbound, start }: FlowTables, all: boolean): Promise<void> {
    const { sink, wallClock } = this.#options;
    const end = Math.max(start, Math.floor(wallClock() / 1000));
    if (this.#logs.some(({ interval }) => interval === PERIOD)) {
      await sink.write(PERIOD, this.#flowsOf([outbound, inbound], start, end));
    }
    for (const sum of this.#sums) {
      for (const data of [outbound, inbound]) {
        await inSlices(data, (number) => sum.table.absorb(data, number));
        sum.data.skipped[0] += data.skipped[0];
      }
      const boundary = (Math.floor(sum.start / sum.seconds) + 1) * sum.seconds;
      if (!all && end < boundary && end >= sum.start) continue;
      await sink.write(sum.seconds, this.#flowsOf([sum.data], sum.start, Math.max(sum.start, end)));
      clearFlowLogTable(sum.data);
      sum.table = new FlowLogTable(sum.data);
      sum.start = end;
    }
  }

  #flowsOf(tables: readonly FlowLogData[], start: number, end: number): SeenFlows {
    const view = new FlowView(this.#names(), start, end);
    return {
      start,
      end,
      skipped: tables.reduce((sum, { skipped }) => sum + skipped[0], 0),
      forEach: async (take, between) => {
        for (const data of tables) await inSlices(data, (number) => take(view.of(data, number)), between);
      },
    };
  }

  #names(): FlowNames {
    const { wallClock, bootClock } = this.#options;
    return {
      clockOffset: (wallClock() - bootClock()) / 1000,
      peering: (slot) => this.#peerings.get(slot),
      rule: (number) => {
        const rules = this.#rules.findLast(({ base }) => base <= number);
        return rules?.names[number - rules.base];
      },
    };
  }

  #createTables(): FlowTables {
    const create = () => createFlowLogTable(this.#capacity, randomInt(2 ** 31));
    return { outbound: create(), inbound: create(), start: Math.floor(this.#options.wallClock() / 1000) };
  }

  #createSum(seconds: number): Sum {
    const data = createFlowLogTable(this.#capacity, randomInt(2 ** 31));
    return { seconds, data, table: new FlowLogTable(data), start: Math.floor(this.#options.wallClock() / 1000) };
  }
}

function isReleased({ state }: FlowLogData): boolean {
  return Atomics.load(state, FLOW_LOG_STATE.released) === 1;
}

/** Gives the number of every entry to `take`, and other work its turn after each slice. */
async function inSlices(
  data: FlowLogData,
  take: (number: number) => void,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const count = Atomics.load(data.state, FLOW_LOG_STATE.count);
  for (let from = 0; from < count; from += SLICE) {
    const to = Math.min(count, from + SLICE);
    for (let number = from; number < to; number++) take(number);
    await between();
    await nextTurn();
  }
}
