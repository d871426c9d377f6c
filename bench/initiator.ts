// Makes handshakes as the initiator, from many static keys, as fast as they are answered, and reports to stdout.
//
//   initiator FILE     where FILE holds an `InitiatorOrder` as JSON
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { SenderMacs } from '../src/noise/cookie.ts';
import { createInitiation, localStatic, openResponse, pair, type PendingInitiation } from '../src/noise/handshake.ts';
import { tai64n } from '../src/noise/tai64n.ts';
import { keyPair } from '../src/noise/x25519.ts';
import { MESSAGE, MESSAGE_SIZE, RESPONSE } from '../src/wire/messages.ts';

export interface InitiatorOrder {
  readonly address: string;
  readonly port: number;
  /** The responder's public key and the initiators' private ones, base64. */
  readonly responder: string;
  readonly initiators: readonly string[];
  readonly handshakes: number;
}

export interface InitiatorReport {
  /** Responses that completed their handshake. */
  readonly good: number;
  /** From the first initiation to the last response. */
  readonly seconds: number;
}

/** Initiations under way: below the 128 that put a device under load, when it asks for cookies. */
const WINDOW = 48;
/** Without a response for so many ms, what is under way counts as lost. */
const PATIENCE = 500;
/** A timestamp is rounded to about 17 ms: each of a key's messages is to have one of its own. */
const STEP = 20;

const order = JSON.parse(readFileSync(process.argv[2], 'utf8')) as InitiatorOrder;
const responder = Uint8Array.from(Buffer.from(order.responder, 'base64'));
const pairings = order.initiators.map((key) =>
  pair(localStatic('chacha20-poly1305', Uint8Array.from(Buffer.from(key, 'base64'))), responder)!,
);
const macs = new SenderMacs(responder);
const begun = Date.now();
const messages: Uint8Array[] = [];
const pending: PendingInitiation[] = [];
for (let index = 0; index < order.handshakes; index++) {
  const pairing = pairings[index % pairings.length];
  const timestamp = tai64n(begun + STEP * Math.floor(index / pairings.length), null);
  const initiation = createInitiation(pairing, index, keyPair(randomBytes(32)), timestamp);
  macs.stamp(initiation.message, begun);
  messages.push(initiation.message);
  pending.push(initiation.pending);
}

const responses: Uint8Array[] = [];
const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
let next = 0;
let last = 0;
const send = (): void => {
  if (next < messages.length) socket.send(messages[next++], order.port, order.address);
};

const first = performance.now();
const patience = setTimeout(() => {
  if (next < messages.length) {
    for (let number = 0; number < WINDOW; number++) send();
    patience.refresh();
  } else {
    end();
  }
}, PATIENCE);

socket.on('message', (message) => {
  if (message[0] !== MESSAGE.response || message.length !== MESSAGE_SIZE.response) return;
  last = performance.now();
  responses.push(message);
  patience.refresh();
  if (responses.length === messages.length) end();
  else send();
});

function end(): void {
  clearTimeout(patience);
  socket.close();
  const presharedKey = new Uint8Array(32);
  const good = responses.filter((response) => {
    const initiation = pending.at(
      new DataView(response.buffer, response.byteOffset).getUint32(RESPONSE.receiver, true),
    );
    return initiation !== undefined && openResponse(initiation, presharedKey, response) !== null;
  }).length;
  const report: InitiatorReport = { good, seconds: (last - first) / 1000 };
  console.log(JSON.stringify(report));
}
for (let number = 0; number < WINDOW; number++) send();
