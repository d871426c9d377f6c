/** A thousand reloads, half of them under iperf3's TCP and half under its UDP: the connection lives, and nothing is lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  gatewayStatus,
  interfaceName,
  isthmusFiles,
  newPsk,
  startGateways,
  writeGatewayFile,
} from '../test/lab/contenders.ts';
import { iperf3, type Flow, type Iperf3Options } from '../test/lab/iperf3.ts';
import type { Lab } from '../test/lab/lab.ts';
import { apiPath, counted } from '../test/lab/look.ts';
import { changedFile, reload } from '../test/lab/reloads.ts';
import { digits, type Results } from './results.ts';
import { forgetPaths } from './session.ts';
import type { Labs, Step } from './steps.ts';

/**
 * iperf3's socket holds some hundred datagrams: at this rate enough for a tenth of a second in which it does not run, as
 * happens where two gateways and two hosts share two cores.
 */
const UDP = { length: 1372, rate: '10M' };
/** iperf3's before the first and after the last reload, in ms. */
const MARGIN = 1000;

interface Mode {
  readonly name: string;
  readonly options: Iperf3Options;
  readonly reloads: number;
}

/** `quick`: a tenth of it. */
export function reloadSteps(labs: Labs, quick: boolean, results: Results): Step[] {
  const [reloads, seconds] = quick ? [50, 8] : [500, 60];
  const modes: readonly Mode[] = [
    { name: 'TCP', options: { seconds }, reloads },
    { name: 'UDP, 10 Mbit/s', options: { seconds, udp: UDP }, reloads },
  ];
  return [
    {
      label: `${2 * reloads} reloads under iperf3`,
      takes: modes.length * (seconds + 1),
      run: async (say) => {
        const lab = await labs.get(1500);
        await forgetPaths(lab);
        const [file, fileB] = isthmusFiles(lab, newPsk(), { cipher: 'aes-256-gcm' });
        file.peerings[0]['address'] = ['10.8.0.2', 'fd00:8::2'];
        const tunnel = await startGateways(lab, [file, fileB]);
        try {
          for (const mode of modes) {
            const { passed, detail } = await reloaded(lab, mode, (number) =>
              writeGatewayFile(lab, 'gwa', changedFile(file, number, newPsk())),
            );
            say(`${mode.name}: ${detail}`);
            results.soak.push({ name: `${mode.reloads} reloads, ${mode.name}, ${seconds} s`, passed, detail });
          }
        } finally {
          await tunnel.stop();
        }
      },
    },
  ];
}

async function reloaded(
  lab: Lab,
  { options, reloads }: Mode,
  write: (number: number) => void,
): Promise<{ passed: boolean; detail: string }> {
  const socket = apiPath(interfaceName(lab, 'a'));
  const before = await drops(lab);
  const unreadBefore = await withoutRoom(lab);
  const traffic = { running: true };
  const measured = iperf3(lab, options).finally(() => (traffic.running = false));
  // Whoever awaits it below gets what it throws.
  measured.catch(() => {});
  await sleep(MARGIN);
  const begun = performance.now();
  const pace = (options.seconds! * 1000 - 3 * MARGIN) / Math.max(1, reloads);
  let done = 0;
  while (done < reloads && traffic.running) {
    write(done);
    await reload(socket);
    done++;
    await sleep(Math.max(0, begun + done * pace - performance.now()));
  }
  const flow = (await measured).forward!;
  const dropped = (await drops(lab)) - before;
  const unread = (await withoutRoom(lab)) - unreadBefore;
  const fate = options.udp ? ofUdp(flow, unread) : ofTcp(flow);
  const detail = `${done} reloads while it ran, ${fate}, ${dropped} dropped by the gateways`;
  return { passed: done === reloads && flow.lost <= unread && dropped === 0, detail };
}

const ofTcp = ({ mbps, bytes, retransmits }: Flow): string =>
  `${digits(mbps)} Mbit/s, one connection, ${retransmits} segments of ${digits(bytes / 1e9)} GB retransmitted`;

const ofUdp = ({ mbps, packets, lost }: Flow, unread: number): string =>
  `${digits(mbps)} Mbit/s, ${lost} lost of ${(packets + lost).toLocaleString('en-US')} datagrams` +
  (unread > 0 ? `, ${unread} of them for want of room in iperf3's socket` : '');

/** How many datagrams have found the receiver's socket full: they were carried, but iperf3 counts them as lost. */
const withoutRoom = (lab: Lab): Promise<number> => counted(lab, 'b', 'Udp', 'RcvbufErrors');

/**
 * What both gateways have dropped, but what their kernels ask of IPv6 neighbours on the tunnel from time to time: it is from
 * no address of the VPC.
 */
async function drops(lab: Lab): Promise<number> {
  const all = await Promise.all([gatewayStatus(lab, 'a'), gatewayStatus(lab, 'b')]);
  return all
    .flatMap(({ all_drops }) => Object.entries(all_drops))
    .reduce((sum, [reason, count]) => (reason === 'source-not-local' ? sum : sum + count), 0);
}
