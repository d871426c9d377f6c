/** How exactly a shape holds its rate, and what a class of it is worth to those who are in a hurry. Isthmus only. */
import { setTimeout as sleep } from 'node:timers/promises';
import { iperf3 } from '../test/lab/iperf3.ts';
import type { Lab } from '../test/lab/lab.ts';
import { B } from '../test/lab/two-vpcs.ts';
import { startGateways } from './contenders.ts';
import { digits, type Results, type ShapingFigure } from './results.ts';
import { forgetPaths } from './session.ts';
import type { Labs, Step } from './steps.ts';

/** Mbit/s that are asked for. */
const RATES = [20, 200, 1000] as const;
const MOST_ROUNDS = 2;
const MOST_SECONDS = 3;
const MTU = 1420;
const DATAGRAM = 1372;
/** What of the packets that a shape counts is payload, as iperf3 counts it: less IP and TCP with time stamps, or UDP. */
const TCP_SHARE = (MTU - 20 - 32) / MTU;
const UDP_SHARE = DATAGRAM / (DATAGRAM + 28);
/** How much more than the rate is offered as UDP. */
const EXCESS = 1.3;
/** How much of it must be offered in fact. */
const ENOUGH = 1.1;
const STREAMS = 4;
/** In ms: until the streams have filled the queue. */
const FILLING = 1000;
const EXPEDITED = '0xb8';
const PLAIN = '0x00';

export function shapingSteps(labs: Labs, rounds: number, seconds: number, results: Results): Step[] {
  const each = Math.min(rounds, MOST_ROUNDS);
  const length = Math.min(seconds, MOST_SECONDS);
  return Array.from({ length: each }, (_, round) =>
    RATES.map((rate) => ({
      label: `shaping, round ${round + 1} of ${each}: ${rate} Mbit/s`,
      takes: 2 + 3 * (length + 0.5) + FILLING / 1000,
      run: async (say: (text: string) => void) => shaped(await labs.get(1500), rate, length, results, say),
    })),
  ).flat();
}

async function shaped(
  lab: Lab,
  rate: number,
  seconds: number,
  results: Results,
  say: (text: string) => void,
): Promise<void> {
  const note = (figure: ShapingFigure, value: number): void => void results.shaping.push({ rate, figure, value });
  await forgetPaths(lab);
  const classes = [{ name: 'shell', dscp: 'ef', priority: 1 }];
  const tunnel = await startGateways(lab, {
    cipher: 'aes-256-gcm',
    mtu: MTU,
    change: (file) => (file.peerings[0]['shape'] = { out: { rate: `${rate}mbit`, classes } }),
  });
  try {
    const tcp = (await iperf3(lab, { seconds })).mbps / TCP_SHARE;
    note('tcp', tcp);
    const udp = (await iperf3(lab, { seconds, udp: { length: DATAGRAM, rate: `${Math.round(rate * EXCESS)}M` } }))
      .forward!;
    const delivered = udp.mbps / UDP_SHARE;
    const offered = delivered / (1 - udp.lostPercent / 100);
    // A sender that is not that fast says nothing about the shape.
    if (offered > rate * ENOUGH) note('udp', delivered);
    else say(`UDP: ${digits(offered)} Mbit/s is all that iperf3 sends here`);
    const bulk = iperf3(lab, { seconds: seconds + FILLING / 1000, streams: STREAMS });
    const pings = sleep(FILLING).then(() =>
      Promise.all([EXPEDITED, PLAIN].map((tos) => ping(lab, tos, seconds - 0.5))),
    );
    const [, [expedited, plain]] = await Promise.all([bulk, pings]);
    note('ping-expedited', expedited);
    note('ping-plain', plain);
    say(
      `TCP ${digits(tcp)}, UDP ${digits(delivered)} Mbit/s; ping beside ${STREAMS} streams ` +
        `${digits(expedited)} ms expedited, ${digits(plain)} ms not`,
    );
  } finally {
    await tunnel.stop();
  }
}

/** The average round trip of pings with this TOS, one each 20 ms. */
async function ping(lab: Lab, tos: string, seconds: number): Promise<number> {
  const count = Math.round(seconds * 50);
  const argv = ['ping', '-n', '-q', '-i', '0.02', '-c', String(count), '-W', '3', '-Q', tos, B[4]];
  const { stdout } = await lab.run('a', argv);
  const average = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
  if (average === undefined) throw new Error(`no ping was answered: ${stdout}`);
  return Number(average);
}
