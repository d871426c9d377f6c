import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { callApi } from '../../src/control/api.ts';
import { RUN_FOLDER } from '../../src/gateway/host.ts';
import {
  gatewayStatus,
  generatePsk,
  interfaceName,
  isthmusFiles,
  ISTHMUS,
  startGateways,
  writeGatewayFile,
  type GatewayFile,
} from '../lab/contenders.ts';
import { faultsOf } from '../control/api-schema.ts';
import type { Lab } from '../lab/lab.ts';
import { startNumbered } from '../lab/numbered-stream.ts';
import { until, type Running } from '../lab/process.ts';
import { changedFile, reload } from '../lab/reloads.ts';
import { twoVpcs } from '../lab/two-vpcs.ts';

/** How many reloads under load; more of them by the environment variable RELOADS. */
const RELOADS = Number(process.env['RELOADS'] ?? '200');

async function laboratory(t: ExecutionContext): Promise<{ lab: Lab; file: GatewayFile; gateway: Running }> {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const files = isthmusFiles(lab, await generatePsk(lab));
  const { processes } = await startGateways(lab, files);
  const [file] = files;
  // With a second peering nobody's overlay address can be guessed.
  file.peerings[0]['address'] = ['10.8.0.2', 'fd00:8::2'];
  return { lab, file, gateway: processes[0] };
}

const isthmus = (lab: Lab, ...words: string[]) => lab.run('gwa', [...ISTHMUS, ...words, interfaceName(lab, 'a')]);

test(`${RELOADS} reloads that change all about it lose nothing of an unchanged peering`, async (t) => {
  const { lab, file } = await laboratory(t);
  const psk = await generatePsk(lab);
  const socket = `${RUN_FOLDER}/${interfaceName(lab, 'a')}.sock`;
  const stream = await startNumbered(lab);
  const before = (await gatewayStatus(lab, 'a')).peers[0];
  for (let number = 0; number < RELOADS; number++) {
    const next = changedFile(file, number, psk);
    if (number % 5 === 0) next.gateway['mtu'] = 1400 + (number % 20);
    writeGatewayFile(lab, 'gwa', next);
    const answer = await reload(socket);
    if (number === 0) t.deepEqual(faultsOf('POST /v1/reload', answer), []);
  }
  for (const way of await stream.finish()) {
    t.log(`${way.sent} datagrams`);
    t.deepEqual(way, { sent: way.sent, received: way.sent, duplicates: 0, missing: [] });
  }
  t.deepEqual(faultsOf('GET /v1/status', await callApi(socket, 'GET', '/v1/status')), []);
  const after = (await gatewayStatus(lab, 'a')).peers.find(({ name }) => name === before.name)!;
  t.true(after.tx_packets > before.tx_packets, 'its counters go on');
});

