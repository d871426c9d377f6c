// `npm run demo`: two VPCs on this machine, joined by two ordinary gateways, each with an ordinary configuration file.
// Shows a ping, a speed, and a rule that refuses a packet; then removes all it made.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connected, gatewayStatus, interfaceName, ISTHMUS, startNothing, writePrivate } from './contenders.ts';
import { iperf3, pingTime } from './iperf3.ts';
import { hostsOf, removeLabs, type Lab } from './lab.ts';
import { must, until, type Running } from './process.ts';
import { B, GATEWAY_B, twoVpcs } from './two-vpcs.ts';

const NAME = 'istdemo';
const PREFIX = `${NAME}-`;
const EX_USAGE = 64;
const EX_NOPERM = 77;
const TELNET = '23';
const ROW = 22;

const gateways: Running[] = [];
let doing = '';
let interrupted = false;

/** One step with its line of progress; what fails is named by it. */
async function step<T>(what: string, action: () => Promise<T>): Promise<T> {
  doing = what;
  const start = performance.now();
  if (process.stdout.isTTY) process.stdout.write(`         ${what} ...`);
  const result = await action();
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5);
  console.log(`${process.stdout.isTTY ? '\r\x1b[K' : ''}${seconds} s  ${what}`);
  return result;
}

function writeConfigurations(lab: Lab, psk: string): string[] {
  writePrivate(lab, 'peering.psk', psk);
  const a = `gateway:
  name: vpc-a
  interface: ${interfaceName(lab, 'a')}
  address: 10.8.0.1/30
  subnets: [172.31.0.0/16]
peerings:
  - name: vpc-b
    role: client
    psk: {file: peering.psk}
    endpoint: ${GATEWAY_B[4]}:51820
    subnets: [192.168.0.0/16]
    acl: open
acls:
  open:
    - {name: all, action: allow, protocol: all}
`;
  const b = `gateway:
  name: vpc-b
  interface: ${interfaceName(lab, 'b')}
  address: 10.8.0.2/30
  subnets: [192.168.0.0/16]
peerings:
  - name: vpc-a
    role: server
    psk: {file: peering.psk}
    subnets: [172.31.0.0/16]
    acl: no-telnet
acls:
  no-telnet:
    - {name: refuse-telnet, action: deny, direction: in, protocol: tcp, ports: ${TELNET}}
    - {name: rest, action: allow, protocol: all}
`;
  return [writePrivate(lab, 'a.yaml', a), writePrivate(lab, 'b.yaml', b)];
}

/** Tries the forbidden port, which is open, and gives how often the rule was counted. */
async function refusal(lab: Lab): Promise<number> {
  const server = lab.spawn('b', ['iperf3', '--server', '--port', TELNET]);
  const connect = ['iperf3', '--client', B[4], '--port', TELNET, '--connect-timeout', '1500', '--bytes', '1'];
  await until(
    'a server on the forbidden port',
    async () => (await lab.must('b', ['ss', '-Htln', `sport = ${TELNET}`])) !== '',
  );
  if ((await lab.run('gwb', connect)).code !== 0) throw new Error('the forbidden port cannot even be had from nearby');
  if ((await lab.run('a', connect)).code === 0) throw new Error('the forbidden port was reached');
  const denied = async (): Promise<number> =>
    (await gatewayStatus(lab, 'b')).rules.find((rule) => rule.name === 'refuse-telnet')?.denied ?? 0;
  await until('the rule to be counted', async () => (await denied()) > 0);
  await server.stop();
  return denied();
}

