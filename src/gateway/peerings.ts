/**
 * The peerings that were requested, at work: takes what operators ask and what other gateways say, keeps it, and has the
 * gateway run by it. One thing is done after the other; each is on the disk before anybody is told of it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { EMPTY_HEAD, verifyAudit } from '../peering/audit.ts';
import type { AuditEntry, AuditFault, AuditHead } from '../peering/audit.ts';
import { accepted, hear, toTell } from '../peering/conversation.ts';
import { decodeInvitation, encodeInvitation } from '../peering/invitation.ts';
import type { Invitation } from '../peering/invitation.ts';
import * as life from '../peering/lifecycle.ts';
import { decodeMessage, encodeMessage, shortened } from '../peering/message.ts';
import type { Message } from '../peering/message.ts';
import type { Change, PeeringRecord, Refusal, World } from '../peering/record.ts';
import { LOCAL_API } from '../peering/record.ts';
import { isOver } from '../peering/state.ts';
import { PSK_BYTES } from '../peering/texts.ts';
import type { CipherChoice, GatewayConfig } from './config.ts';
import type { Change as ConfigChange } from './difference.ts';
import { IsthmusError } from './errors.ts';
import { withRequested, worldOf } from './peering-config.ts';
import { filedStatus, requestedStatus } from './peering-status.ts';
import type { InvitationStatus, PeeringStatus } from './peering-status.ts';
import { PeeringStore } from './peering-store.ts';
import type { PeerStatus } from './status.ts';
import { formatRemote } from './text.ts';
import type { Log } from './tunnel.ts';

/** How often time and sessions are looked at, in ms. */
const TICK = 250;
/** What nobody has answered is said again after so long, in ms: often at first, then by and by. */
const SAY_AGAIN = [250, 250, 250, 250, 500, 500, 1000, 1000, 2000, 4000, 8000, 15_000] as const;
const ID_DIGITS = 17;
const ALL = Number.MAX_SAFE_INTEGER;

/** What is asked of the gateway that runs by the peerings. */
export interface PeeredGateway {
  reload(config: GatewayConfig): Promise<ConfigChange[]>;
  peers(): readonly PeerStatus[];
  /** Sends to the gateway of a peering, if there is a session; asks for one if there is none. */
  say(peering: string, payload: Uint8Array): void;
}

export interface Asked {
  readonly name: string;
  readonly endpoint?: string | undefined;
  readonly subnets?: readonly string[] | undefined;
  readonly peerSubnets?: readonly string[] | undefined;
  readonly acl?: string | undefined;
  readonly cipher?: CipherChoice | undefined;
}

export interface Taken {
  readonly invitation: string;
  readonly name?: string | undefined;
  readonly subnets?: readonly string[] | undefined;
  readonly acl?: string | undefined;
}

/** The audit log, or a part of it. */
export interface AuditAnswer {
  readonly head: AuditHead;
  readonly entries: readonly AuditEntry[];
}

export interface AuditVerdict {
  readonly ok: boolean;
  readonly head: AuditHead;
  readonly fault: AuditFault | null;
}

export class Peerings {
  readonly #path: string;
  readonly #log: Log;
  readonly #clock: () => number;
  #file: GatewayConfig;
  #store: PeeringStore | undefined;
  #gateway: PeeredGateway | undefined;
  /** What the gateway runs by, as text. */
  #running = '';
  #ticker: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();
  /** By id: how often the same thing was said, and when last. */
  readonly #said = new Map<string, { what: string; times: number; at: number }>();

  /**
   * The peerings kept at a path; where there are none, nothing is made there before the first. `clock`: ms since 1970.
   * Throws `ISTHMUS_STATE`.
   */
  constructor(path: string, file: GatewayConfig, log: Log, clock: () => number) {
    this.#path = path;
    this.#file = file;
    this.#log = log;
    this.#clock = clock;
    if (!existsSync(path)) return;
    this.#store = PeeringStore.open(path);
    const fault = this.verify().fault;
    if (fault !== null) log.error(`the audit log in ${path} was tampered with: ${fault.reason}`);
  }