test('reload says what it changes, and with --dry-run changes nothing', async (t) => {
  const { lab, file } = await laboratory(t);
  writeGatewayFile(lab, 'gwa', file);
  t.is((await isthmus(lab, 'reload')).stdout, 'nothing to change\n');
  file.peerings[0]['keepalive'] = '25s';
  file.peerings.push({
    ...{ name: 'other', role: 'client', psk: await generatePsk(lab), address: '10.9.0.1', subnets: ['10.99.0.0/16'] },
  });
  writeGatewayFile(lab, 'gwa', file);
  const expected = '+ peerings[other]\n~ peerings[vpc-b].keepalive: 0s -> 25s\n';
  for (const words of [['--dry-run'], ['--dry-run'], []]) {
    t.deepEqual(await isthmus(lab, 'reload', ...words), { code: 0, stdout: expected, stderr: '' });
  }
  t.deepEqual(JSON.parse((await isthmus(lab, 'reload', '--json')).stdout), { changes: [] });
  t.regex(await lab.must('gwa', ['ip', 'route']), /10\.99\.0\.0\/16/);
  file.gateway['rekey'] = '60s';
  writeGatewayFile(lab, 'gwa', file);
  const refused = await isthmus(lab, 'reload', '--dry-run');
  t.regex(refused.stdout, /^~ gateway\.rekey: .* can't change while the gateway runs\n$/);
  t.is(refused.code, 1);
});

test('a file that cannot be changed to is answered with its place, and changes nothing', async (t) => {
  const { lab, file, gateway } = await laboratory(t);
  writeGatewayFile(lab, 'gwa', file);
  await isthmus(lab, 'reload');
  const host = async () => ({
    routes: await lab.must('gwa', ['ip', 'route']),
    routes6: await lab.must('gwa', ['sh', '-c', 'ip -6 route | grep -v fe80:']),
    addresses: await lab.must('gwa', ['ip', 'address', 'show', 'dev', interfaceName(lab, 'a')]),
    sockets: await lab.must('gwa', ['sh', '-c', "ss -Hlun | awk '{print $4}'"]),
  });
  const stream = await startNumbered(lab);
  const before = await host();
  const attempt = async (change: (file: GatewayFile) => void, code: number, message: RegExp): Promise<void> => {
    const bad = structuredClone(file);
    // What would be changed before the fault is met.
    bad.acls = {};
    delete bad.peerings[0]['acl'];
    bad.gateway['address'] = ['10.8.0.1/30', 'fd00:8::1/126', '10.77.0.1/24'];
    change(bad);
    writeGatewayFile(lab, 'gwa', bad);
    const outcome = await isthmus(lab, 'reload');
    t.is(outcome.code, code, outcome.stderr);
    t.regex(outcome.stderr, message);
    t.deepEqual(await host(), before);
  };
  await attempt(
    (bad) => (bad.peerings[0]['subnets'] = ['192.168.0.1/16']),
    78,
    /gwa\.yaml:\d+:\d+: peerings\[0\]\.subnets.*192\.168\.0\.0\/16.*ISTHMUS_CONFIG_CIDR/,
  );
  await attempt(
    (bad) => Object.assign(bad.gateway, { rekey: '60s', flows: 2048 }),
    1,
    /gateway\.rekey, gateway\.flows/,
  );

  const holder = fileURLToPath(new URL('../lab/numbered.js', import.meta.url));
  const held = lab.spawn('gwa', [process.execPath, holder, '--listen', '51999']);
  await until('the port is held', async () => /:51999\b/.test(await lab.must('gwa', ['ss', '-Hlun'])));
  before.sockets = (await host()).sockets;
  await attempt((bad) => (bad.gateway['listen'] = 51999), 1, /cannot listen on UDP port 51999.*ISTHMUS_LISTEN/);

  const psk = await generatePsk(lab);
  // A route that a daemon has made to what a new peering is to have is as good, and stays the daemon's.
  await lab.ip('gwa', 'route', 'add', '10.98.0.0/16', 'dev', interfaceName(lab, 'a'), 'proto', 'bird');
  before.routes = (await host()).routes;
  await attempt(
    (bad) => {
      bad.gateway['listen'] = 51999;
      const subnets = ['10.97.0.0/16', '10.98.0.0/16'];
      bad.peerings.push({ name: 'other', role: 'client', psk, address: '10.9.0.1', subnets });
    },
    1,
    /cannot listen on UDP port 51999.*ISTHMUS_LISTEN/,
  );

  // Somebody else's route to what a new peering is to have: the kernel refuses a second one.
  await lab.ip('gwa', 'route', 'add', '10.99.0.0/16', 'dev', 'vpc');
  before.routes = (await host()).routes;
  await attempt(
    (bad) => {
      bad.gateway['listen'] = 51888;
      bad.peerings.push({ name: 'other', role: 'client', psk, address: '10.9.0.1', subnets: ['10.99.0.0/16'] });
    },
    1,
    /10\.99\.0\.0\/16.*File exists.*ISTHMUS_NETWORK/s,
  );
  await held.stop();
  for (const way of await stream.finish()) t.deepEqual(way.missing, []);
  t.true(gateway.isRunning());
});
