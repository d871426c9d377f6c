/** A minute of each mode with a rekey every 10 s, content checked from end to end, and the garbage collector's pauses. */
import { connected, generatePsk, isthmusFiles, ISTHMUS, writeGatewayFile } from '../test/lab/contenders.ts';
import { iperf3, type Iperf3Options } from '../test/lab/iperf3.ts';
import type { Lab } from '../test/lab/lab.ts';
import { until } from '../test/lab/process.ts';
import { startTransfer, transfer } from '../test/lab/transfer.ts';
import { aclOf, startGateways } from './contenders.ts';
import { digits, type Results } from './results.ts';
import { forgetPaths } from './session.ts';
import type { Labs, Step } from './steps.ts';

const REKEY = '10s';
const CIPHERS = ['aes-256-gcm', 'chacha20-poly1305'] as const;
const MODES: Readonly<Record<string, Iperf3Options>> = {
  'TCP, 1 stream': {},
  'TCP, 4 streams': { streams: 4 },
  'TCP, reverse': { direction: 'reverse' },
  'TCP, both ways': { direction: 'both' },
  'UDP, 200 Mbit/s': { udp: { length: 1372, rate: '200M' } },
};
/** Of the connection that is held open all the while, in bytes a second; and its port. */
const TRICKLE = 100_000;
const TRICKLE_PORT = 7002;
/** In bytes. */
const CHECKED = { full: 20e9, quick: 1e9 } as const;
/** The longest pause allowed, in ms. */
const PAUSE = 5;
/** One collection, as V8 traces it: the thread's isolate, when, what kind, and how long the thread stood still, in ms. */
const TRACE = /^\[\d+:(0x[0-9a-f]+)\] +\d+ ms: (\S+) .* MB, ([\d.]+) \/ /gm;

export function soakSteps(labs: Labs, quick: boolean, results: Results): Step[] {
  const seconds = quick ? 12 : 60;
  const bytes = quick ? CHECKED.quick : CHECKED.full;
  const modes = Object.keys(MODES).length;
  const note = (name: string, passed: boolean, detail: string): void =>
    void results.soak.push({ name, passed, detail });
  return [
    ...CIPHERS.map((cipher) => ({
      label: `soak, ${cipher}, rekey every ${REKEY}`,
      takes: modes * (seconds + 1) + bytes / 4e8,
      run: async (say: (text: string) => void) => soak(await labs.get(1500), cipher, seconds, bytes, note, say),
    })),
    {
      label: `pauses of garbage collection in ${seconds} s`,
      takes: seconds + 3,
      run: async () => pauses(await labs.get(1500), seconds, note),
    },
  ];
}

type Note = (name: string, passed: boolean, detail: string) => void;

async function soak(
  lab: Lab,
  cipher: string,
  seconds: number,
  bytes: number,
  note: Note,
  say: (text: string) => void,
): Promise<void> {
  await forgetPaths(lab);
  const tunnel = await startGateways(lab, { cipher, change: (file) => (file.gateway['rekey'] = REKEY) });
  try {
    const trickle = await startTransfer(lab, { rate: TRICKLE, port: TRICKLE_PORT });
    for (const [name, options] of Object.entries(MODES)) {
      say(name);
      try {
        const { mbps, forward } = await iperf3(lab, { ...options, seconds });
        const lost = options.udp ? `, ${digits(forward!.lostPercent)} % lost` : '';
        note(`${cipher}, ${name}, ${seconds} s`, mbps > 0, `${digits(mbps)} Mbit/s${lost}`);
      } catch (error) {
        note(`${cipher}, ${name}, ${seconds} s`, false, (error as Error).message);
      }
    }
    const held = await trickle.finish();
    note(
      `${cipher}, a connection held all the while`,
      held.intact,
      `${digits(held.seconds)} s, ${digits(held.bytes / 1e6)} MB, longest silence ${digits(held.pause)} s`,
    );
    say(`${digits(bytes / 1e9)} GB with its content checked`);
    const checked = await transfer(lab, { bytes, timeout: 600_000 });
    const speed = (checked.bytes * 8) / checked.seconds / 1e6;
    note(`${cipher}, content of ${bytes / 1e9} GB`, checked.intact, `${digits(speed)} Mbit/s`);
  } finally {
    await tunnel.stop();
  }
}

/** Gateways that tell of every garbage collection, under a stream of TCP. */
async function pauses(lab: Lab, seconds: number, note: Note): Promise<void> {
  await forgetPaths(lab);
  const files = isthmusFiles(lab, await generatePsk(lab), { cipher: 'aes-256-gcm' });
  for (const file of files) file.acls['open'] = aclOf(50);
  const [program, ...args] = ISTHMUS;
  const start = (host: string, own: 0 | 1): ReturnType<Lab['spawn']> =>
    lab.spawn(host, [program, '--trace-gc', ...args, 'up', writeGatewayFile(lab, host, files[own])]);
  const called = start('gwb', 1);
  try {
    await until('gateway B', () => called.output().includes('is up') || !called.isRunning());
    const caller = start('gwa', 0);
    try {
      await connected(lab, { processes: [caller, called] });
      const running = [caller, called];
      const begins = running.map((each) => each.output().length);
      const { mbps } = await iperf3(lab, { seconds });
      const traces = running.flatMap((each, end) => collections(each.output(), begins[end]));
      for (const main of [false, true]) {
        const found = traces.filter((trace) => trace.main === main);
        const { kind, ms } = found.reduce((a, b) => (b.ms > a.ms ? b : a), { kind: 'none', ms: 0 });
        const detail = `${found.length} collections, the longest ${digits(ms)} ms (${kind}), at ${digits(mbps)} Mbit/s`;
        note(`garbage collection, ${main ? 'main thread' : 'data plane'}, ${seconds} s`, ms <= PAUSE, detail);
      }
    } finally {
      await caller.stop();
    }
  } finally {
    await called.stop();
  }
}

/** The collections that a log tells of from position `begin` on. The main thread's is the first isolate there is. */
function collections(log: string, begin: number): { main: boolean; kind: string; ms: number }[] {
  const traces = [...log.matchAll(TRACE)];
  const first = traces.at(0)?.[1];
  return traces
    .filter(({ index }) => index >= begin)
    .map(([, isolate, kind, ms]) => ({ main: isolate === first, kind, ms: Number(ms) }));
}
