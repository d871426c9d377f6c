import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { gatewayStatus, generatePsk, isthmusFiles, isthmusOn, writePrivate } from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { must, until, type Running } from '../lab/process.ts';
import { B, twoVpcs } from '../lab/two-vpcs.ts';

/** A slow machine's limit, in ms: BGP's own timers take seconds. */
const PATIENCE = 90_000;
const MANUAL = fileURLToPath(new URL('../../../docs/bgp.md', import.meta.url));

/** The manual's example, which is gateway A's, or the same as seen from the other end. */
function birdConfiguration(end: 'a' | 'b'): string {
  const example = readFileSync(MANUAL, 'utf8')
    .split('```\n')
    .find((part) => part.startsWith('router id'))!;
  if (end === 'a') return example;
  const swapped: Readonly<Record<string, string>> = {
    '10.8.0.1': '10.8.0.2',
    '10.8.0.2': '10.8.0.1',
    '65001': '65002',
    '65002': '65001',
  };
  return example.replaceAll(/10\.8\.0\.[12]|6500[12]/g, (word) => swapped[word]);
}

function bird(lab: Lab, end: 'a' | 'b'): Running {
  const file = writePrivate(lab, `bird-${end}.conf`, birdConfiguration(end));
  const path = (name: string): string => join(lab.directory, `bird-${end}.${name}`);
  return lab.spawn(`gw${end}`, ['bird', '-f', '-c', file, '-s', path('ctl'), '-P', path('pid')]);
}

async function learnt(lab: Lab, end: 'a' | 'b'): Promise<string> {
  return (await gatewayStatus(lab, end)).peers[0].learnt_routes.join(' ');
}

test('two BIRD daemons speak through the tunnel: what they learn is carried, and withdrawn with them', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a, b] = isthmusFiles(lab, await generatePsk(lab));
  a.gateway['subnets'] = ['172.31.0.0/16'];
  b.gateway['subnets'] = ['192.168.0.0/16'];
  Object.assign(a.peerings[0], { subnets: [], learn: { accept: ['192.168.0.0/16'] } });
  Object.assign(b.peerings[0], { subnets: [], learn: { accept: ['172.31.0.0/16'] } });
  const gateways = [isthmusOn(lab, 'gwb', b), isthmusOn(lab, 'gwa', a)];
  for (const gateway of gateways) {
    await until('a gateway', () => gateway.output().includes('is up') || !gateway.isRunning(), PATIENCE);
    t.true(gateway.isRunning(), gateway.tail());
  }
  const ping = async (): Promise<boolean> => (await lab.run('a', ['ping', '-c', '1', '-W', '1', B[4]])).code === 0;
  t.false(await ping());

  const daemons = [bird(lab, 'a'), bird(lab, 'b')];
  await until('routes at gateway A', async () => (await learnt(lab, 'a')) === '192.168.1.0/24', PATIENCE);
  await until('routes at gateway B', async () => (await learnt(lab, 'b')) === '172.31.1.0/24', PATIENCE);
  await until('an answer', ping, PATIENCE);

  // A route by hand is not a daemon's, and one beyond the accepted networks is nobody's. Another daemon's than BIRD's, which
  // removes what has its name and is not its own, once a minute.
  const { interface: tun } = await gatewayStatus(lab, 'a');
  await lab.ip('gwa', 'route', 'add', '192.168.77.0/24', 'via', '10.8.0.2', 'dev', tun);
  await lab.ip('gwa', 'route', 'add', '203.0.113.0/24', 'via', '10.8.0.2', 'dev', tun, 'proto', 'zebra');
  await lab.ip('gwa', 'route', 'add', '192.168.78.0/24', 'via', '10.8.0.2', 'dev', tun, 'proto', 'zebra');
  await until('a further route', async () => (await learnt(lab, 'a')).includes('192.168.78.0/24'), PATIENCE);
  t.is(await learnt(lab, 'a'), '192.168.1.0/24 192.168.78.0/24');
  await lab.ip('gwa', 'route', 'delete', '192.168.78.0/24');

  await daemons[1].stop();
  await until('gateway A to withdraw the routes', async () => (await learnt(lab, 'a')) === '', PATIENCE);
  await until('gateway B to withdraw the routes', async () => (await learnt(lab, 'b')) === '', PATIENCE);
  t.false(await ping());

  // The gateway's watch of the kernel's routes ends with it, also when it alone is killed.
  const { pid } = gateways[1];
  const watch = (await must(['pgrep', '-g', String(pid), '-f', '^ip monitor route'])).trim();
  t.regex(watch, /^\d+$/);
  process.kill(pid, 'SIGKILL');
  // Nobody may ask a process without a parent how it ended: it then stays in the list, as a zombie.
  const state = async (): Promise<string> => (await lab.run('gwb', ['ps', '-o', 'stat=', '-p', watch])).stdout;
  await until('the end of the watch', async () => /^(Z|$)/.test((await state()).trim()), PATIENCE);
});
