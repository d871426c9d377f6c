/** Peerings for people. */
import type { AuditAnswer } from '../gateway/peerings.ts';
import type { InvitationStatus, PeeringStatus } from '../gateway/peering-status.ts';
import { columns } from './columns.ts';

/** A table of all of them. */
export function formatPeerings(peerings: readonly PeeringStatus[]): string {
  if (peerings.length === 0) return 'no peerings\n';
  const head = ['name', 'state', 'path', 'side', 'their networks', 'acl', ''];
  const rows = peerings.map(({ name, state, data_path, side, peer_subnets, acl, message, origin }) => [
    name,
    state,
    data_path === 'none' ? '-' : data_path,
    side ?? origin,
    peer_subnets.join(' ') || '-',
    acl ?? '-',
    message,
  ]);
  return columns([head, ...rows])
    .map((line) => `${line}\n`)
    .join('');
}

/** One of them, whole. */
export function formatPeering(peering: PeeringStatus): string {
  const { name, id, origin, side, state, message, peer, subnets, peer_subnets, acl, endpoint } = peering;
  const { data_path, last_handshake_s, created_at, changed_at, expires_at, visible_until } = peering;
  const handshake = last_handshake_s === null ? '' : `, last handshake ${last_handshake_s} s ago`;
  return lines([
    ['peering', id === null ? name : `${name} (${id})`],
    ['state', message === '' ? state : `${state}: ${message}`],
    ['data path', data_path === 'none' ? null : data_path + handshake],
    ['side', side ?? `of the ${origin}`],
    ['other gateway', peer],
    ['their networks', peer_subnets.join(', ') || null],
    ['ours, as told', subnets.join(', ') || null],
    ['acl', acl ?? 'none: nothing passes'],
    ['called at', endpoint],
    ['made', created_at],
    ['in this state since', changed_at],
    ['expires', expires_at],
    ['shown until', visible_until],
  ]);
}

/** What an invitation holds. `isCompared`: a gateway was asked whether it fits. */
export function formatInvitation(invitation: InvitationStatus, isCompared: boolean): string {
  const { id, from, endpoint, subnets, addresses, cipher, expires_at, obstacle } = invitation;
  const verdict = obstacle === null ? 'can be accepted here' : `can't be accepted here: ${obstacle}`;
  return lines([
    ['invitation', id],
    ['from', from],
    ['called at', endpoint],
    ['its networks', subnets.join(', ')],
    ['its overlay', addresses.join(', ') || null],
    ['cipher', cipher],
    ['expires', expires_at],
    ['here', isCompared ? verdict : 'no gateway runs here to compare it with'],
  ]);
}

/** The log, a line each. */
export function formatAudit({ entries, head }: AuditAnswer): string {
  const text = entries.map(({ number, at, who, what, hash }) => {
    const { peering, state, from, ...rest } = JSON.parse(what) as Record<string, unknown> & { from?: string };
    const change = from === undefined ? String(state) : `${from} -> ${String(state)}`;
    const more = Object.entries(rest).filter(([key]) => key !== 'id' && key !== 'side');
    const details = more.map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
    const parts = [String(number).padStart(6), new Date(at).toISOString(), who, `${String(peering)}: ${change}`];
    return `${[...parts, ...details].join('  ')}  ${hash.slice(0, 8)}\n`;
  });
  return text.length === 0 ? `no entries (of ${head.count})\n` : text.join('');
}

function lines(rows: readonly (readonly [string, string | null])[]): string {
  const shown = rows.filter(([, value]) => value !== null);
  const width = Math.max(...shown.map(([key]) => key.length));
  return shown.map(([key, value]) => `${key.padEnd(width)}  ${value ?? ''}\n`).join('');
}
