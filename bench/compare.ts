/**
 * `npm run bench`: iperf3 between the private hosts of two VPCs, through each contender in turn, round after round, so
 * that what the machine does meanwhile meets all of them alike. Prints medians, spread, and the ratio to the reference.
 */
import { parseArgs } from 'node:util';
import { startIsthmus, startNothing, startReferenceOpenVpn, startWireguardGo } from '../test/lab/contenders.ts';
import { iperf3 } from '../test/lab/iperf3.ts';
import type { Lab } from '../test/lab/lab.ts';
import { twoVpcs } from '../test/lab/two-vpcs.ts';

const CONTENDERS = {
  'no tunnel': startNothing,
  'openvpn reference': startReferenceOpenVpn,
  'wireguard-go': startWireguardGo,
  'isthmus aes-256-gcm': (lab: Lab) => startIsthmus(lab, { cipher: 'aes-256-gcm' }),
  'isthmus chacha20': (lab: Lab) => startIsthmus(lab, { cipher: 'chacha20-poly1305' }),
} as const;

type Contender = keyof typeof CONTENDERS;

const REFERENCE: Contender = 'openvpn reference';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write('npm run bench -- [--rounds 5] [--seconds 5] [--json]\n');
} else {
  await compare(Number(values.rounds), Number(values.seconds));
}

async function compare(rounds: number, seconds: number): Promise<void> {
  const names = Object.keys(CONTENDERS) as Contender[];
  const results = new Map<Contender, number[]>(names.map((name) => [name, []]));
  const lab = await twoVpcs({ name: 'bench' });
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const name of names) {
        const tunnel = await CONTENDERS[name](lab);
        try {
          const { mbps } = await iperf3(lab, { seconds });
          results.get(name)!.push(mbps);
          process.stderr.write(`round ${round} of ${rounds}: ${name.padEnd(20)} ${mbps.toFixed(0)} Mbit/s\n`);
        } finally {
          await tunnel.stop();
        }
      }
    }
  } finally {
    await lab.dispose();
  }
  if (values.json) process.stdout.write(`${JSON.stringify(Object.fromEntries(results), null, 2)}\n`);
  else process.stdout.write(formatTable(results));
}

function formatTable(results: ReadonlyMap<Contender, readonly number[]>): string {
  const reference = median(results.get(REFERENCE)!);
  const lines = ['TCP, 1 stream, Mbit/s     median     min     max   to the reference'];
  for (const [name, runs] of results) {
    const figures = [median(runs), Math.min(...runs), Math.max(...runs)].map((mbps) => mbps.toFixed(0).padStart(8));
    lines.push(`${name.padEnd(24)}${figures.join('')}   ${(median(runs) / reference).toFixed(1)}`);
  }
  return `${lines.join('\n')}\n`;
}

function median(runs: readonly number[]): number {
  const sorted = [...runs].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
