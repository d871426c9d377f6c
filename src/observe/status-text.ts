/** A gateway's status as text for people. */
import type { GatewayStatus, PathStatus, PeerStatus, ShapeStatus } from '../gateway/status.ts';
import { formatBits, formatBytes, formatSeconds } from './page/units.ts';

export function formatStatus(status: GatewayStatus): string {
  const lines = [
    `gateway ${status.gateway} on ${status.interface}, up ${formatSeconds(status.uptime_s)}, sealing by ${status.aead}`,
    `  listens on UDP ${status.port}, MTU ${status.mtu}, overlay ${status.addresses.join(', ')}`,
    `  local ${status.subnets.join(', ')}`,
  ];
  if (status.peers.length === 0)
    lines.push('', 'no peering carries packets: isthmus peering list shows requested ones');
  for (const peer of status.peers) lines.push('', ...formatPeer(peer));
  if (status.rules.length > 0) {
    lines.push('', 'rules');
    const width = Math.max(...status.rules.map((rule) => ruleName(rule).length));
    for (const rule of status.rules) {
      const { action, hits } = rule;
      lines.push(`  ${ruleName(rule).padEnd(width)}  ${action.padEnd(5)}  ${hits} ${hits === 1 ? 'hit' : 'hits'}`);
    }
  }
  if (Object.keys(status.drops).length > 0) lines.push('', 'dropped, no peer known', ...formatDrops(status.drops));
  return `${lines.join('\n')}\n`;
}

/** Numbers of a network ACL's rules are those of one direction. */
function ruleName({ kind, acl, name, direction }: GatewayStatus['rules'][number]): string {
  return `${acl}/${name}${kind === 'network-acl' ? ` ${direction}` : ''}`;
}

function formatPeer(peer: PeerStatus): string[] {
  const age = peer.last_handshake_s;
  const handshake =
    age === null ? 'none yet' : `${formatSeconds(age)} ago, ${peer.cipher}${peer.psk === 'next' ? ', next PSK' : ''}`;
  return [
    `peer ${peer.name}`,
    `  endpoint   ${peer.endpoint ?? 'not known: waits to be called'}`,
    `  handshake  ${handshake}`,
    `  traffic    ${formatBytes(peer.rx_bytes)} in, ${formatBytes(peer.tx_bytes)} out`,
    `  routes     ${peer.routes.join(', ')}`,
    ...(peer.learnt_routes.length === 0 ? [] : [`  learnt     ${peer.learnt_routes.join(', ')}`]),
    ...formatFilters(peer),
    ...(peer.path === null ? [] : [`  path       ${formatPathStatus(peer.path)}`]),
    ...peer.shape.flatMap(formatShape),
    ...(Object.keys(peer.drops).length > 0 ? ['  dropped', ...formatDrops(peer.drops)] : []),
  ];
}

function formatFilters({ acl, security_groups: groups, network_acl: networkAcl }: PeerStatus): string[] {
  return [
    groups.length > 0 ? `  groups     ${groups.join(', ')}` : `  acl        ${acl ?? 'none'}`,
    ...(networkAcl === null ? [] : [`  network    ${networkAcl}`]),
  ];
}

function formatPathStatus({ bundle, state, in_use, rtt_ms, jitter_ms, loss }: PathStatus): string {
  const times = rtt_ms === null ? '' : `, round trip ${rtt_ms} ms, jitter ${jitter_ms} ms`;
  const lost = loss === null ? '' : `, ${(loss * 100).toFixed(0)} % lost`;
  return `${state}, ${in_use ? 'in use' : 'not in use'}, of bundle ${bundle}${times}${lost}`;
}

function formatShape({ direction, rate_bit: rate, burst_bytes: burst, classes }: ShapeStatus): string[] {
  const width = Math.max(...classes.map(({ name }) => name.length));
  return [
    `  shape ${direction.padEnd(4)} ${formatBits(rate)}, burst ${formatBytes(burst)}`,
    ...classes.map(({ name, priority, bytes, queued_bytes: queued, delayed, drops }) => {
      const waits = `${formatBytes(queued)} waiting, ${delayed} delayed, ${drops} dropped`;
      return `    ${name.padEnd(width)}  priority ${priority}  ${formatBytes(bytes)}, ${waits}`;
    }),
  ];
}

function formatDrops(drops: Readonly<Record<string, number>>): string[] {
  return Object.entries(drops)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `    ${reason.padEnd(24)} ${count}`);
}
