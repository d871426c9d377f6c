// A hub and four spokes, each a host with its gateway on it, joined by a switch. Spoke N has 10.N.0.1 and fd00:N::1 as
// its VPC, 10.8.0.N and fd00:8::N as its overlay address; the hub 10.100.0.1, fd00:100::1, 10.8.0.100, fd00:8::100.
import { stringify } from 'yaml';
import { ISTHMUS, newPsk, writePrivate } from './contenders.ts';
import { Lab } from './lab.ts';
import { execute, until, type Result } from './process.ts';

export const SPOKES = [1, 2, 3, 4] as const;
export const HUB = 100;
/** The overlay's MTU at the hub, which is less than the spokes'. */
export const HUB_MTU = 1300;

export const vpc = (n: number) => ({ 4: `10.${n}.0.1`, 6: `fd00:${n}::1` }) as const;
/** The host that `HubLab.addHost` puts behind a spoke. */
export const behind = (n: number) => ({ 4: `10.${n}.9.2`, 6: `fd00:${n}:9::2` }) as const;
export const subnets = (n: number): string[] => [`10.${n}.0.0/16`, `fd00:${n}::/32`];
const overlay = (n: number): string[] => [`10.8.0.${n}`, `fd00:8::${n}`];
const hostOf = (n: number): string => (n === HUB ? 'hub' : `spoke${n}`);

export interface HubFile {
  gateway: Record<string, unknown>;
  peerings: Record<string, unknown>[];
  route_tables?: Record<string, unknown>;
  acls: Record<string, Record<string, unknown>[]>;
}

const acls = { open: [{ name: 'all', action: 'allow', protocol: 'all' }] };

export class HubLab {
  readonly lab = new Lab();

  /** Builds hosts and switch. */
  static async create(): Promise<HubLab> {
    const hub = new HubLab();
    try {
      await hub.#build();
      return hub;
    } catch (error) {
      await hub.lab.dispose();
      throw error;
    }
  }

