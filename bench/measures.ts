/** What is measured of a tunnel: one table. */
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMebibytes } from '../test/lab/look.ts';
import { iperf3, type Iperf3Options } from '../test/lab/iperf3.ts';
import type { Contender } from './contenders.ts';
import { handshakeRate } from './handshakes.ts';
import { cleanRate, cpuMilliseconds, floodArrivals, pacedStream, roundTrips } from './load.ts';
import { quantile } from './results.ts';
import type { Session } from './session.ts';

export interface Measure {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
  /** MTU of the links; 1500 if not given. */
  readonly link?: 9001;
  /** How long a run takes, about, with throughput runs of so many seconds. */
  readonly takes: (seconds: number) => number;
  /** In how many rounds at most it is measured, where it is slow; in all if not given. */
  readonly rounds?: number;
  /** Whether it is measured of a contender; of all if not given. */
  readonly applies?: (contender: Contender) => boolean;
  /** Left out of a quick run. */
  readonly thorough?: true;
  /** Undefined where it does not apply. */
  readonly run: (session: Session) => Promise<number | undefined>;
}

/** iperf3's own start and end. */
const OVERHEAD = 0.5;
/** What the CPU cost is measured at. */
const PACE = '2G';
/** In ms. */
const SETTLE = 500;

/** Makes several measures out of one run: it is done once in a session. */
function once<T>(run: (session: Session) => Promise<T>): (session: Session) => Promise<T> {
  const done = new WeakMap<Session, Promise<T>>();
  return (session) => {
    const result = done.get(session) ?? run(session);
    done.set(session, result);
    return result;
  };
}

const throughput =
  (options: Iperf3Options) =>
  async ({ lab, seconds }: Session): Promise<number> =>
    (await iperf3(lab, { ...options, seconds })).mbps;

/** Once what waited in a queue is through. */
const idlePings = once(async ({ lab, seconds }) => {
  await sleep(SETTLE);
  return roundTrips(lab, Math.min(2, seconds));
});

/** Pings while four streams run: from when they are under way until just before they end. */
const loadedPings = once(async ({ lab, seconds }) => {
  const load = iperf3(lab, { streams: 4, seconds: shorter(seconds) + 1 });
  const [, times] = await Promise.all([load, sleep(1000).then(() => roundTrips(lab, shorter(seconds) - 0.5))]);
  return times;
});

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

async function cpuPerGigabyte({ lab, tunnel, seconds }: Session): Promise<number | undefined> {
  if (tunnel.processes.length === 0) return undefined;
  const before = cpuMilliseconds(tunnel.processes);
  const bytes = await pacedStream(lab, PACE, shorter(seconds));
  return (cpuMilliseconds(tunnel.processes) - before) / (bytes / 1e9);
}

function memory({ tunnel }: Session): Promise<number | undefined> {
  const sizes = tunnel.processes.map(residentMebibytes);
  return Promise.resolve(sizes.length === 0 ? undefined : Math.max(...sizes));
}

const mbps = { unit: 'Mbit/s', better: 'more', takes: (seconds: number) => seconds + OVERHEAD } as const;
const perSecond = { unit: 'packets/s', better: 'more' } as const;
const flood = { ...perSecond, takes: (seconds: number) => shorter(seconds) + OVERHEAD } as const;
const search = {
  ...perSecond,
  takes: (seconds: number) => 8 * (shortRun(seconds) + OVERHEAD),
  rounds: 2,
  thorough: true,
} as const;
const milliseconds = { unit: 'ms', better: 'less' } as const;

/** Whole seconds of what needs no full run, and of one run among those of a search. */
const shorter = (seconds: number): number => Math.max(1, Math.round(seconds * 0.6));
const shortRun = (seconds: number): number => Math.max(1, Math.round(seconds / 5));

const cleanRateOf =
  (length: number) =>
  ({ lab, seconds, steps }: Session): Promise<number> =>
    cleanRate(lab, length, shortRun(seconds), steps);

export const MEASURES: readonly Measure[] = [
  { id: 'tcp1', label: 'TCP, 1 stream', ...mbps, run: throughput({}) },
  { id: 'tcp4', label: 'TCP, 4 streams', ...mbps, run: throughput({ streams: 4 }) },
  { id: 'reverse', label: 'TCP, reverse', ...mbps, run: throughput({ direction: 'reverse' }) },
  { id: 'both', label: 'TCP, both ways, sum', ...mbps, run: throughput({ direction: 'both' }) },
  {
    id: 'ping',
    label: 'ping, idle, average',
    ...milliseconds,
    takes: (seconds) => Math.min(2, seconds) + SETTLE / 1000,
    run: async (session) => average(await idlePings(session)),
  },
  {
    id: 'ping-p99',
    label: 'ping, idle, 99th percentile',
    ...milliseconds,
    takes: () => 0,
    run: async (session) => quantile(await idlePings(session), 0.99),
  },
  {
    id: 'ping-loaded',
    label: 'ping under 4 streams, average',
    ...milliseconds,
    takes: (seconds) => shorter(seconds) + 1 + OVERHEAD,
    run: async (session) => average(await loadedPings(session)),
  },
  {
    id: 'ping-loaded-p99',
    label: 'ping under 4 streams, 99th percentile',
    ...milliseconds,
    takes: () => 0,
    run: async (session) => quantile(await loadedPings(session), 0.99),
  },
  {
    id: 'cpu',
    label: 'CPU of both gateways at 2 Gbit/s',
    unit: 'ms/GB',
    better: 'less',
    takes: flood.takes,
    run: cpuPerGigabyte,
  },
  {
    id: 'udp64',
    label: 'UDP flood, 64 bytes, delivered',
    ...flood,
    run: ({ lab, seconds }) => floodArrivals(lab, 64, shorter(seconds)),
  },
  {
    id: 'udp1372',
    label: 'UDP flood, 1372 bytes, delivered',
    ...flood,
    run: ({ lab, seconds }) => floodArrivals(lab, 1372, shorter(seconds)),
  },
  { id: 'udp64-clean', label: 'UDP, 64 bytes, loss under 0.3 %', ...search, run: cleanRateOf(64) },
  { id: 'udp1372-clean', label: 'UDP, 1372 bytes, loss under 0.3 %', ...search, run: cleanRateOf(1372) },
  { id: 'memory', label: 'resident memory', unit: 'MiB', better: 'less', takes: () => 0, run: memory },
  {
    id: 'start',
    label: 'process start to first ping answered',
    ...milliseconds,
    takes: () => 0,
    run: ({ startMs }) => Promise.resolve(startMs),
  },
  {
    id: 'handshakes',
    label: 'handshakes as responder',
    unit: 'per second',
    better: 'more',
    takes: (seconds) => (seconds < 3 ? 2.5 : 6),
    rounds: 3,
    applies: ({ device }) => device !== undefined,
    run: handshakeRate,
  },
  { id: 'jumbo-tcp1', label: 'MTU 8921: TCP, 1 stream', ...mbps, link: 9001, run: throughput({}) },
  {
    id: 'jumbo-tcp4',
    label: 'MTU 8921: TCP, 4 streams',
    ...mbps,
    link: 9001,
    thorough: true,
    run: throughput({ streams: 4 }),
  },
];
