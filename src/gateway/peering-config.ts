/** Requested peerings as a gateway runs by them, beside those of its configuration file. */
import { isOver, isRouted } from '../peering/state.ts';
import { overlapOf } from '../peering/lifecycle.ts';
import type { PeeringRecord, World } from '../peering/record.ts';
import { formatPrefix, parsePrefix } from '../routing/prefix.ts';
import { READY_MADE } from './config.ts';
import type { GatewayConfig, PeeringConfig } from './config.ts';
import { IsthmusError } from './errors.ts';
import type { PeeringStatus } from './peering-status.ts';
import { readRemote } from './text.ts';

/** The accepter calls, and keeps a NAT on the way open, so that it can be reached at any time. */
const KEEPALIVE = 25_000;

/** What there is beside a requested peering. */
export function worldOf(file: GatewayConfig, records: readonly PeeringRecord[]): World {
  return {
    name: file.name,
    subnets: file.subnets.map(formatPrefix),
    addresses: file.addresses.map((address) => formatPrefix({ ...address, bits: address.family === 4 ? 32 : 128 })),
    filed: file.peerings.map(({ name, subnets, addresses }) => ({
      name,
      networks: [...subnets, ...addresses].map(formatPrefix),
    })),
    records,
    quota: file.peeringQuota,
  };
}

/**
 * The file's configuration with the requested peerings behind its own. One that is not active has no networks: its session
 * is there for what the gateways say to each other. Throws `ISTHMUS_PEERING_CONFLICT` where the file leaves no room for one.
 */
export function withRequested(file: GatewayConfig, records: readonly PeeringRecord[]): GatewayConfig {
  const filed = new Set(file.peerings.map(({ name }) => name));
  // One that is over is there for the other side to hear of it, until its name is given again: here, or in the file.
  const kept = records.filter(({ psk, state, name }) => psk !== '' && !(isOver(state) && filed.has(name)));
  const held = new Map(kept.map((record) => [record.name, record]));
  const peerings = Array.from(held.values(), (record) => peeringOf(record, file));
  if (peerings.length === 0) return file;
  const { routeTable, propagateTo } = READY_MADE[file.mode].peering;
  const known = new Set(file.routeTables.map(({ name }) => name));
  const missing = [...new Set([routeTable, ...propagateTo])].filter((name) => !known.has(name));
  return {
    ...file,
    routeTables: [...file.routeTables, ...missing.map((name) => ({ name, routes: [] }))],
    peerings: [...file.peerings, ...peerings],
  };
}

function peeringOf(record: PeeringRecord, file: GatewayConfig): PeeringConfig {
  const { name, side, state, acl, psk, nextPsk, cipher, endpoint } = record;
  const isLed = isRouted(state);
  const networks = isLed ? [...record.peerSubnets, ...record.peerAddresses] : [];
  const world = worldOf(file, []);
  const clash = world.filed.some((peering) => peering.name === name)
    ? `the file has a peering ${name} too`
    : overlapOf(networks, world);
  if (clash !== undefined) throw conflict(record, clash);
  const list = isLed && acl !== '' ? file.acls.findIndex((each) => each.name === acl) : -1;
  if (isLed && acl !== '' && list < 0) throw conflict(record, `its ACL, ${acl}, is not in the file`);
  // The accepter's next PSK is good once the requester has confirmed that it has it.
  const isNextKnown = nextPsk !== '' && (side === 'requester' || state !== 'provisioning');
  return {
    name,
    keys: {
      kind: 'psk',
      role: side === 'requester' ? 'server' : 'client',
      cipher,
      psk: bytesOf(psk),
      ...(isNextKnown && { next: bytesOf(nextPsk) }),
    },
    endpoint: side === 'accepter' ? readRemote(endpoint) : undefined,
    pskWrittenAt: record.createdAt,
    subnets: isLed ? record.peerSubnets.map(parsePrefix) : [],
    addresses: isLed ? record.peerAddresses.map(parsePrefix) : [],
    keepaliveMs: side === 'accepter' ? KEEPALIVE : 0,
    acl: list,
    ...plainParts(file),
    ...(!isLed && { unrouted: true }),
  };
}

/** What is said of a peering in the file only. */
function plainParts({ mode }: GatewayConfig) {
  return {
    groups: [],
    networkAcl: undefined,
    bundle: -1,
    shape: { out: undefined, in: undefined },
    ...READY_MADE[mode].peering,
    learn: undefined,
  };
}

/**
 * The same as far as a gateway tells others: the file's configuration with those of `listed` behind its own that were
 * requested and carry packets, without their secrets.
 */
export function withListed(file: GatewayConfig, listed: readonly PeeringStatus[]): GatewayConfig {
  const requested = listed.filter(({ origin, data_path }) => origin === 'requested' && data_path !== 'none');
  return { ...file, peerings: [...file.peerings, ...requested.map((peering) => listedForm(peering, file))] };
}

function listedForm({ name, side, endpoint, peer_subnets, acl }: PeeringStatus, file: GatewayConfig): PeeringConfig {
  const isCalled = side === 'requester';
  return {
    name,
    // Its PSK is nobody's business.
    keys: { kind: 'psk', role: isCalled ? 'server' : 'client', cipher: 'auto', psk: new Uint8Array() },
    endpoint: isCalled || endpoint === null ? undefined : readRemote(endpoint),
    subnets: peer_subnets.map(parsePrefix),
    addresses: [],
    keepaliveMs: 0,
    acl: acl === null ? -1 : file.acls.findIndex((each) => each.name === acl),
    ...plainParts(file),
  };
}

function conflict({ name }: PeeringRecord, reason: string): IsthmusError {
  return new IsthmusError(
    'ISTHMUS_PEERING_CONFLICT',
    `the requested peering ${name} does not go with the configuration file: ${reason}. Change the file, or delete the ` +
      `peering while the file is as it was: isthmus peering delete ${name}`,
  );
}

function bytesOf(psk: string): Uint8Array {
  return Uint8Array.from(Buffer.from(psk, 'base64url'));
}