  async #build(): Promise<void> {
    const { lab } = this;
    await lab.host('wan');
    await lab.ip('wan', 'link', 'add', 'switch', 'type', 'bridge', 'mcast_snooping', '0');
    await lab.ip('wan', 'link', 'set', 'switch', 'up');
    for (const n of [...SPOKES, HUB]) {
      const host = hostOf(n);
      await lab.host(host);
      await lab.link({ host, name: 'wan', addresses: [`198.51.100.${n}/24`] }, { host: 'wan', name: host });
      await lab.ip('wan', 'link', 'set', host, 'master', 'switch');
      for (const [family, length] of [
        [4, 32],
        [6, 128],
      ] as const) {
        await lab.ip(host, 'address', 'add', `${vpc(n)[family]}/${length}`, 'dev', 'lo');
      }
    }
  }

  interfaceOf(n: number): string {
    return `${this.lab.prefix}${n === HUB ? 'h' : n}`;
  }

  /** Starts all gateways, the hub's file changed by `change`, and waits until each spoke has a session. */
  async start(change: (file: HubFile) => void): Promise<void> {
    const psks = new Map(SPOKES.map((n) => [n, newPsk()]));
    const peerings = SPOKES.map((n) => {
      const name = hostOf(n);
      return { name, role: 'server', psk: psks.get(n), subnets: subnets(n), address: overlay(n), acl: 'open' };
    });
    const file: HubFile = { gateway: this.#gateway(HUB, HUB_MTU), peerings, acls };
    change(file);
    await this.#up(HUB, file);
    await Promise.all(
      SPOKES.map(async (n) => {
        const others = [...SPOKES, HUB].filter((other) => other !== n);
        const reached = others.flatMap(subnets);
        const hub = { name: 'hub', role: 'client', psk: psks.get(n), endpoint: `198.51.100.${HUB}:51820`, acl: 'open' };
        const peering = { ...hub, subnets: reached, address: others.flatMap(overlay), keepalive: '1s' };
        await this.#up(n, { gateway: this.#gateway(n, 1420), peerings: [peering], acls });
        await until(`spoke ${n}`, async () => (await this.ping(n, HUB, 4, '-W', '1')).code === 0, 60_000);
      }),
    );
  }

  /** Pings `to`'s VPC address from `from`'s, once. For an answer that is not to come: `-W` and few seconds. */
  ping(from: number, to: number, family: 4 | 6, ...options: string[]): Promise<Result> {
    const addresses = ['-I', vpc(from)[family], ...options, vpc(to)[family]];
    return this.lab.run(hostOf(from), ['ping', `-${family}`, '-c', '1', '-W', '30', ...addresses]);
  }

  /** A command of ours that asks the hub's gateway. */
  ask(command: string, ...options: string[]): Promise<Result> {
    return execute([...ISTHMUS, command, this.interfaceOf(HUB), ...options]);
  }

  /** 10 MB by iperf3 over TCP between two spokes; gives the bytes that arrived. */
  transfer(from: number, to: number, family: 4 | 6): Promise<number> {
    return this.#transfer(hostOf(from), vpc(from)[family], hostOf(to), vpc(to)[family]);
  }

  /** Puts a host behind a spoke, by a link of 9001 bytes, as they are in a VPC: 10.N.9.2 and fd00:N:9::2. */
  async addHost(n: number): Promise<void> {
    const { lab } = this;
    const both = (last: number): string[] => [`10.${n}.9.${last}/24`, `fd00:${n}:9::${last}/64`];
    await lab.host(`host${n}`);
    const gateway = { host: hostOf(n), name: 'vpc', addresses: both(1) };
    await lab.link({ host: `host${n}`, name: 'eth0', addresses: both(2) }, gateway, 9001);
    await lab.ip(`host${n}`, 'route', 'add', 'default', 'via', `10.${n}.9.1`);
    await lab.ip(`host${n}`, '-6', 'route', 'add', 'default', 'via', `fd00:${n}:9::1`);
  }

  /** The same as `transfer` between the hosts behind two spokes. */
  transferBetweenHosts(from: number, to: number, family: 4 | 6): Promise<number> {
    return this.#transfer(`host${from}`, behind(from)[family], `host${to}`, behind(to)[family]);
  }

  async #transfer(from: string, source: string, to: string, target: string): Promise<number> {
    const server = this.lab.spawn(to, ['iperf3', '--server', '--one-off']);
    await until('iperf3', async () => (await this.lab.must(to, ['ss', '-Htln', 'sport = 5201'])) !== '');
    const bind = ['--bind', source, '--client', target, '--bytes', '10M', '--json'];
    const report = await this.lab.must(from, ['iperf3', ...bind]);
    await server.ended;
    return (JSON.parse(report) as { end: { sum_received: { bytes: number } } }).end.sum_received.bytes;
  }

  /** Packets that the hub's kernel took from or gave to the tunnel, and those that it forwarded. */
  async kernelPackets(): Promise<{ tunnel: number; forwarded: number }> {
    const statistics = `/sys/class/net/${this.interfaceOf(HUB)}/statistics`;
    const read = (path: string): Promise<string> => this.lab.must('hub', ['cat', path]);
    const tunnel = Number(await read(`${statistics}/rx_packets`)) + Number(await read(`${statistics}/tx_packets`));
    const [names, values] = (await read('/proc/net/snmp')).split('\n').filter((line) => line.startsWith('Ip:'));
    const forwarded = Number(values.split(' ')[names.split(' ').indexOf('ForwDatagrams')]);
    return { tunnel, forwarded };
  }

  dispose(): Promise<void> {
    return this.lab.dispose();
  }

  #gateway(n: number, mtu: number): Record<string, unknown> {
    const address = [`10.8.0.${n}/24`, `fd00:8::${n}/64`];
    return { name: hostOf(n), interface: this.interfaceOf(n), address, mtu, subnets: subnets(n) };
  }

  async #up(n: number, file: HubFile): Promise<void> {
    const path = writePrivate(this.lab, `${hostOf(n)}.yaml`, stringify(file));
    const running = this.lab.spawn(hostOf(n), [...ISTHMUS, 'up', path]);
    await until(`gateway ${n}`, () => running.output().includes('is up') || !running.isRunning(), 60_000);
    if (!running.isRunning()) throw new Error(`gateway ${n} does not come up:\n${running.tail()}`);
  }
}
