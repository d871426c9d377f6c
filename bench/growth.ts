/** How throughput, round trip and memory change with the number of routes, rules, flows and peers. Isthmus only. */
import { fileURLToPath } from 'node:url';
import { interfaceName, type Tunnel } from '../test/lab/contenders.ts';
import { iperf3 } from '../test/lab/iperf3.ts';
import type { Lab } from '../test/lab/lab.ts';
import { residentMebibytes } from '../test/lab/look.ts';
import { aclOf, startGateways } from './contenders.ts';
import { startDevices } from './device.ts';
import { roundTrips } from './load.ts';
import { digits, type Results } from './results.ts';
import { forgetPaths } from './session.ts';
import type { Labs, Step } from './steps.ts';

export interface Curve {
  readonly id: string;
  readonly label: string;
  readonly sizes: readonly number[];
  /** Those that are held against each other, measured in every round; the others in the first only. */
  readonly ends: readonly [number, number];
  /** Those of a quick run. */
  readonly quickSizes: readonly [number, number];
  /** Seconds until the tunnel of the largest size is ready. */
  readonly takes: number;
  readonly start: (lab: Lab, size: number, say: (text: string) => void) => Promise<Tunnel>;
}

const CIPHER = 'aes-256-gcm';
/** Flows that a gateway can track: room for a million, and for what is measured beside them. */
const FLOWS = 2 ** 20;
const opener = fileURLToPath(new URL('./open-flows.js', import.meta.url));

export const CURVES: readonly Curve[] = [
  {
    id: 'routes',
    label: 'routes',
    sizes: [10, 1000, 100_000, 1_000_000],
    ends: [10, 100_000],
    quickSizes: [10, 100_000],
    takes: 15,
    start: (lab, routes) => startDevices(lab, { routes }),
  },
  {
    id: 'rules',
    label: 'ACL rules',
    sizes: [1, 100, 1000, 10_000],
    ends: [1, 10_000],
    quickSizes: [1, 10_000],
    takes: 4,
    start: (lab, rules) => startGateways(lab, { cipher: CIPHER, change: (file) => (file.acls['open'] = aclOf(rules)) }),
  },
  {
    id: 'flows',
    label: 'flows',
    sizes: [1, 1000, 100_000, 1_000_000],
    ends: [1, 1_000_000],
    quickSizes: [1, 100_000],
    takes: 15,
    start: startWithFlows,
  },
  {
    id: 'peers',
    label: 'peers',
    sizes: [1, 10, 100, 1000],
    ends: [1, 1000],
    quickSizes: [1, 1000],
    takes: 3,
    start: (lab, peers) => startDevices(lab, { peers }),
  },
];

export interface GrowthOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly quick: boolean;
  readonly curves: readonly Curve[];
}

export function growthSteps(labs: Labs, { rounds, seconds, quick, curves }: GrowthOptions, results: Results): Step[] {
  const steps: Step[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const curve of curves) {
      const sizes = quick ? curve.quickSizes : round === 1 ? curve.sizes : curve.ends;
      for (const size of sizes) {
        steps.push({
          label: `growth, round ${round} of ${rounds}, ${curve.label}: ${size.toLocaleString('en-US')}`,
          takes: 2 + (curve.takes * size) / curve.sizes.at(-1)! + seconds + 1.5,
          run: async (say) => point(await labs.get(1500), curve, size, round, seconds, results, say),
        });
      }
    }
  }
  return steps;
}

async function point(
  lab: Lab,
  curve: Curve,
  size: number,
  round: number,
  seconds: number,
  results: Results,
  say: (text: string) => void,
): Promise<void> {
  await forgetPaths(lab);
  const tunnel = await curve.start(lab, size, say);
  try {
    const { mbps } = await iperf3(lab, { seconds });
    const times = await roundTrips(lab, 1);
    const values = {
      tcp: mbps,
      ping: times.reduce((sum, time) => sum + time, 0) / times.length,
      memory: Math.max(...tunnel.processes.map(residentMebibytes)),
    } as const;
    for (const figure of ['tcp', 'ping', 'memory'] as const) {
      results.growth.push({ curve: curve.id, size, figure, round, value: values[figure] });
    }
    say(`${digits(values.tcp)} Mbit/s, ping ${digits(values.ping)} ms, ${digits(values.memory)} MiB`);
  } finally {
    await tunnel.stop();
  }
}

/** Gateways that track so many flows, which were all opened within the last seconds. */
async function startWithFlows(lab: Lab, flows: number, say: (text: string) => void): Promise<Tunnel> {
  const tunnel = await startGateways(lab, { cipher: CIPHER, change: (file) => (file.gateway['flows'] = FLOWS) });
  try {
    const received = async (): Promise<number> => {
      const [names, values] = (await lab.must('b', ['grep', '^Udp:', '/proc/net/snmp'])).trim().split('\n');
      return Number(values.split(' ')[names.split(' ').indexOf('NoPorts')]);
    };
    const before = await received();
    await lab.must('a', [process.execPath, opener, String(flows)], { timeout: 60_000 });
    const opened = (await received()) - before;
    say(`${opened.toLocaleString('en-US')} flows opened through ${interfaceName(lab, 'a')}`);
    if (opened < flows * 0.95) throw new Error(`${opened} of ${flows} flows were opened`);
  } catch (error) {
    await tunnel.stop();
    throw error;
  }
  return tunnel;
}
