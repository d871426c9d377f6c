// Two gateways that talk about peerings, in memory and in virtual time: each with its records, and a way between them that
// can lose messages.
import { decodeInvitation, encodeInvitation, type Invitation } from '../../src/peering/invitation.ts';
import { accept, due, request, type Acceptance, type Request } from '../../src/peering/lifecycle.ts';
import { decodeMessage, encodeMessage, type Message } from '../../src/peering/message.ts';
import { accepted, hear, toTell } from '../../src/peering/conversation.ts';
import type { Change, PeeringRecord, Refusal, World } from '../../src/peering/record.ts';

export const PSK = Buffer.alloc(32, 7).toString('base64url');
export const NEXT_PSK = Buffer.alloc(32, 8).toString('base64url');
/** When it all begins, in ms since 1970. */
export const START = Date.UTC(2026, 0, 1);

export class End {
  readonly name: string;
  readonly records = new Map<string, PeeringRecord>();
  /** `state who`, of every change that is remembered. */
  readonly log: string[] = [];
  subnets: string[];
  addresses: string[] = [];
  filed: World['filed'] = [];
  quota = 50;

  constructor(name: string, subnets: string[]) {
    this.name = name;
    this.subnets = subnets;
  }

  get world(): World {
    const { name, subnets, addresses, filed, quota } = this;
    return { name, subnets, addresses, filed, quota, records: [...this.records.values()] };
  }

  get(id: string): PeeringRecord {
    return this.records.get(id)!;
  }

  /** Takes changes up; gives back why there are none. */
  take(changes: readonly Change[] | Refusal): string | undefined {
    if ('refused' in changes) return changes.refused;
    for (const { record, who, what } of changes) {
      this.records.set(record.id, record);
      if (what !== undefined) this.log.push(`${record.state} ${who}`);
    }
    return undefined;
  }

  request(asked: Partial<Request> = {}, now = START): string | undefined {
    const whole = { id: idOf(1), name: 'b', endpoint: '198.51.100.1:51820', subnets: this.subnets, ...asked };
    return this.take(request({ bounds: [], cipher: 'auto', acl: '', psk: PSK, ...whole }, this.world, now));
  }

  accept(invitation: Invitation, asked: Partial<Acceptance> = {}, now = START): string | undefined {
    const whole = { name: invitation.from, subnets: invitation.subnets, acl: '', nextPsk: NEXT_PSK, ...asked };
    return this.take(accept(invitation, whole, this.world, now));
  }

  tick(now: number): void {
    this.take(due([...this.records.values()], now));
  }
}

export const idOf = (number: number): string => `pcx-${number.toString(16).padStart(17, '0')}`;

/** The string that hands a request over, read at the other side. */
export function invitationOf(end: End, id = idOf(1)): Invitation {
  const { endpoint, subnets, addresses, cipher, psk, expiresAt } = end.get(id);
  const parts = { id, from: end.name, endpoint, subnets, addresses, cipher, expiresAt };
  const decoded = decodeInvitation(encodeInvitation({ ...parts, psk: Uint8Array.from(Buffer.from(psk, 'base64url')) }));
  if (typeof decoded === 'string') throw new Error(decoded);
  return decoded;
}

/** Two gateways whose networks are not in each other's way. */
export function twoEnds(): { a: End; b: End } {
  return { a: new End('a', ['172.31.0.0/16', 'fd00:a::/32']), b: new End('b', ['192.168.0.0/16', 'fd00:b::/32']) };
}

/** Says a message to an end, as bytes, and gives the answer. A gateway that can lead packets by it completes at once. */
export function say(to: End, message: Message, now = START): Message | undefined {
  const record = to.records.get(message.id);
  const decoded = decodeMessage(encodeMessage(message));
  // Without a PSK there is no session.
  if (record === undefined || record.psk === '' || decoded === undefined) return undefined;
  let { changes, answer } = hear(record, decoded, to.world, now);
  to.take(changes);
  const last = to.get(record.id);
  if (last.side === 'requester' && last.state === 'provisioning') {
    ({ changes, answer } = accepted(last, now));
    to.take(changes);
  }
  return answer;
}

/** One round: both say what they have to, and hear the answers; `lost` says which messages never come. */
export function talk(a: End, b: End, now = START, lost: (message: Message) => boolean = () => false): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ]) {
    for (const record of from.records.values()) {
      const message = toTell(record, from.name);
      if (message === undefined || lost(message)) continue;
      const answer = say(to, message, now);
      if (answer !== undefined && !lost(answer)) say(from, answer, now);
    }
  }
}
