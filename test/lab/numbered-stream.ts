// A stream of numbered datagrams between the private hosts, both ways at once.
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.ts';
import type { Received } from './numbered.ts';
import { until } from './process.ts';
import { A, B } from './two-vpcs.ts';

const program = [process.execPath, fileURLToPath(new URL('./numbered.js', import.meta.url))] as const;
const PORT = 7100;
/** Low enough for every queue of a slow machine. */
const RATE = 300;

/** Begins to send both ways. `finish` stops and gives what became of each: from `a`, then from `b`. */
export async function startNumbered(lab: Lab): Promise<{ finish: () => Promise<Received[]> }> {
  const ways = await Promise.all(
    (
      [
        ['a', 'b', B[4]],
        ['b', 'a', A[4]],
      ] as const
    ).map(async ([from, to, address]) => {
      const receiver = lab.spawn(to, [...program, '--listen', String(PORT)]);
      await until('the receiver', () => receiver.output().includes('ready'));
      const sender = lab.spawn(from, [...program, '--to', address, '--port', String(PORT), '--rate', String(RATE)]);
      return { sender, receiver };
    }),
  );
  const finish = (): Promise<Received[]> =>
    Promise.all(
      ways.map(async ({ sender, receiver }) => {
        sender.signal('SIGTERM');
        await until('what was received', () => receiver.output().includes('{'), 30_000);
        return JSON.parse(/\{.*\}/.exec(receiver.output())![0]) as Received;
      }),
    );
  return { finish };
}
