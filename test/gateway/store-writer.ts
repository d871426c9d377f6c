// A process that writes to a store and, where it is told so, is killed at its n-th write: just before it, or, of the bytes
// that it would write, after the first half. What it has been told is done it says, a line each. Without a number it is not
// killed, and says last how many writes there were.
//
//   node store-writer.js DATABASE [N [half]]
import { createRequire } from 'node:module';
import { End, idOf } from '../peering/ends.ts';

const [path, number, half] = process.argv.slice(2) as [string, string?, string?];
const fs = createRequire(import.meta.url)('node:fs') as Record<string, (...args: unknown[]) => unknown>;
const say = fs['writeSync'];
let writes = 0;

const WRITES = [
  'openSync',
  'writeSync',
  'ftruncateSync',
  'fsyncSync',
  'unlinkSync',
  'mkdirSync',
  'rmdirSync',
  'chmodSync',
];
for (const name of WRITES) {
  const original = fs[name];
  fs[name] = (...args: unknown[]): unknown => {
    if (++writes === Number(number)) {
      const [file, buffer, offset, length, position] = args;
      if (name === 'writeSync' && half !== undefined)
        original(file, buffer, offset, Math.ceil((length as number) / 2), position);
      process.kill(process.pid, 'SIGKILL');
    }
    return original(...args);
  };
}

const { PeeringStore } = await import('../../src/gateway/peering-store.ts');
const store = PeeringStore.open(path);
say(1, 'open\n');
const end = new End('a', ['172.31.0.0/16']);
for (let count = 1; count <= 2; count++) {
  end.request({ id: idOf(count), name: `p${count}` });
  const record = end.get(idOf(count));
  const change = { record, who: 'local api', at: count, what: { count, filler: 'x'.repeat(3000) } };
  store.apply([change, { ...change, what: { again: count } }], count === 2 ? [idOf(1)] : []);
  say(1, `${count}\n`);
}
store.close();
say(1, `closed ${writes}\n`);
