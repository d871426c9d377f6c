// A process that writes to a store and, where it is told so, is killed at its n-th write: just before it, or, of the bytes
// that it would write, after the first half. What it has been told is done it says, a line each. Without a number it is not
// killed, and says last how many writes there were.
//
//   node store-writer.js DATABASE [N [half]]
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { PeeringStore } from '../../src/gateway/peering-store.ts';
import type { PeeringRecord } from '../../src/peering/record.ts';

const [path, number, half] = process.argv.slice(2) as [string, string?, string?];
const fs = createRequire(import.meta.url)('node:fs') as Record<string, (...args: unknown[]) => unknown>;
const say = fs['writeSync'];
let writes = 0;

const WRITES = [
  ...['openSync', 'writeSync', 'writeFileSync', 'copyFileSync', 'linkSync', 'renameSync', 'rmSync', 'unlinkSync'],
  ...['ftruncateSync', 'fsyncSync', 'mkdirSync', 'rmdirSync', 'chmodSync'],
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
syncBuiltinESMExports();

const store = PeeringStore.open(path);
say(1, 'open\n');
// All that a store knows of a record is its id.
const record = { id: 'pcx-1', createdAt: 1 } as PeeringRecord;
const change = { record, who: 'local api', at: 1, what: { filler: 'x'.repeat(3000) } };
store.apply([change, { ...change, what: { again: true } }]);
say(1, 'applied\n');
store.close();
say(1, `closed ${writes}\n`);
