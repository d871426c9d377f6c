/** Traffic, and what it costs: beyond what test/lab has for tests. */
import { readFileSync } from 'node:fs';
import { iperf3 } from '../test/lab/iperf3.ts';
import type { Lab } from '../test/lab/lab.ts';
import { until, type Running } from '../test/lab/process.ts';
import { B } from '../test/lab/two-vpcs.ts';

/** The kernel's clock ticks per second, as user space sees them on every Linux architecture of today. */
const TICKS = 100;

/** Round trips of pings from host A to host B in milliseconds, one every 5 ms for so many seconds. */
export async function roundTrips(lab: Lab, seconds: number): Promise<number[]> {
  const count = Math.round(seconds * 200);
  const argv = ['ping', '-n', '-i', '0.005', '-c', String(count), '-w', String(Math.ceil(seconds) + 2), B[4]];
  const { stdout } = await lab.run('a', argv);
  const times = Array.from(stdout.matchAll(/ time=([\d.]+) ms/g), ([, time]) => Number(time));
  if (times.length < count / 2) throw new Error(`${times.length} of ${count} pings were answered`);
  return times;
}

/** A flood of UDP datagrams with `length` bytes: how many arrive per second. */
export async function floodArrivals(lab: Lab, length: number, seconds: number): Promise<number> {
  const { forward } = await iperf3(lab, { seconds, udp: { length, rate: '0' } });
  return forward!.packets / forward!.seconds;
}

/** What is looked between, in datagrams per second, and how often the interval is halved (in logarithms). */
const RATES = { low: 10_000, high: 400_000 } as const;
/** In percent. */
const LOSS = 0.3;

/**
 * The highest rate of UDP datagrams per second, of `length` bytes, of which less than 0.3 % are lost; 0 if none is. A rate
 * fails when it does so twice: what else the machine does for a moment costs as many datagrams.
 */
export async function cleanRate(lab: Lab, length: number, seconds: number, steps: number): Promise<number> {
  // The sender may fall short of what it is asked for: what arrives is what counts.
  const arrived = async (rate: number): Promise<number> => {
    const { forward } = await iperf3(lab, { seconds, udp: { length, rate: String(Math.round(rate * length * 8)) } });
    return forward!.lostPercent < LOSS ? forward!.packets / forward!.seconds : 0;
  };
  let [low, high]: number[] = [RATES.low, RATES.high];
  let best = 0;
  for (let step = 0; step < steps; step++) {
    const rate = Math.sqrt(low * high);
    const clean = (await arrived(rate)) || (await arrived(rate));
    best = Math.max(best, clean);
    if (clean > 0) low = rate;
    else high = rate;
  }
  return best;
}

const PACED_PORT = 5202;

/** One TCP stream at `rate`, as iperf3 writes it. Resolves with the bytes received. */
export async function pacedStream(lab: Lab, rate: string, seconds: number): Promise<number> {
  const port = String(PACED_PORT);
  const server = lab.spawn('b', ['iperf3', '--server', '--one-off', '--port', port]);
  try {
    await until('the iperf3 server', async () => (await lab.must('b', ['ss', '-Htln', `sport = ${port}`])) !== '');
    const argv = ['iperf3', '-c', B[4], '--port', port, '--json', '--bitrate', rate, '--time', String(seconds)];
    const output = await lab.must('a', argv, { timeout: seconds * 1000 + 30_000 });
    return (JSON.parse(output) as { end: { sum_received: { bytes: number } } }).end.sum_received.bytes;
  } finally {
    await server.stop();
  }
}

/** The fields of /proc/PID/stat behind the program's name, which may hold spaces: the first is field 3, the state. */
function statFields({ pid }: Running): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** CPU time of programs with all their threads, user and system, in milliseconds. */
export function cpuMilliseconds(programs: readonly Running[]): number {
  const ticks = programs.flatMap((running) =>
    statFields(running)
      .slice(14 - 3, 16 - 3)
      .map(Number),
  );
  return (ticks.reduce((sum, each) => sum + each, 0) * 1000) / TICKS;
}

/** When a program was started: seconds since 1970, to a hundredth. */
export function startedAt(running: Running): number {
  const sinceBoot = Number(statFields(running)[22 - 3]) / TICKS;
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return Date.now() / 1000 - (uptime - sinceBoot);
}