  /** What the gateway is to run by. Throws `ISTHMUS_PEERING_CONFLICT`. */
  get config(): GatewayConfig {
    return withRequested(this.#file, this.#records);
  }

  /** The gateway runs by `config`. From here on it is told of changes, and time goes on: `tick` is called. */
  attach(gateway: PeeredGateway, tick = TICK): void {
    this.#gateway = gateway;
    this.#running = textOf(this.config);
    if (tick > 0) this.#ticker = setInterval(() => void this.tick(), tick);
  }

  /** Looks at what time has brought about, and says again what was not answered. */
  tick(): Promise<void> {
    return this.#serially(() => this.#tick()).catch(this.#failed);
  }

  /** Takes up another configuration file. Throws what the gateway's reload throws, or `ISTHMUS_PEERING_CONFLICT`. */
  reload(file: GatewayConfig): Promise<ConfigChange[]> {
    return this.#serially(async () => {
      const config = withRequested(file, this.#records);
      const changes = await this.#gateway!.reload(config);
      this.#file = file;
      this.#running = textOf(config);
      return changes;
    });
  }

  /** What another file would be run by. */
  with(file: GatewayConfig): GatewayConfig {
    return withRequested(file, this.#records);
  }

  list(): PeeringStatus[] {
    const peers = new Map(this.#gateway?.peers().map((peer) => [peer.name, peer]));
    const now = this.#clock();
    const requested = this.#records.filter((record) => life.isVisible(record, now));
    return [
      ...this.#file.peerings.map((peering) => filedStatus(peering, this.#file, peers.get(peering.name))),
      ...requested.map((record) => requestedStatus(record, peers.get(record.name))),
    ];
  }

  /** Makes a request, and the invitation that is to be handed over. Throws `ISTHMUS_PEERING`, `ISTHMUS_USAGE`. */
  request(asked: Asked): Promise<{ peering: PeeringStatus; invitation: string | null }> {
    return this.#serially(async () => {
      const { name, subnets, peerSubnets = [], acl = '', cipher = 'auto' } = asked;
      const endpoint = asked.endpoint ?? (this.#file.endpoint && formatRemote(this.#file.endpoint));
      if (endpoint === undefined) {
        const wanted = 'give --endpoint HOST:PORT, or gateway.endpoint in the configuration file';
        throw new IsthmusError('ISTHMUS_USAGE', `where the other side calls this gateway is not known: ${wanted}`);
      }
      this.#checkAcl(acl);
      const world = this.#world();
      const psk = randomBytes(PSK_BYTES);
      const id = `pcx-${randomBytes(ID_DIGITS).toString('hex').slice(0, ID_DIGITS)}`;
      const request = { id, name, endpoint, subnets: subnets ?? world.subnets, bounds: peerSubnets, cipher, acl };
      if (request.subnets.length === 0) {
        throw new IsthmusError('ISTHMUS_PEERING', 'the gateway has no subnets to offer (gateway.subnets)');
      }
      await this.#commit(granted(life.request({ ...request, psk: psk.toString('base64url') }, world, this.#clock())));
      const record = this.#find(id);
      const parts = { id, from: world.name, endpoint, subnets: record.subnets, addresses: record.addresses, cipher };
      const invitation = encodeInvitation({ ...parts, psk, expiresAt: record.expiresAt });
      return { peering: this.#status(id), invitation: isOver(record.state) ? null : invitation };
    });
  }

  /** What an invitation holds and what would come of it. Throws `ISTHMUS_INVITATION`. */
  inspect(text: string): InvitationStatus {
    const invitation = invitationIn(text);
    const world = this.#world();
    const obstacle = life.unusable(invitation, world, this.#clock()) ?? life.conflictOf(invitation, world);
    return invitationStatus(invitation, obstacle ?? null);
  }

  /** Throws `ISTHMUS_INVITATION`, `ISTHMUS_PEERING`, `ISTHMUS_USAGE`, or what the system refuses. */
  accept(taken: Taken): Promise<PeeringStatus> {
    return this.#serially(async () => {
      const invitation = invitationIn(taken.invitation);
      const { name = invitation.from, subnets = invitation.subnets, acl = '' } = taken;
      this.#checkAcl(acl);
      const nextPsk = randomBytes(PSK_BYTES).toString('base64url');
      const asked = { name, subnets, acl, nextPsk };
      await this.#commit(granted(life.accept(invitation, asked, this.#world(), this.#clock())));
      return this.#status(invitation.id);
    });
  }

  reject(text: string): Promise<PeeringStatus> {
    return this.#serially(async () => {
      const invitation = invitationIn(text);
      const world = this.#world();
      // It has no part in anything here: a name that is taken is none the worse.
      const name = life.nameTaken(invitation.from, world) === undefined ? invitation.from : invitation.id;
      await this.#commit(granted(life.reject(invitation, name, world, this.#clock())));
      return this.#status(invitation.id);
    });
  }

  /** Deletes the peering with this name or id. Throws `ISTHMUS_PEERING`. */
  remove(name: string): Promise<PeeringStatus> {
    return this.#serially(async () => {
      const record = this.#find(name);
      await this.#commit(granted(life.remove(record, this.#clock())));
      return this.#status(record.id);
    });
  }

  /** Gives a peering another ACL, or with an empty name none. Throws `ISTHMUS_PEERING`, `ISTHMUS_USAGE`. */
  useAcl(name: string, acl: string): Promise<PeeringStatus> {
    return this.#serially(async () => {
      const record = this.#find(name);
      this.#checkAcl(acl);
      await this.#commit(granted(life.useAcl(record, acl, this.#clock())));
      return this.#status(record.id);
    });
  }

  /** What the gateway of a peering says. Of what makes no sense nothing comes. */
  hear(peering: string, payload: Uint8Array): void {
    const message = decodeMessage(payload);
    if (message === undefined) return;
    this.#serially(() => this.#hear(peering, message)).catch(this.#failed);
  }

  /** Entries of the audit log from number `from` on. */
  audit(from: number, limit: number): AuditAnswer {
    return { head: this.#store?.head ?? EMPTY_HEAD, entries: this.#store?.audit(from, limit) ?? [] };
  }

  /** Whether the audit log is as it was written; `noted`: a head that was written down earlier. */
  verify(noted?: AuditHead): AuditVerdict {
    const { head, entries } = this.audit(1, ALL);
    const fault = verifyAudit(entries, head, noted) ?? null;
    return { ok: fault === null, head, fault };
  }

  close(): void {
    clearInterval(this.#ticker);
    this.#store?.close();
    this.#store = undefined;
  }

  get #records(): readonly PeeringRecord[] {
    return this.#store?.records ?? [];
  }

  #world(): World {
    return worldOf(this.#file, this.#records);
  }

  #status(id: string): PeeringStatus {
    return this.list().find((status) => status.id === id)!;
  }

  /** One that is not over before one that is, and a later one before an earlier. */
  #find(name: string): PeeringRecord {
    const found = this.#records.filter((record) => record.name === name || record.id === name);
    const record = found.findLast(({ state }) => !isOver(state)) ?? found.at(-1);
    if (record !== undefined) return record;
    const isFiled = this.#file.peerings.some((peering) => peering.name === name);
    const reason = isFiled
      ? `peering ${name} is in the configuration file: change it there, then isthmus reload`
      : `there is no peering ${name}; isthmus peering list shows those there are`;
    throw new IsthmusError('ISTHMUS_PEERING', reason);
  }

  #checkAcl(acl: string): void {
    const names = this.#file.acls.map(({ name }) => name);
    if (acl === '' || names.includes(acl)) return;
    const wanted = names.length === 0 ? 'and the file has none' : `wanted one of ${names.join(', ')}`;
    throw new IsthmusError('ISTHMUS_USAGE', `there is no ACL ${acl}; ${wanted}`);
  }

  #serially<T>(step: () => T | Promise<T>): Promise<T> {
    const done = this.#last.then(step);
    this.#last = done.catch(() => undefined);
    return done;
  }

  readonly #failed = (error: unknown): void => this.#log.error(`peerings: ${(error as Error).message}`);

  /**
   * Keeps changes, and has the gateway run by them. Where the system refuses what a new peering needs, that one has failed,
   * and the reason is thrown.
   */
  async #commit(changes: readonly Change[], forgotten: readonly string[] = []): Promise<void> {
    if (changes.length === 0 && forgotten.length === 0) return;
    this.#store ??= PeeringStore.open(this.#path);
    this.#store.apply(changes, forgotten);
    for (const { record, what } of changes) {
      const { name, state, message } = record;
      if (what !== undefined) this.#log.info(`peering ${name} is ${state}${message === '' ? '' : `: ${message}`}`);
    }
    try {
      await this.#run();
    } catch (error) {
      const begun = changes.at(-1)?.record;
      if (begun?.state !== 'provisioning') throw error;
      this.#store.apply(life.fail(begun, (error as Error).message, LOCAL_API, this.#clock()));
      await this.#run();
      throw error;
    }
  }

  async #run(): Promise<void> {
    const { config } = this;
    const text = textOf(config);
    if (this.#gateway === undefined || text === this.#running) return;
    await this.#gateway.reload(config);
    this.#running = text;
  }

  async #hear(peering: string, message: Message): Promise<void> {
    const record = this.#store?.get(message.id);
    // What is said about another peering than the one it was said in is not believed.
    if (record?.name !== peering || record.psk === '') return;
    const { changes, answer } = hear(record, message, this.#world(), this.#clock());
    try {
      await this.#commit(changes);
    } catch (error) {
      const reason = shortened((error as Error).message);
      if (message.type === 'accept') this.#say(record, { type: 'refused', id: record.id, of: 'accept', reason });
      throw error;
    }
    if (answer !== undefined) this.#say(record, answer);
    await this.#confirm(record.id);
  }

  /** The requester's gateway leads packets by what was accepted: now the peering is active, and the accepter hears so. */
  async #confirm(id: string): Promise<void> {
    const record = this.#store?.get(id);
    if (record?.side !== 'requester' || record.state !== 'provisioning') return;
    const { changes, answer } = accepted(record, this.#clock());
    await this.#commit(changes);
    if (answer !== undefined) this.#say(record, answer);
  }

  async #tick(): Promise<void> {
    const now = this.#clock();
    const records = this.#records;
    if (records.length === 0) return;
    const forgotten = records.filter((record) => life.isForgotten(record, now)).map(({ id }) => id);
    await this.#commit([...life.due(records, now), ...this.#settled(records, now)], forgotten);
    for (const record of this.#records) {
      // One that was killed before it could say so.
      await this.#confirm(record.id);
      const message = toTell(record, this.#file.name);
      if (message === undefined) this.#said.delete(record.id);
      else this.#repeat(record, message, now);
    }
  }

  /** Those of whose next PSK a session has come. */
  #settled(records: readonly PeeringRecord[], now: number): Change[] {
    const waiting = records.filter(({ nextPsk, state }) => nextPsk !== '' && state === 'active');
    if (waiting.length === 0) return [];
    const peers = this.#gateway?.peers() ?? [];
    const under = new Set(peers.filter(({ psk }) => psk === 'next').map(({ name }) => name));
    return waiting.filter(({ name }) => under.has(name)).flatMap((record) => life.settle(record, now));
  }

  #repeat(record: PeeringRecord, message: Message, now: number): void {
    const said = this.#said.get(record.id);
    const isSame = said?.what === message.type;
    const pause = SAY_AGAIN[Math.min(isSame ? said.times : 0, SAY_AGAIN.length - 1)];
    // A clock that was set back is no reason to be silent.
    if (isSame && now >= said.at && now - said.at < pause) return;
    this.#said.set(record.id, { what: message.type, times: isSame ? said.times + 1 : 1, at: now });
    this.#say(record, message);
  }

  #say({ name }: PeeringRecord, message: Message): void {
    this.#gateway?.say(name, encodeMessage(message));
  }
}

/** What an invitation holds. Throws `ISTHMUS_INVITATION`; the message holds nothing of the text. */
export function invitationIn(text: string): Invitation {
  const invitation = decodeInvitation(text);
  if (typeof invitation === 'string') throw new IsthmusError('ISTHMUS_INVITATION', invitation);
  return invitation;
}

export function invitationStatus(invitation: Invitation, obstacle: string | null): InvitationStatus {
  const { id, from, endpoint, subnets, addresses, cipher, expiresAt } = invitation;
  return { id, from, endpoint, subnets, addresses, cipher, expires_at: new Date(expiresAt).toISOString(), obstacle };
}

function granted(result: readonly Change[] | Refusal): readonly Change[] {
  if ('refused' in result) throw new IsthmusError('ISTHMUS_PEERING', result.refused);
  return result;
}

/** What tells one configuration's peerings from another's. */
function textOf({ peerings }: GatewayConfig): string {
  return JSON.stringify(peerings, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
  );
}
