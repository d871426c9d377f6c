import type { AclRule, AclSpec } from '../../src/policy/acl.ts';
import type { Credential } from '../../src/session/identities.ts';
import { peering } from '../session/world.ts';
import { ip, udp } from '../wire/packets.ts';
import { Node } from './node.ts';
import { Underlay } from '../session/underlay.ts';

export interface Options {
  ciphers?: Credential['cipher'][];
  acls?: AclSpec[];
  /** a's persistent keepalive, in ms. */
  keepalive?: number;
}

/**
 * Two gateways and one peering, in slot 0 of both: `a`, the client, has 172.31.0.0/16 and fd00:a::/32 behind it; `b`,
 * which has to be called, 192.168.0.0/16 and fd00:b::/32.
 */
export function apart({ ciphers, acls = [ALLOW_ALL], keepalive = 0 }: Options = {}) {
  const underlay = new Underlay();
  const a = new Node(underlay, '192.0.2.1', 1);
  const b = new Node(underlay, '192.0.2.2', 2);
  const credentials = peering(7, ciphers);
  const ab = a.connect(credentials.client, b.endpoint, { persistentKeepalive: keepalive });
  const ba = b.connect(credentials.server);
  a.route({ '172.31.0.0/16': 'local', 'fd00:a::/32': 'local', '192.168.0.0/16': 0, 'fd00:b::/32': 0 });
  b.route({ '192.168.0.0/16': 'local', 'fd00:b::/32': 'local', '172.31.0.0/16': 0, 'fd00:a::/32': 0 });
  for (const node of [a, b]) node.judge(acls);
  return { underlay, a, b, ab, ba };
}

/** The gateways of `apart`, with a session that `a` initiated. */
export function joined(options?: Options) {
  const pair = apart(options);
  pair.ab.wantSession(pair.underlay.now);
  pair.underlay.run(50);
  return pair;
}

export const ALLOW_ALL: AclSpec = { rules: [], otherwise: 'allow' };

/** A rule that matches everything, but for what is said of it. */
export function rule(said: Partial<AclRule>): AclRule {
  const any = { name: '', protocol: -1, sources: [], destinations: [], ports: [], icmpType: -1, icmpCode: -1 } as const;
  return { ...any, action: 'allow', direction: 'both', ...said };
}

/** A UDP packet from behind `a` to behind `b`, with `size` bytes of data that `number` tells apart from others. */
export function packetToB(number = 0, size = 8): Uint8Array {
  return numbered(ip('172.31.0.1', '192.168.0.1', 17, udp(1000, 2000, size)), number);
}

/** The other way, and an answer to it. */
export function packetToA(number = 0, size = 8): Uint8Array {
  return numbered(ip('192.168.0.1', '172.31.0.1', 17, udp(2000, 1000, size)), number);
}

/** So many packets of `make`, from number `first` on. */
export function many(count: number, make: (number: number) => Uint8Array, first = 0): Uint8Array[] {
  return Array.from({ length: count }, (_, number) => make(first + number));
}

function numbered(packet: Uint8Array, number: number): Uint8Array {
  if (packet.length >= 32) new DataView(packet.buffer).setInt32(28, number);
  return packet;
}
