/** Whether nftables or iptables drop what the gateway lives by. */
import { formatPrefix, type PeeringConfig } from '../gateway/config.ts';
import { firstHost } from './addresses.ts';
import type { Configured } from './context.ts';
import { fault, hint, ok, warning, type CheckId, type Said } from './findings.ts';
import { localWay, underlayWays } from './ways.ts';
import { findDrop, type Drop, type Packet } from './firewall.ts';

const FORWARD = ['prerouting', 'forward', 'postrouting'];
const INPUT = ['prerouting', 'input'];
const OUTPUT = ['output', 'postrouting'];

export function checkFirewall(context: Configured): Said[] {
  const { firewall, config } = context;
  if (firewall === undefined) {
    const why = 'Whether it drops what the gateway sends and gets is not known here.';
    const fix = 'apt-get install nftables   # and run this as root';
    return [hint('firewall-forward', "the firewall's rules can't be seen", why, fix)];
  }
  const said: Said[] = [];
  const report = (id: CheckId, hooks: string[], packets: readonly Told[], good: string): void => {
    const found = packets.flatMap((told) => {
      const drop = findDrop(firewall, hooks, told.packet);
      return drop === undefined ? [] : [describe(id, drop, told)];
    });
    // One rule drops many kinds of packets, and is reported once.
    const once = new Map(found.map((each) => [each.fix, each]));
    said.push(...(once.size > 0 ? once.values() : [ok(id, good)]));
  };
  report('firewall-input', INPUT, inputs(context), `UDP port ${config.listen.port} is let in`);
  report('firewall-output', OUTPUT, outputs(context), 'datagrams are let out');
  report('firewall-forward', FORWARD, forwards(context), 'packets may pass');
  return said;
}

/** A kind of packet, and how to speak of it. */
interface Told {
  readonly packet: Packet;
  readonly what: string;
  readonly why: string;
  /** What an allowing rule asks of it. */
  readonly nft: string;
  readonly iptables: string;
  readonly peering?: string;
}

function describe(id: CheckId, { chain, rule, isSure }: Drop, told: Told): Said {
  const by = rule === undefined ? `by its policy` : `by its rule "${rule.text}"`;
  const seen = `the chain ${chain.name} drops ${told.what} ${by}${isSure ? '' : ', unless a rule before it lets them pass'}`;
  const fix = chain.insert.replace('%', told[chain.syntax]);
  return (isSure ? fault : warning)(id, seen, told.why, fix, told.peering);
}

function inputs(context: Configured): Told[] {
  const { config } = context;
  const { port } = config.listen;
  const rest = { protocol: 'udp', port } as const;
  const why = 'Nothing that peers send gets to the gateway.';
  const texts = { nft: `udp dport ${port}`, iptables: `-p udp --dport ${port}` };
  const what = `datagrams for UDP port ${port}`;
  const called = underlayWays(context).map(({ peering, endpoint, address: source, family, way }): Told => {
    const packet: Packet = { ...rest, family, input: way.device, source, sourcePort: endpoint.port };
    return { packet, what: `${what} from the peer`, why, ...texts, peering };
  });
  const isCalled = config.peerings.some(({ endpoint }) => endpoint === undefined);
  return isCalled ? [{ packet: { ...rest, family: 4 }, what, why, ...texts }, ...called] : called;
}

function outputs(context: Configured): Told[] {
  return underlayWays(context).map(({ peering, endpoint: { port }, address: destination, family, way }): Told => {
    const sourcePort = context.config.listen.port;
    const packet: Packet = { family, output: way.device, destination, protocol: 'udp', port, sourcePort };
    const what = `datagrams for ${destination}, UDP port ${port}`;
    const texts = { nft: `udp dport ${port}`, iptables: `-p udp --dport ${port}` };
    return { packet, what, why: 'Nothing that the gateway sends gets to the peer.', ...texts, peering };
  });
}

function forwards(context: Configured): Told[] {
  const { config } = context;
  const { interface: name } = config;
  return config.peerings.flatMap(({ name: peering, subnets }: PeeringConfig) =>
    ([4, 6] as const).flatMap((family): Told[] => {
      const remote = subnets.find((subnet) => subnet.family === family);
      const local = config.subnets.find((subnet) => subnet.family === family);
      if (remote === undefined || local === undefined) return [];
      const there = firstHost(remote);
      const { host: here, device: vpc } = localWay(local, context) ?? { host: firstHost(local), device: undefined };
      const [near, far] = [formatPrefix(local), formatPrefix(remote)];
      const rest = { why: 'The kernel does not pass them on.', peering };
      return [
        {
          ...{ packet: { family, input: name, output: vpc, source: there, destination: here } },
          ...{ ...rest, what: `packets from ${far} to ${near}`, nft: `iifname "${name}"`, iptables: `-i ${name}` },
        },
        {
          ...{ packet: { family, input: vpc, output: name, source: here, destination: there } },
          ...{ ...rest, what: `packets from ${near} to ${far}`, nft: `oifname "${name}"`, iptables: `-o ${name}` },
        },
      ];
    }),
  );
}
