// The reference topology: two VPCs, each a private host and its gateway, and the network between the gateways.
//
//   a 172.31.1.10 ── gwa ── 198.51.100.0/24 ── gwb ── b 192.168.1.10
//   fd00:a:1::10            2001:db8::/64             fd00:b:1::10
import { Lab } from './lab.ts';

export type Family = 4 | 6;

/** What is where, by address family. */
export const A = { 4: '172.31.1.10', 6: 'fd00:a:1::10' } as const;
export const B = { 4: '192.168.1.10', 6: 'fd00:b:1::10' } as const;
export const GATEWAY_A = { 4: '198.51.100.1', 6: '2001:db8::1' } as const;
export const GATEWAY_B = { 4: '198.51.100.2', 6: '2001:db8::2' } as const;
export const SUBNETS_A = { 4: '172.31.0.0/16', 6: 'fd00:a::/32' } as const;
export const SUBNETS_B = { 4: '192.168.0.0/16', 6: 'fd00:b::/32' } as const;
/** The switch has an address too, for what runs in the middle: a relay, or one who sends what he should not. */
export const MIDDLE = { 4: '198.51.100.254', 6: '2001:db8::254' } as const;

export interface TwoVpcsOptions {
  /**
   * What is between the gateways' `wan` interfaces: a cable; a switch, host `wan`, with a port for each gateway (`gwa`,
   * `gwb`) and room for more; or the switch with a router, host `nat`, before gateway A, which is then 10.64.0.2
   * (IPv4 only) and is seen as 198.51.100.1.
   */
  readonly between?: 'cable' | 'switch' | 'nat';
  /** MTU of the underlay; the VPCs' own links are 1500, or as wide where this is wider. */
  readonly mtu?: number;
  /** The lab's name, where it is to be a fixed one. */
  readonly name?: string;
}

const both = (family4: string, family6: string): string[] => [`${family4}/24`, `${family6}/64`];

/** Builds the topology, without a tunnel. The private hosts' default routes lead to their gateways. */
export async function twoVpcs(options: TwoVpcsOptions = {}): Promise<Lab> {
  const { between = 'cable', mtu = 1500 } = options;
  const lab = new Lab(options.name);
  try {
    for (const name of ['a', 'b']) await lab.host(name);
    for (const name of ['gwa', 'gwb']) await lab.host(name, { forward: true });
    const inner = Math.max(mtu, 1500);
    for (const [host, net4, net6] of [
      ['a', '172.31.1', 'fd00:a:1:'],
      ['b', '192.168.1', 'fd00:b:1:'],
    ]) {
      const gateway = { host: `gw${host}`, name: 'vpc', addresses: both(`${net4}.1`, `${net6}:1`) };
      await lab.link({ host, name: 'eth0', addresses: both(`${net4}.10`, `${net6}:10`) }, gateway, inner);
      await lab.ip(host, 'route', 'add', 'default', 'via', `${net4}.1`);
      await lab.ip(host, '-6', 'route', 'add', 'default', 'via', `${net6}:1`);
    }

    const wanA = { host: 'gwa', name: 'wan', addresses: both(GATEWAY_A[4], GATEWAY_A[6]) };
    const wanB = { host: 'gwb', name: 'wan', addresses: both(GATEWAY_B[4], GATEWAY_B[6]) };
    if (between === 'cable') {
      await lab.link(wanA, wanB, mtu);
      return lab;
    }
    await lab.host('wan');
    await lab.ip('wan', 'link', 'add', 'switch', 'mtu', String(mtu), 'type', 'bridge', 'mcast_snooping', '0');
    await lab.ip('wan', 'link', 'set', 'switch', 'up');
    for (const address of both(MIDDLE[4], MIDDLE[6])) await lab.ip('wan', 'address', 'add', address, 'dev', 'switch');
    await plug(lab, wanB, mtu);
    if (between === 'nat') {
      await lab.host('nat', { forward: true });
      await plug(lab, { ...wanA, host: 'nat' }, mtu);
      const outside = { host: 'nat', name: 'gwa', addresses: ['10.64.0.1/24'] };
      await lab.link({ host: 'gwa', name: 'wan', addresses: ['10.64.0.2/24'] }, outside, mtu);
      await lab.ip('gwa', 'route', 'add', 'default', 'via', '10.64.0.1');
    } else {
      await plug(lab, wanA, mtu);
    }
    return lab;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/** Connects a host's interface to the switch, whose port has the host's name. */
export async function plug(lab: Lab, port: Parameters<Lab['link']>[0], mtu = 1500): Promise<void> {
  await lab.link(port, { host: 'wan', name: port.host }, mtu);
  await lab.ip('wan', 'link', 'set', port.host, 'master', 'switch');
}
