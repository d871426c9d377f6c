/** How many handshakes a second a device answers. */
import { fileURLToPath } from 'node:url';
import { writePrivate } from '../test/lab/contenders.ts';
import { GATEWAY_B } from '../test/lab/two-vpcs.ts';
import { base64, interfaceText, newKeyPair, peerText, startDevice } from './device.ts';
import type { InitiatorOrder, InitiatorReport } from './initiator.ts';
import type { Session } from './session.ts';

const program = fileURLToPath(new URL('./initiator.js', import.meta.url));
/** Beside the tunnel, which has nothing to do meanwhile. */
const PORT = 51900;
/** So many that none of them is called twice within the 20 ms in which a responder answers a peer once. */
const PEERS = 500;

/**
 * A device of many peers on gateway B, and on gateway A an initiator with the keys of all of them, which has made its
 * messages before the clock starts. Undefined for what is no WireGuard device.
 */
export async function handshakeRate({ lab, contender, seconds }: Session): Promise<number | undefined> {
  if (contender.device === undefined) return undefined;
  const own = newKeyPair();
  const peers = Array.from({ length: PEERS }, newKeyPair);
  const conf = interfaceText(own, PORT) + peers.map((key) => peerText(key.public, [])).join('');
  const device = await startDevice(lab, 'gwb', contender.device, `${lab.prefix}h`, conf);
  try {
    const order: InitiatorOrder = {
      address: GATEWAY_B[4],
      port: PORT,
      responder: base64(own.public),
      initiators: peers.map((key) => base64(key.secret)),
      handshakes: seconds < 3 ? 2 * PEERS : 8 * PEERS,
    };
    const file = writePrivate(lab, 'initiator.json', JSON.stringify(order));
    const report = JSON.parse(await lab.must('gwa', [process.execPath, program, file])) as InitiatorReport;
    if (report.good < order.handshakes * 0.9) {
      throw new Error(`${report.good} of ${order.handshakes} handshakes succeeded`);
    }
    return report.good / report.seconds;
  } finally {
    await device.stop();
  }
}
