/** A data-plane thread: carries batches, obeys orders between them, waits when there is nothing to do. */
import { readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { captureInbound, captureOutbound } from '../nic/capture.ts';
import type { Queue, TransitRing } from '../nic/index.ts';
import { endpoints, inboundQueue, outboundQueue } from '../nic/native.ts';
import type { Tun } from '../nic/native.ts';
import { EVENT } from '../nic/layout.ts';
import { Inbound } from './inbound.ts';
import { COUNTER, rowOf } from './counters.ts';
import type { Counters } from './counters.ts';
import { SHARED } from './messages.ts';
import type { InboundOrder, OutboundOrder, Report } from './messages.ts';
import { Busyness, LULL, SHORTEST_HOLD } from './moderation.ts';
import { Outbound } from './outbound.ts';

export interface WorkerData {
  readonly direction: 'outbound' | 'inbound';
  readonly tun: Tun;
  readonly wakeFd: number;
  readonly counters: Counters;
  readonly shared: Int32Array;
  /** By which the inbound thread hands on to the outbound one, and what wakes that. */
  readonly ring: TransitRing;
  readonly outboundWakeFd: number;
  /** A pcap file to which every packet of the overlay is added, or empty. */
  readonly capture: string;
}

type Order = OutboundOrder | InboundOrder;

/** Longest sleep, in ms: nothing depends on it, as every order wakes the thread. */
const SLEEP = 1000;
/** Times a thread gives way and looks again before it sleeps; a wake-up costs more. */
const YIELDS = 2;
/** The thread's own row of the counters. */
const OWN = rowOf(-1);

const { direction, tun, wakeFd, counters, shared, ring, outboundWakeFd, capture } = workerData as WorkerData;
const port = parentPort!;
const report = (message: Report): void => port.postMessage(message);
const captureEnded = (reason: string): void => report({ type: 'captureEnded', reason });
const ready = (): void => report({ type: 'ready', tid: Number(basename(readlinkSync('/proc/thread-self'))) });
let socket = -1;
let ordersSeen = 0;

function run(
  queue: Queue,
  carrier: { readonly isLull: boolean; round(): number; delay(): number },
  apply: (order: never) => void,
): void {
  const busyness = new Busyness();
  let idle = 0;
  let failed = false;
  queue.schedule(busyness.isBusy);
  for (;;) {
    if (Atomics.load(shared, SHARED.orders) !== ordersSeen && !obey(apply)) return;
    const count = carrier.round();
    if (busyness.note(count > 0 ? 1 : 0, queue.clock[0])) queue.schedule(busyness.isBusy);
    if (count > 0) {
      idle = 0;
      counters[OWN + COUNTER.batches]++;
      counters[OWN + COUNTER.packets] += count;
      if (carrier.isLull) queue.pause(LULL);
    } else if (idle++ < YIELDS) {
      queue.yield();
    } else {
      idle = 0;
      const delay = carrier.delay();
      if (delay < 1) {
        queue.pause(Math.max(SHORTEST_HOLD, Math.ceil(delay * 1000)));
        continue;
      }
      const events = queue.wait(Math.min(SLEEP, Math.floor(delay)));
      if ((events & EVENT.error) === 0) continue;
      // The TUN is gone, and every wait would be over at once: the main thread decides what becomes of us.
      if (!failed) report({ type: 'tunFailed', error: constants.errno.EIO });
      failed = true;
      Atomics.wait(shared, SHARED.orders, ordersSeen, SLEEP);
    }
  }
}

/** Takes the orders that have come. False after `stop`. */
function obey(apply: (order: never) => void): boolean {
  ordersSeen = Atomics.load(shared, SHARED.orders);
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
    const message = received.message as Order | Order[];
    for (const order of Array.isArray(message) ? message : [message]) {
      if (order.type === 'stop') return false;
      apply(order as never);
      if (order.type !== 'socket') continue;
      if (socket >= 0) report({ type: 'released', fd: socket });
      socket = order.fd;
    }
  }
  Atomics.store(shared, SHARED.obeyed, ordersSeen);
  return true;
}

if (direction === 'outbound') {
  const queue = captureOutbound(outboundQueue(tun, wakeFd, ring), capture, captureEnded);
  const outbound = new Outbound(queue, counters, report);
  ready();
  run(queue, outbound, (order: OutboundOrder) => outbound.apply(order));
} else {
  const queue = captureInbound(inboundQueue(tun, wakeFd, ring, outboundWakeFd), capture, captureEnded);
  const inbound = new Inbound(queue, counters, endpoints, shared, report);
  ready();
  run(queue, inbound, (order: InboundOrder) => inbound.apply(order));
}
