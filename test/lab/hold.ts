// Makes a lab with programs that run in it, tells its prefix, then does what its argument says: `wait` for a signal,
// `throw`, or `exit`. For the test that a lab goes, however its process ends.
import { setTimeout as sleep } from 'node:timers/promises';
import { twoVpcs } from './two-vpcs.ts';

const lab = await twoVpcs();
// By their argument they can be told from all others.
const sleeper = `sleep 1000.${process.pid}`;
lab.spawn('a', sleeper.split(' '));
// One that has left its starter's process group, as a daemon does.
await lab.run('b', ['sh', '-c', `setsid ${sleeper} >/dev/null 2>&1 &`]);
console.log(lab.prefix);
if (process.argv[2] === 'throw') throw new Error('a fault of a test');
if (process.argv[2] === 'exit') process.exit(3);
await sleep(60_000);
