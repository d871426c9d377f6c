// One gateway with 500 peerings: a hub, and half of its spokes in each of two processes. Pair N is 10.1.N.1 in the east and
// 10.2.N.1 in the west; each of the two reaches the other by a peering of its own, through the hub.
import test from 'ava';
import { stringify } from 'yaml';
import { callApi } from '../../src/control/api.ts';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import { ISTHMUS, newPsk, writePrivate } from '../lab/contenders.ts';
import { Lab } from '../lab/lab.ts';
import { apiPath, dropsOf, residentMebibytes } from '../lab/look.ts';
import { until, type Running } from '../lab/process.ts';
import { RawInterface } from '../lab/raw.ts';
import { ip, udp } from '../wire/packets.ts';
import { withHeaderSum } from '../wire/sums.ts';

const PAIRS = 250;
const SIDES = ['east', 'west'] as const;
/** Milliseconds that the slowest machine may need. */
const PATIENCE = 120_000;
const HUB_ADDRESS = '198.51.100.100';

type Side = (typeof SIDES)[number];

const network = (side: Side, pair: number): string => `10.${side === 'east' ? 1 : 2}.${pair}.0/24`;
const address = (side: Side, pair: number): string => `10.${side === 'east' ? 1 : 2}.${pair}.1`;
const other = (side: Side): Side => (side === 'east' ? 'west' : 'east');

test('500 peerings in one process: all sessions come up, every pair reaches the other through the hub, in 400 MB', async (t) => {
  t.timeout(300_000);
  const lab = new Lab();
  t.teardown(() => lab.dispose());
  const nameOf = (host: string): string => `${lab.prefix}${host[0]}`;
  for (const host of ['wan', 'hub', ...SIDES]) await lab.host(host);
  await lab.ip('wan', 'link', 'add', 'switch', 'type', 'bridge', 'mcast_snooping', '0');
  await lab.ip('wan', 'link', 'set', 'switch', 'up');
  for (const [index, side] of SIDES.entries()) {
    await lab.ip(side, 'address', 'add', `10.${index + 1}.0.0/16`, 'dev', 'lo');
  }
  for (const [host, own] of [
    ['hub', HUB_ADDRESS],
    ['east', '198.51.100.1'],
    ['west', '198.51.100.2'],
  ]) {
    await lab.link({ host, name: 'wan', addresses: [`${own}/24`] }, { host: 'wan', name: host });
    await lab.ip('wan', 'link', 'set', host, 'master', 'switch');
  }

  const pairs = Array.from({ length: PAIRS }, (_, pair) => pair);
  const psks = { east: pairs.map(newPsk), west: pairs.map(newPsk) };
  const acls = { open: [{ name: 'all', action: 'allow' }] };
  const gateway = (host: string, more: object): object => ({ name: host, interface: nameOf(host), ...more });
  const start = async (host: string, file: object): Promise<Running> => {
    const running = lab.spawn(host, [...ISTHMUS, 'up', writePrivate(lab, `${host}.yaml`, stringify(file))]);
    await until(`the gateway of ${host}`, () => running.output().includes('is up') || !running.isRunning(), PATIENCE);
    if (!running.isRunning()) throw new Error(running.tail());
    return running;
  };
  const status = async (host: string): Promise<GatewayStatus> =>
    (await callApi(apiPath(nameOf(host)), 'GET', '/v1/status')).body as GatewayStatus;
  const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

  const begun = performance.now();
  const hub = await start('hub', {
    gateway: gateway('hub', { address: '10.8.0.100/24', mode: 'hub' }),
    peerings: SIDES.flatMap((side) =>
      pairs.map((pair) => {
        const keys = { role: 'server', psk: psks[side][pair] };
        return { name: `${side}-${pair}`, ...keys, subnets: network(side, pair), acl: 'open' };
      }),
    ),
    acls,
  });
  t.log(`up after ${seconds(begun)}, ${residentMebibytes(hub).toFixed(0)} MiB`);
  const calling = performance.now();
  await Promise.all(
    SIDES.map((side) =>
      start(side, {
        gateway: gateway(side, {
          address: `10.8.0.${side === 'east' ? 1 : 2}/24`,
          subnets: `10.${side === 'east' ? 1 : 2}.0.0/16`,
        }),
        peerings: pairs.map((pair) => {
          const keys = { role: 'client', psk: psks[side][pair], endpoint: `${HUB_ADDRESS}:51820` };
          return { name: `hub-${pair}`, ...keys, keepalive: '25s', subnets: network(other(side), pair), acl: 'open' };
        }),
        acls,
      }),
    ),
  );
  t.log(`both sides are up after ${seconds(calling)}`);
  const connected = async (): Promise<number> =>
    (await status('hub')).peers.filter((peer) => peer.last_handshake_s !== null).length;
  await until('500 sessions', async () => (await connected()) === 2 * PAIRS, PATIENCE);
  t.log(`500 sessions ${seconds(calling)} after the first call`);

  const taps = {
    east: await RawInterface.open(lab, 'east', nameOf('east')),
    west: await RawInterface.open(lab, 'west', nameOf('west')),
  };
  t.teardown(() => SIDES.forEach((side) => taps[side].close()));
  for (const side of SIDES) {
    const packets = pairs.map((pair) =>
      withHeaderSum(ip(address(side, pair), address(other(side), pair), 17, udp(7000, 7001, 100))),
    );
    const missing = (): Uint8Array[] => packets.filter((packet) => !taps[other(side)].has(packet));
    taps[side].send(...packets);
    await until(`all packets from the ${side}`, () => missing().length === 0, PATIENCE);
  }

  const after = await status('hub');
  t.true(after.peers.every((peer) => peer.rx_packets > 0 && peer.tx_packets > 0));
  t.log(
    `handshakes: ${after.peers.reduce((sum, peer) => sum + peer.handshakes, 0)}, drops: ${JSON.stringify(dropsOf(after))}`,
  );
  const memory = residentMebibytes(hub);
  t.log(`${memory.toFixed(0)} MiB; ${seconds(begun)} in all`);
  t.true(memory < 400, `${memory} MiB`);
});
