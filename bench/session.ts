/** A contender at work between the two VPCs. */
import type { Tunnel } from '../test/lab/contenders.ts';
import type { Lab } from '../test/lab/lab.ts';
import { B } from '../test/lab/two-vpcs.ts';
import type { Contender } from './contenders.ts';
import { startedAt } from './load.ts';

export interface Session {
  readonly lab: Lab;
  readonly tunnel: Tunnel;
  readonly contender: Contender;
  /** Of one run of a throughput measure. */
  readonly seconds: number;
  /** Steps of a search. */
  readonly steps: number;
  /** From the start of the tunnel's last process to the first answer to a ping, in ms; undefined without a process. */
  readonly startMs: number | undefined;
}

/** What hosts remember of paths, which is of another tunnel's: MTUs, and TCP's windows and round trips. */
export async function forgetPaths(lab: Lab): Promise<void> {
  for (const host of ['a', 'b', 'gwa', 'gwb']) {
    await lab.ip(host, 'route', 'flush', 'cache');
    await lab.ip(host, 'tcp_metrics', 'flush', 'all');
  }
}

/** Starts a contender, under pings so that the first answer is noticed. */
export async function startSession(
  lab: Lab,
  contender: Contender,
  options: { seconds: number; steps: number; mtu?: number },
): Promise<Session> {
  await forgetPaths(lab);
  const pings = lab.spawn('a', ['ping', '-n', '-D', '-i', '0.01', B[4]]);
  let tunnel: Tunnel;
  try {
    tunnel = await contender.start(lab, options.mtu);
  } finally {
    // What it has not written yet, it writes when it is interrupted.
    pings.signal('SIGINT');
    await pings.ended;
  }
  const answer = /^\[([\d.]+)\] \d+ bytes from/m.exec(pings.output())?.[1];
  const begun = Math.max(...tunnel.processes.map(startedAt));
  const isKnown = answer !== undefined && tunnel.processes.length > 0;
  const { seconds, steps } = options;
  return { lab, tunnel, contender, seconds, steps, startMs: isKnown ? (Number(answer) - begun) * 1000 : undefined };
}