async function show(lab: Lab): Promise<string[]> {
  const direct = await step('what the wire can do: ping and iperf3 with no tunnel', async () => {
    const nothing = await startNothing(lab);
    const measured = [await pingTime(lab), (await iperf3(lab, { seconds: 2 })).mbps];
    await nothing.stop();
    return measured;
  });
  const files = await step('a pre-shared key, and a configuration file for each gateway', async () => {
    const psk = await must([...ISTHMUS, 'genpsk']);
    return writeConfigurations(lab, psk);
  });
  await step('both gateways up, first ping answered', async () => {
    // The one that is called first.
    for (const n of [1, 0]) {
      const host = ['gwa', 'gwb'][n];
      const gateway = lab.spawn(host, [...ISTHMUS, 'up', files[n]], { log: join(lab.directory, `${host}.log`) });
      gateways.push(gateway);
      await until(`the start of ${host}`, () => gateway.output().includes('is up') || !gateway.isRunning());
    }
    await connected(lab, { processes: gateways });
  });
  const milliseconds = await step('ping from host a to host b', () => pingTime(lab));
  const speed = await step('iperf3 from host a to host b', () => iperf3(lab, { seconds: 3 }));
  const denied = await step(`host a tries tcp port ${TELNET} of host b`, () => refusal(lab));
  const [peer] = (await step('isthmus status', () => gatewayStatus(lab, 'b'))).peers;

  const row = (name: string, ...cells: string[]): string =>
    `  ${name.padEnd(ROW)}${cells.map((cell) => cell.padEnd(ROW)).join('')}`.trimEnd();
  const mbps = (value: number): string => `${Math.round(value).toLocaleString('en-US')} Mbit/s`;
  const ms = (value: number): string => `${value.toFixed(3)} ms`;
  const dropped = Object.entries(peer.drops).filter(([, count]) => count > 0);
  return [
    row('', 'through the tunnel', 'without one'),
    row('ping, average', ms(milliseconds), ms(direct[0])),
    row('iperf3, one stream', mbps(speed.mbps), mbps(direct[1])),
    row('sealed with', peer.cipher ?? '?'),
    row('peer seen at', peer.endpoint ?? '?'),
    row('refused', `tcp port ${TELNET}, by rule refuse-telnet: ${denied} packets`),
    row('drops by reason', dropped.map(([reason, count]) => `${reason} ${count}`).join(', ') || 'none'),
  ];
}

function lookAround(lab: Lab): string {
  return `  It is all still there. To look around, as root:
    ip netns exec ${lab.namespace('a')} ping ${B[4]}
    ip netns exec ${lab.namespace('gwa')} ip route
    ${ISTHMUS.join(' ')} status ${interfaceName(lab, 'b')} --watch
    ip netns exec ${lab.namespace('gwa')} tcpdump -ni wan
    less ${lab.directory}/b.yaml
    tail -f ${lab.directory}/gwb.log
  To remove it:
    npm run demo -- --remove
`;
}

const PICTURE = `
  host a ───── gateway A ═══ 198.51.100.0/24 ═══ gateway B ───── host b
  172.31.1.10                                                192.168.1.10
`;

async function demo(keep: boolean): Promise<number> {
  let lab: Lab | undefined;
  try {
    console.log(`Isthmus: two VPCs, joined by one pre-shared key\n${PICTURE}`);
    lab = await step('four hosts, in network namespaces', () => twoVpcs({ name: NAME }));
    const report = await show(lab);
    if (keep) lab.keep();
    else await step('all removed', lab.dispose.bind(lab));
    console.log(`\n${report.join('\n')}\n`);
    if (keep) console.log(lookAround(lab));
    return 0;
  } catch (error) {
    if (interrupted) return new Promise(() => undefined); // The lab is being removed, and ends the process then.
    console.log(`${process.stdout.isTTY ? '\r\x1b[K' : ''} FAILED  ${doing}: ${(error as Error).message}`);
    for (const gateway of gateways) console.log(`\n  ${gateway.log}:\n${gateway.tail().replace(/^/gm, '    ')}`);
    await lab?.dispose();
    return 1;
  }
}

async function main(): Promise<number> {
  const options = { keep: { type: 'boolean', default: false }, remove: { type: 'boolean', default: false } } as const;
  let values;
  try {
    ({ values } = parseArgs({ options }));
  } catch {
    console.error('usage: npm run demo -- [--keep | --remove]');
    return EX_USAGE;
  }
  if (process.getuid?.() !== 0) {
    console.error('The demo makes network namespaces, which only root may: sudo npm run demo');
    return EX_NOPERM;
  }
  if (values.remove) {
    console.log(hostsOf(PREFIX).length > 0 ? 'The demo is removed.' : 'There is no demo to remove.');
    removeLabs(PREFIX);
    return 0;
  }
  if (hostsOf(PREFIX).length > 0) {
    console.error('A demo is up already. To remove it: npm run demo -- --remove');
    return 1;
  }
  const stop = (): void => {
    interrupted = true;
    console.log('\n  Interrupted: removing what was made.');
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  return demo(values.keep);
}

process.exitCode = await main();
