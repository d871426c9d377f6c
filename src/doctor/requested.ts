/** Peerings that were requested are in no file: what a gateway tells of them, in the form of those that are. */
import { READY_MADE } from '../gateway/config.ts';
import type { GatewayConfig, PeeringConfig } from '../gateway/config.ts';
import type { PeeringStatus } from '../gateway/peering-status.ts';
import { parsePrefix } from '../routing/prefix.ts';

/** The file's configuration with those of `listed` behind its own that were requested and carry packets. */
export function withRequested(file: GatewayConfig, listed: readonly PeeringStatus[]): GatewayConfig {
  const requested = listed.filter(({ origin, data_path }) => origin === 'requested' && data_path !== 'none');
  return { ...file, peerings: [...file.peerings, ...requested.map((peering) => inForm(peering, file))] };
}

function inForm({ name, side, endpoint, peer_subnets, acl }: PeeringStatus, file: GatewayConfig): PeeringConfig {
  const isCalled = side === 'requester';
  const [, host, port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(endpoint ?? '') ?? [];
  return {
    name,
    // Its PSK is nobody's business.
    keys: { kind: 'psk', role: isCalled ? 'server' : 'client', cipher: 'auto', psk: new Uint8Array() },
    endpoint: isCalled || endpoint === null ? undefined : { host, port: Number(port) },
    subnets: peer_subnets.map(parsePrefix),
    addresses: [],
    keepaliveMs: 0,
    acl: acl === null ? -1 : file.acls.findIndex((each) => each.name === acl),
    groups: [],
    networkAcl: undefined,
    bundle: -1,
    shape: { out: undefined, in: undefined },
    ...READY_MADE[file.mode].peering,
    learn: undefined,
  };
}
