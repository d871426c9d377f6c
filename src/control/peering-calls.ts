/** The calls of the local API about peerings, with what comes in checked. */
import { z } from 'zod';
import type { AuditAnswer, AuditVerdict, Asked, Taken } from '../gateway/peerings.ts';
import type { InvitationStatus, PeeringStatus } from '../gateway/peering-status.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { formatPrefix, formatRemote } from '../gateway/text.ts';
import * as text from './config-text.ts';

/** What answers: the gateway's requested peerings. */
export interface PeeringsTarget {
  list(): readonly PeeringStatus[];
  request(asked: Asked): Promise<{ peering: PeeringStatus; invitation: string | null }>;
  inspect(invitation: string): InvitationStatus;
  accept(taken: Taken): Promise<PeeringStatus>;
  reject(invitation: string): Promise<PeeringStatus>;
  remove(name: string): Promise<PeeringStatus>;
  useAcl(name: string, acl: string): Promise<PeeringStatus>;
  audit(from: number, limit: number): AuditAnswer;
  verify(noted?: { count: number; hash: string }): AuditVerdict;
}

/** All peerings of the gateway. */
export interface PeeringsAnswer {
  readonly peerings: readonly PeeringStatus[];
}

/** What a peering has become. */
export interface PeeringAnswer {
  readonly peering: PeeringStatus;
}

export interface RequestAnswer extends PeeringAnswer {
  /** A secret; null if the request failed at once. */
  readonly invitation: string | null;
}

const AUDIT_MOST = 1000;

/** A value as the configuration takes it, kept as text. */
function leaf<T>(parse: (value: unknown) => T, write: (value: T) => string): z.ZodType<string> {
  return z.unknown().transform((value, context) => {
    try {
      return write(parse(value));
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

const name = leaf(text.name, String);
const networks = z.array(leaf(text.cidr, formatPrefix)).min(1).max(16);
const endpoint = leaf(text.endpoint, formatRemote);
const invitation = z.string().max(8192);

const requestSchema = z.strictObject({
  name,
  endpoint: endpoint.optional(),
  subnets: networks.optional(),
  peer_subnets: networks.optional(),
  acl: name.optional(),
  cipher: z.enum(['auto', 'aes-256-gcm', 'chacha20-poly1305']).optional(),
});
const invitationSchema = z.strictObject({ invitation });
const acceptSchema = z.strictObject({
  invitation,
  name: name.optional(),
  subnets: networks.optional(),
  acl: name.optional(),
});
const namedSchema = z.strictObject({ name });
const modifySchema = z.strictObject({ name, acl: name.nullable() });

/** What the body of a call says. Throws `ISTHMUS_USAGE` with what is wanted. */
function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw new IsthmusError('ISTHMUS_USAGE', `${path.length === 0 ? 'the body' : path.join('.')}: ${message}`);
}

type Call = (target: PeeringsTarget, query: URLSearchParams, body: unknown) => object | Promise<object>;

export const PEERING_CALLS: Readonly<Record<string, Call>> = {
  'GET /v1/peerings': (target): PeeringsAnswer => ({ peerings: target.list() }),
  'POST /v1/peerings/request': (target, _, body): Promise<RequestAnswer> => {
    const { peer_subnets: peerSubnets, ...asked } = read(requestSchema, body);
    return target.request({ ...asked, peerSubnets });
  },
  'POST /v1/peerings/inspect': (target, _, body) => target.inspect(read(invitationSchema, body).invitation),
  'POST /v1/peerings/accept': async (target, _, body): Promise<PeeringAnswer> => ({
    peering: await target.accept(read(acceptSchema, body)),
  }),
  'POST /v1/peerings/reject': async (target, _, body): Promise<PeeringAnswer> => ({
    peering: await target.reject(read(invitationSchema, body).invitation),
  }),
  'POST /v1/peerings/delete': async (target, _, body): Promise<PeeringAnswer> => ({
    peering: await target.remove(read(namedSchema, body).name),
  }),
  'POST /v1/peerings/modify': async (target, _, body): Promise<PeeringAnswer> => {
    const { name: of, acl } = read(modifySchema, body);
    return { peering: await target.useAcl(of, acl ?? '') };
  },
  'GET /v1/audit': (target, query) => target.audit(number(query, 'from', 1), number(query, 'limit', AUDIT_MOST)),
  'GET /v1/audit/verify': (target, query) => {
    const noted = /^(\d{1,15}):([0-9a-f]{64})$/.exec(query.get('head') ?? '');
    if (query.has('head') && noted === null) {
      throw new IsthmusError('ISTHMUS_USAGE', 'head is not as isthmus audit verify prints it; wanted COUNT:HASH');
    }
    return noted === null ? target.verify() : target.verify({ count: Number(noted[1]), hash: noted[2] });
  },
};

function number(query: URLSearchParams, key: string, fallback: number): number {
  const given = query.get(key);
  if (given === null) return fallback;
  if (/^[1-9]\d{0,14}$/.test(given)) return Number(given);
  throw new IsthmusError('ISTHMUS_USAGE', `${key} is ${given}; wanted a number from 1 on`);
}
