// iperf3 between the private hosts, and ping.
import type { Lab } from './lab.ts';
import { until } from './process.ts';
import { B, type Family } from './two-vpcs.ts';

export interface Iperf3Options {
  readonly family?: Family;
  readonly seconds?: number;
  /** Bytes to send, in place of a time: `10G`. */
  readonly bytes?: string;
  readonly streams?: number;
  /** `reverse`: from B to A; `both`: at the same time. */
  readonly direction?: 'forward' | 'reverse' | 'both';
  /** UDP with datagrams of so many bytes, at a rate: `0` for as fast as it goes, or `500M`. */
  readonly udp?: { readonly length: number; readonly rate: string };
}

/** One direction's outcome, as its receiver saw it. */
export interface Flow {
  /** Mbit/s of payload. */
  readonly mbps: number;
  readonly bytes: number;
  readonly seconds: number;
  /** TCP: by the sender. */
  readonly retransmits: number;
  /** UDP: datagrams that arrived, those that did not, and these as a share of all, in percent. */
  readonly packets: number;
  readonly lost: number;
  readonly lostPercent: number;
}

export interface Iperf3Result {
  readonly forward?: Flow;
  readonly reverse?: Flow;
  /** The sum of both directions, in Mbit/s. */
  readonly mbps: number;
}

interface Sum {
  readonly seconds: number;
  readonly bytes: number;
  readonly bits_per_second: number;
  readonly retransmits?: number;
  readonly packets?: number;
  readonly lost_packets?: number;
  readonly lost_percent?: number;
}

interface Report {
  readonly error?: string;
  readonly end: Readonly<Record<string, Sum | undefined>>;
}

const PORT = 5201;

function flow(end: Report['end'], suffix: string): Flow | undefined {
  const received = end[`sum_received${suffix}`] ?? end[`sum${suffix}`];
  if (!received) return undefined;
  return {
    mbps: received.bits_per_second / 1e6,
    bytes: received.bytes,
    seconds: received.seconds,
    retransmits: end[`sum_sent${suffix}`]?.retransmits ?? 0,
    packets: (received.packets ?? 0) - (received.lost_packets ?? 0),
    lost: received.lost_packets ?? 0,
    lostPercent: received.lost_percent ?? 0,
  };
}

/** Runs iperf3 once, from host A to host B, with a server of its own. Throws with iperf3's words when it fails. */
export async function iperf3(lab: Lab, options: Iperf3Options = {}): Promise<Iperf3Result> {
  const { family = 4, seconds = 5, bytes, streams = 1, direction = 'forward', udp } = options;
  const server = lab.spawn('b', ['iperf3', '--server', '--one-off', '--port', String(PORT)]);
  const listening = async (): Promise<boolean> =>
    (await lab.must('b', ['ss', '-Htln', `sport = ${PORT}`])).trim() !== '';
  try {
    await until('the iperf3 server', listening);
    const argv = ['iperf3', '--client', B[family], '--port', String(PORT), '--json', '--parallel', String(streams)];
    argv.push(...(bytes ? ['--bytes', bytes] : ['--time', String(seconds)]));
    if (direction !== 'forward') argv.push(direction === 'both' ? '--bidir' : '--reverse');
    if (udp) argv.push('--udp', '--length', String(udp.length), '--bitrate', udp.rate);
    const timeout = bytes ? 600_000 : seconds * 1000 + 30_000;
    const { stdout, stderr } = await lab.run('a', argv, { timeout });
    const report = JSON.parse(stdout || '{}') as Partial<Report>;
    if (report.error !== undefined || report.end === undefined) throw new Error(`iperf3: ${report.error ?? stderr}`);
    const first = flow(report.end, '');
    const second = flow(report.end, '_bidir_reverse');
    return {
      ...(first && (direction === 'reverse' ? { reverse: first } : { forward: first })),
      ...(second && { reverse: second }),
      mbps: (first?.mbps ?? 0) + (second?.mbps ?? 0),
    };
  } finally {
    await server.stop();
  }
}

export interface PingOptions {
  readonly family?: Family;
  readonly count?: number;
}

/** The average round trip of some pings from host A to host B, in milliseconds. */
export const pingTime = async (lab: Lab, options?: PingOptions): Promise<number> =>
  (await pingTimes(lab, options)).average;

/** The shortest of some round trips, in milliseconds: what a busy machine adds to the others is not in it. */
export const leastPingTime = async (lab: Lab, options?: PingOptions): Promise<number> =>
  (await pingTimes(lab, options)).least;

async function pingTimes(lab: Lab, options: PingOptions = {}): Promise<{ least: number; average: number }> {
  const { family = 4, count = 10 } = options;
  // With a deadline it goes on until so many are answered. Without one it waits for the last answer hardly longer than
  // the others took, and calls it lost where a machine is held up for a moment.
  const output = await lab.must('a', ['ping', '-q', '-i', '0.1', '-c', String(count), '-w', '30', B[family]]);
  const times = /= ([\d.]+)\/([\d.]+)\//.exec(output);
  if (times === null) throw new Error(`ping: ${output}`);
  return { least: Number(times[1]), average: Number(times[2]) };
}
