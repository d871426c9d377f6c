import { z } from 'zod';
import { PROBE_INTERVAL, UP_AFTER } from '../gateway/config.ts';
import type { CipherChoice, Listen } from '../gateway/config.ts';
import type { ErrorCode } from '../gateway/errors.ts';
import { IsthmusError } from '../gateway/errors.ts';
import type { Prefix } from '../routing/prefix.ts';
import * as text from './config-text.ts';

/** Where a secret comes from. */
export type SecretSource =
  | { readonly from: 'text'; readonly text: string }
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'environment'; readonly variable: string };

/** What the issues of `configSchema` carry beyond zod's own. */
export interface IssueParams {
  readonly code: ErrorCode;
  /** For `ISTHMUS_CONFIG_UNKNOWN_KEY`: the keys that are known at this place. */
  readonly known?: readonly string[];
}

/** A single value in one of the notations of config-text. */
function leaf<T>(parse: (value: unknown) => T) {
  return z.unknown().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      context.issues.push({ code: 'custom', input: value, message: error.message, params: { code: error.code } });
      return z.NEVER;
    }
  });
}

/** A mapping with these keys and no other. */
function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const params: IssueParams = { code: 'ISTHMUS_CONFIG_UNKNOWN_KEY', known: Object.keys(shape) };
  const unknownKey = z.unknown().transform((value, context): never => {
    context.issues.push({ code: 'custom', input: value, message: 'unknown key', params });
    return z.NEVER;
  });
  return z.object(shape).catchall(unknownKey);
}

/** The one of two schemas that the shape of the value asks for, with that schema's faults alone. */
function either<A, B>(isFirst: (value: unknown) => boolean, first: z.ZodType<A>, second: z.ZodType<B>) {
  return z.unknown().transform((value, context): A | B => {
    const result = (isFirst(value) ? first : second).safeParse(value, { reportInput: true });
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.issues.push({ ...issue, continue: true } as z.core.$ZodRawIssue);
    return z.NEVER;
  });
}

/** `x` or `[x, y]`. */
function oneOrMany<T>(parse: (value: unknown) => T, least = 0) {
  const wanted = 'at least one; leave the key out for any';
  return either(
    Array.isArray,
    z.array(leaf(parse)).min(least, { error: `is an empty list; wanted ${wanted}` }),
    leaf((value) => [parse(value)]),
  );
}

/** The text of a secret, `{file: PATH}` or `{env: NAME}`. Faults never show what was found. */
export function secretSource(value: unknown): SecretSource {
  if (typeof value === 'string') return { from: 'text', text: value };
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (entries.length === 1) {
    const [key, place] = entries[0] as [string, unknown];
    if (key === 'file' && typeof place === 'string' && place !== '') return { from: 'file', path: place };
    if (key === 'env' && typeof place === 'string' && place !== '') return { from: 'environment', variable: place };
  }
  const wanted = 'the text itself (in quotes if it is all digits), {file: PATH} or {env: NAME}';
  throw new IsthmusError('ISTHMUS_CONFIG_VALUE', `is no secret; wanted ${wanted}`);
}

const MINUTE_MS = 60_000;
const FLOWS_DEFAULT = 131_072;
const none: Prefix[] = [];
const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const ROLES = ['server', 'client'] as const;
const ACTIONS = ['allow', 'deny'] as const;
const BUNDLE_MODES = ['active-active', 'active-standby'] as const;
const DIRECTIONS = ['in', 'out', 'both'] as const;

export const gatewaySchema = mapping({
  name: leaf(text.name),
  interface: leaf(text.interfaceName).default('ist0'),
  address: oneOrMany(text.networkAddress).default(none),
  listen: leaf(text.listen).default({ address: undefined, port: 51820 } satisfies Listen),
  metrics: leaf(text.metrics).optional(),
  mtu: leaf(text.mtu).default('auto'),
  subnets: oneOrMany(text.cidr).default(none),
  rekey: leaf((value) => text.duration(value, 5000, 2 * MINUTE_MS)).default(2 * MINUTE_MS),
  flows: leaf((value) => 2 ** Math.ceil(Math.log2(text.integer(value, 1024, 2 ** 24)))).default(FLOWS_DEFAULT),
  private_key: leaf(secretSource).optional(),
  log_level: leaf((value) => text.oneOf(value, LOG_LEVELS)).default('info'),
});

export const peeringSchema = mapping({
  name: leaf(text.name),
  role: leaf((value) => text.oneOf(value, ROLES)).optional(),
  psk: leaf(secretSource).optional(),
  next: leaf(secretSource).optional(),
  public_key: leaf(text.publicKey).optional(),
  preshared_key: leaf(secretSource).optional(),
  cipher: leaf(text.cipher).default('auto' satisfies CipherChoice),
  endpoint: leaf(text.endpoint).optional(),
  subnets: oneOrMany(text.cidr),
  address: oneOrMany(text.hostAddress).optional(),
  keepalive: leaf((value) => (value === 'off' ? 0 : text.duration(value, 1000, 65_535_000))).default(0),
  acl: leaf(text.name).optional(),
  bundle: leaf(text.name).optional(),
});

export const bundleSchema = mapping({
  mode: leaf((value) => text.oneOf(value, BUNDLE_MODES)).default('active-active'),
  probe: leaf((value) => (value === 'off' ? 0 : text.duration(value, 200, MINUTE_MS))).default(PROBE_INTERVAL),
  down_after: leaf((value) => text.duration(value, 500, 10 * MINUTE_MS)).optional(),
  up_after: leaf((value) => text.duration(value, 1000, 10 * MINUTE_MS)).default(UP_AFTER),
});

export const icmpSchema = mapping({
  type: leaf((value) => text.integer(value, 0, 255)),
  code: leaf((value) => text.integer(value, 0, 255)).default(-1),
});

export const ruleSchema = mapping({
  name: leaf(text.name).optional(),
  action: leaf((value) => text.oneOf(value, ACTIONS)),
  direction: leaf((value) => text.oneOf(value, DIRECTIONS)).default('both'),
  protocol: leaf(text.protocol).default(-1),
  source: oneOrMany(text.cidr, 1).default(none),
  destination: oneOrMany(text.cidr, 1).default(none),
  ports: oneOrMany(text.portRange, 1).default([]),
  icmp: icmpSchema.optional(),
});

export const aclSchema = mapping({
  default: leaf((value) => text.oneOf(value, ACTIONS)).default('deny'),
  rules: z.array(ruleSchema),
});

/** The whole file. `docs/configuration.md` is checked against these schemas. */
export const configSchema = mapping({
  gateway: gatewaySchema,
  peerings: z.array(peeringSchema),
  bundles: z.record(z.string(), bundleSchema).default({}),
  acls: z
    .record(
      z.string(),
      either(
        Array.isArray,
        z.array(ruleSchema).transform((rules) => ({ default: 'deny' as const, rules })),
        aclSchema,
      ),
    )
    .default({}),
});

export type RawConfig = z.output<typeof configSchema>;
