import test, { type ExecutionContext } from 'ava';
import { stringify } from 'yaml';
import {
  generatePsk,
  interfaceName,
  ISTHMUS,
  isthmusFiles,
  writePrivate,
  type GatewayFile,
} from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { remembered } from '../lab/look.ts';
import { until, type Running } from '../lab/process.ts';
import { B, GATEWAY_B, plug, twoVpcs } from '../lab/two-vpcs.ts';
import { masquerade } from '../lab/underlay.ts';

/** A second VPC of gateway B's friends: host `c`, whose gateway has this address. */
const C = '10.66.1.10';

async function pings(lab: Lab, from: string, to: string): Promise<boolean> {
  return (await lab.run(from, ['ping', '-c', '1', '-W', '1', to])).code === 0;
}

/** Pings all the while, every 100 ms, and tells at the end which were lost. */
function watching(lab: Lab, from: string, to: string): () => Promise<number[]> {
  const running = lab.spawn(from, ['ping', '-i', '0.1', to]);
  const answered = (): Set<number> =>
    new Set([...running.output().matchAll(/icmp_seq=(\d+) ttl/g)].map(([, number]) => Number(number)));
  return async () => {
    // Until a later one is answered those before may still be on their way.
    const before = Math.max(0, ...answered());
    await until('further answers', () => answered().has(before + 10));
    await running.stop();
    const seen = answered();
    return Array.from({ length: before + 10 }, (_, at) => at + 1).filter((number) => !seen.has(number));
  };
}

function up(lab: Lab, host: string, file: GatewayFile): Running {
  return lab.spawn(host, [
    ...ISTHMUS,
    'up',
    writePrivate(lab, `${String(file.gateway['name'])}.yaml`, stringify(file)),
  ]);
}

/** Turns gateway A's file into that of the gateway of host C's VPC, and B's into that of its other end. */
function forVpcC(lab: Lab, psk: string): [GatewayFile, GatewayFile] {
  const [c, b] = isthmusFiles(lab, psk);
  Object.assign(c.gateway, {
    name: 'gateway-c',
    interface: `${lab.prefix}c`,
    address: '10.8.1.1/30',
    subnets: ['10.66.0.0/16'],
  });
  Object.assign(b.gateway, { name: 'gateway-bc', interface: `${lab.prefix}bc`, address: '10.8.1.2/30', listen: 51821 });
  Object.assign(c.peerings[0], { subnets: ['192.168.0.0/16'], endpoint: `${GATEWAY_B[4]}:51821` });
  Object.assign(b.peerings[0], { name: 'vpc-c', subnets: ['10.66.0.0/16'] });
  return [c, b];
}

async function addHostC(lab: Lab, gateway: string): Promise<void> {
  await lab.host('c');
  const port = { host: gateway, name: 'vpc', addresses: ['10.66.1.1/24'] };
  await lab.link({ host: 'c', name: 'eth0', addresses: [`${C}/24`] }, port);
  await lab.ip('c', 'route', 'add', 'default', 'via', '10.66.1.1');
}

async function bothReached(t: ExecutionContext, lab: Lab): Promise<void> {
  await until('an answer to A', () => pings(lab, 'a', B[4]));
  await until('an answer to C', () => pings(lab, 'c', B[4]));
  t.false(await pings(lab, 'a', C), 'A and C are not joined');
}

test('two gateways on one host: each has its own peer, and one that is killed does not touch the other', async (t) => {
  const lab = await twoVpcs({ between: 'switch' });
  t.teardown(() => lab.dispose());
  await lab.host('gwc', { forward: true });
  await plug(lab, { host: 'gwc', name: 'wan', addresses: ['198.51.100.3/24'] });
  await addHostC(lab, 'gwc');
  const [a, b] = isthmusFiles(lab, await generatePsk(lab));
  const [c, bc] = forVpcC(lab, await generatePsk(lab));
  await lab.sysctl('gwb', { 'net.ipv4.ip_forward': 0 });
  const first = up(lab, 'gwb', b);
  await until('the first gateway', () => first.output().includes('is up'));
  let second = up(lab, 'gwb', bc);
  up(lab, 'gwa', a);
  up(lab, 'gwc', c);
  await bothReached(t, lab);
  const { code, stderr } = await lab.run('gwb', [...ISTHMUS, 'status']);
  t.is(code, 69);
  t.regex(stderr, /several gateways run here: .*name its interface/);

  const lost = watching(lab, 'a', B[4]);
  await remembered(`${lab.prefix}bc`);
  second.signal('SIGKILL');
  await second.ended;
  t.false(await pings(lab, 'c', B[4]));
  second = up(lab, 'gwb', bc);
  await until('an answer to C again', () => pings(lab, 'c', B[4]));
  t.deepEqual(await lost(), []);
  t.is(await first.stop(), 0);
  await until('an answer to C, as the host still forwards', () => pings(lab, 'c', B[4]));
});

test('two peers behind one address: each has its own session, and one that goes does not touch the other', async (t) => {
  const lab = await twoVpcs({ between: 'nat' });
  t.teardown(() => lab.dispose());
  await masquerade(lab, 'nat', 'wan', 30);
  await lab.host('gwc', { forward: true });
  await lab.link(
    { host: 'gwc', name: 'wan', addresses: ['10.64.1.2/24'] },
    { host: 'nat', name: 'gwc', addresses: ['10.64.1.1/24'] },
  );
  await lab.ip('gwc', 'route', 'add', 'default', 'via', '10.64.1.1');
  await addHostC(lab, 'gwc');
  const [a, b] = isthmusFiles(lab, await generatePsk(lab));
  const [c, bc] = forVpcC(lab, await generatePsk(lab));
  c.peerings[0]['endpoint'] = `${GATEWAY_B[4]}:51820`;
  a.peerings[0]['address'] = c.peerings[0]['address'] = '10.8.0.2';
  b.gateway['address'] = '10.8.0.2/24';
  b.peerings[0]['address'] = '10.8.0.1';
  b.peerings.push({ ...bc.peerings[0], address: '10.8.1.1' });
  const running = [up(lab, 'gwb', b), up(lab, 'gwa', a), up(lab, 'gwc', c)];
  await bothReached(t, lab);
  const endpoints = async (): Promise<string[]> => {
    const text = await lab.must('gwb', ['wg', 'show', interfaceName(lab, 'b'), 'endpoints']);
    return text
      .trim()
      .split('\n')
      .map((line) => line.split('\t')[1]);
  };
  const before = await endpoints();
  t.is(new Set(before).size, 2);
  for (const endpoint of before) t.regex(endpoint, /^198\.51\.100\.1:/);

  const lost = watching(lab, 'a', B[4]);
  running[2].signal('SIGKILL');
  await running[2].ended;
  up(lab, 'gwc', c);
  await until('an answer to C again', () => pings(lab, 'c', B[4]));
  t.deepEqual(await lost(), []);
  t.is((await endpoints())[0], before[0]);
  t.true(running[0].isRunning() && running[1].isRunning());
});
