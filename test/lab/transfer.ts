// TCP connections between the private hosts whose content is checked.
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.ts';
import { until, type Running } from './process.ts';
import { A, B, type Family } from './two-vpcs.ts';

const program = [process.execPath, fileURLToPath(new URL('./stream.js', import.meta.url))] as const;
const PORT = 7001;

export interface TransferOptions {
  readonly family?: Family;
  /** The sender; `a` when not given. */
  readonly from?: 'a' | 'b';
  /** How many bytes; until it is finished when not given. */
  readonly bytes?: number;
  /** Bytes a second; as fast as it goes when not given. */
  readonly rate?: number;
  /** The receiver's TCP port, where there are several connections at once. */
  readonly port?: number;
}

/** What became of a connection. */
export interface Transferred {
  /** Whether all that was sent arrived, as it was sent. */
  readonly intact: boolean;
  readonly bytes: number;
  readonly seconds: number;
  /** The longest time without a byte, in seconds of `runningTime`, as the receiver saw it. */
  readonly pause: number;
}

/** A connection that carries data. */
export interface Transfer {
  /** Sends no more, waits at most so many milliseconds for what is under way to arrive, and gives the outcome. */
  readonly finish: (timeout?: number) => Promise<Transferred>;
  /** The same without telling the sender to stop: for a transfer of so many bytes. */
  readonly finished: (timeout?: number) => Promise<Transferred>;
}

interface Account {
  readonly sent: { readonly bytes: number; readonly crc: number };
  readonly received: { readonly bytes: number; readonly crc: number; readonly pause: number; readonly seconds: number };
}

/** Opens a connection from one private host to the other and begins to send. */
export async function startTransfer(lab: Lab, options: TransferOptions = {}): Promise<Transfer> {
  const { family = 4, from = 'a', port = PORT, bytes, rate } = options;
  const receiver = lab.spawn(from === 'a' ? 'b' : 'a', [...program, '--listen', String(port)]);
  await until('the receiver', () => receiver.output().includes('ready'));
  const argv = [...program, '--to', from === 'a' ? B[family] : A[family], '--port', String(port)];
  if (bytes !== undefined) argv.push('--bytes', String(bytes));
  if (rate !== undefined) argv.push('--rate', String(rate));
  const sender = lab.spawn(from, argv);
  await until('the connection', () => sender.output().includes('connected'));
  const finished = (timeout = 60_000): Promise<Transferred> => outcome(sender, receiver, timeout);
  return {
    finished,
    finish: (timeout) => {
      sender.signal('SIGTERM');
      return finished(timeout);
    },
  };
}

async function outcome(sender: Running, receiver: Running, timeout: number): Promise<Transferred> {
  await until('the end of the transfer', () => !sender.isRunning(), timeout);
  if ((await sender.ended) !== 0) throw new Error(`the transfer failed: ${sender.output()} ${receiver.output()}`);
  const { sent, received } = JSON.parse(sender.output().split('\n')[1]) as Account;
  const { bytes, crc, pause, seconds } = received;
  return { intact: bytes === sent.bytes && crc === sent.crc, bytes, seconds, pause };
}

/** Sends so many bytes as fast as it goes. */
export async function transfer(
  lab: Lab,
  options: TransferOptions & { readonly bytes: number; readonly timeout?: number },
): Promise<Transferred> {
  return (await startTransfer(lab, options)).finished(options.timeout);
}
