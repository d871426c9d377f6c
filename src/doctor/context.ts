/** All that checks look at: what was read of the host, its network, a running gateway and its peers. Plain data. */
import type { Change } from '../gateway/difference.ts';
import type { GatewayConfig } from '../gateway/config.ts';
import type { GatewayStatus } from '../gateway/status.ts';
import type { Prefix } from '../routing/prefix.ts';
import type { Ec2State } from '../aws/instance.ts';
import type { Ruleset } from './firewall.ts';

export interface HostState {
  readonly netAdmin: boolean;
  /** Why /dev/net/tun can't be opened (`ENOENT`); empty if it can. */
  readonly tun: string;
  readonly hasIp: boolean;
  /** `6.1.0-25-amd64`. */
  readonly kernel: string;
  /** ms since 1970. */
  readonly now: number;
  /** The file of those looked at that was written last. */
  readonly newest: { readonly path: string; readonly at: number } | undefined;
  /** Whether the kernel's clock follows another one; undefined where nobody knows. */
  readonly synchronised: boolean | undefined;
  /** Whether packets are forwarded, as the files of /proc have it; undefined where a family is missing. */
  readonly forwarding: Readonly<Record<4 | 6, boolean | undefined>>;
  /** Of the interface; of `default` before it is there. */
  readonly interfaceForwarding: boolean | undefined;
  /** The reverse-path filter at the interface: 0 off, 1 strict, 2 loose. */
  readonly reversePathFilter: number;
  /** Why the UDP port can't be bound; empty if it can, or the gateway has it. */
  readonly port: string;
  /** The program that has it, if that can be seen. */
  readonly portHolder: string | undefined;
}

export interface Link {
  readonly name: string;
  readonly up: boolean;
  /** Somebody is at the other end; of a TUN, a program. */
  readonly carrier: boolean;
  readonly mtu: number;
  /** `tun`, `veth`; empty for hardware. */
  readonly kind: string;
  readonly addresses: readonly Prefix[];
}

export interface HostRoute {
  readonly prefix: Prefix;
  readonly device: string | undefined;
  /** `unicast`, `blackhole`, `unreachable`. */
  readonly type: string;
  /** Made by the kernel for an address of the host. */
  readonly connected: boolean;
  readonly metric: number;
}

/** Where the kernel would send a packet. */
export interface Way {
  /** Undefined: nowhere. */
  readonly device: string | undefined;
  /** To the host itself. */
  readonly local: boolean;
  /** Bytes of a packet on this way, as the kernel has it. */
  readonly mtu: number;
}

export interface NetworkState {
  readonly links: readonly Link[];
  /** Of the main table. */
  readonly routes: readonly HostRoute[];
  /** By address. */
  readonly ways: ReadonlyMap<string, Way>;
}

/** What was found out about the way to a peer. */
export interface EndpointState {
  /** As the file has it, or where the peer was last seen. */
  readonly host: string;
  readonly port: number;
  /** Undefined: the name has none. */
  readonly address: string | undefined;
  /** Whether a port there is refused, which a host does that runs and has no program there; undefined: not asked. */
  readonly refused: boolean | undefined;
  /** Answers to echo requests of few bytes, and of as many as a full datagram has, not to be cut; undefined: not asked. */
  readonly answersSmall: boolean | undefined;
  readonly answersFull: boolean | undefined;
}

export type Running =
  | { readonly kind: 'no' }
  /** A socket is there, and nobody behind it. */
  | { readonly kind: 'stale'; readonly path: string }
  /** Its socket is not for this user. */
  | { readonly kind: 'forbidden'; readonly path: string }
  /** It takes connections and answers none. */
  | { readonly kind: 'stuck'; readonly path: string }
  | {
      readonly kind: 'yes';
      readonly status: GatewayStatus;
      /** What a reload would change; an error's text where it would be refused. */
      readonly changes: readonly Change[] | string;
    };

export interface ConfigFault {
  readonly place: string;
  readonly message: string;
  readonly code: string;
}

export interface Context {
  readonly file: string;
  /** Undefined if it has faults. */
  readonly config: GatewayConfig | undefined;
  readonly configFaults: readonly ConfigFault[];
  readonly running: Running;
  readonly host: HostState;
  readonly network: NetworkState;
  /** Undefined: it can't be seen. */
  readonly firewall: Ruleset | undefined;
  /** By peering; of those whose endpoint is in the file or was learnt. */
  readonly endpoints: ReadonlyMap<string, EndpointState>;
  /** Undefined: not on EC2. */
  readonly ec2: Ec2State | undefined;
}

/** A context whose configuration could be read. */
export type Configured = Context & { readonly config: GatewayConfig };
