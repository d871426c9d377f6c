import { z } from 'zod';
import { PROBE_INTERVAL, QUOTA, UP_AFTER } from '../gateway/config.ts';
import type { CipherChoice, Listen, MetricsListen, Mode } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { DEFAULT_FLOW_FORMAT } from '../gateway/flow-fields.ts';
import type { Prefix } from '../routing/prefix.ts';
import { network, networkOrGroup } from './config-prefix-lists.ts';
import { either, leaf, mapping, oneOrMany } from './config-schema-parts.ts';
import { rate, shapeSchema } from './config-shape.ts';
import * as flowLog from './config-flow-logs.ts';
import * as text from './config-text.ts';

export { shapeClassSchema, shapeDirectionSchema, shapeSchema } from './config-shape.ts';

/** Where a secret comes from. */
export type SecretSource =
  | { readonly from: 'text'; readonly text: string }
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'environment'; readonly variable: string };

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
/** AWS's, and the longest that it allows. */
const TCP_ESTABLISHED_MS = 432_000_000;
const FLOWS_DEFAULT = 131_072;
const none: Prefix[] = [];
const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const ROLES = ['server', 'client'] as const;
const ACTIONS = ['allow', 'deny'] as const;
const BUNDLE_MODES = ['active-active', 'active-standby'] as const;
const FLOW_LOG_TRAFFIC = ['accept', 'reject', 'all'] as const;
const MODES = ['peering', 'hub'] as const;
const DIRECTIONS = ['in', 'out', 'both'] as const;

export const flowLogSchema = mapping({
  to: leaf(flowLog.flowLogTarget),
  format: leaf(flowLog.flowLogFormat).default(DEFAULT_FLOW_FORMAT),
  interval: leaf(flowLog.flowLogInterval).default(600),
  traffic: leaf((value) => text.oneOf(value, FLOW_LOG_TRAFFIC)).default('all'),
  peerings: oneOrMany(text.name).default([]),
  values: leaf(flowLog.flowLogValues).default({}),
});

export const metricsSchema = mapping({
  listen: leaf(text.metrics),
  page: leaf(text.truth).default(false),
  token: leaf(secretSource).optional(),
  hosts: oneOrMany(text.hostName).default([]),
});

/** A mapping, or the value of its `listen` alone. */
const metrics = either(
  (value) => typeof value !== 'object' || value === null || Array.isArray(value),
  leaf(text.metrics).transform((listen: MetricsListen) => ({ listen, page: false, hosts: [] as string[] })),
  metricsSchema,
);

export const gatewaySchema = mapping({
  name: leaf(text.name),
  interface: leaf(text.interfaceName).default('ist0'),
  address: oneOrMany(text.networkAddress).default(none),
  listen: leaf(text.listen).default({ address: undefined, port: 51820 } satisfies Listen),
  endpoint: leaf(text.endpoint).optional(),
  peering_quota: leaf((value) => text.integer(value, 1, QUOTA.activeMost)).default(QUOTA.active),
  metrics: metrics.optional(),
  mtu: leaf(text.mtu).default('auto'),
  subnets: oneOrMany(text.cidr).default(none),
  rekey: leaf((value) => text.duration(value, 5000, 2 * MINUTE_MS)).default(2 * MINUTE_MS),
  flows: leaf((value) => 2 ** Math.ceil(Math.log2(text.integer(value, 1024, 2 ** 24)))).default(FLOWS_DEFAULT),
  tcp_established_timeout: leaf((value) => text.duration(value, MINUTE_MS, TCP_ESTABLISHED_MS)).default(
    TCP_ESTABLISHED_MS,
  ),
  private_key: leaf(secretSource).optional(),
  log_level: leaf((value) => text.oneOf(value, LOG_LEVELS)).default('info'),
  flow_logs: z.array(flowLogSchema).default([]),
  mode: leaf((value) => text.oneOf(value, MODES)).default('peering' satisfies Mode),
  route_table: leaf(text.name).optional(),
  propagate_to: oneOrMany(text.name).optional(),
  security_groups: oneOrMany(text.name).default([]),
  network_acl: leaf(text.name).optional(),
});

export const learnSchema = mapping({
  accept: oneOrMany(network, 1),
  max: leaf((value) => text.integer(value, 1, 10_000)).default(100),
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
  shape: shapeSchema.optional(),
  route_table: leaf(text.name).optional(),
  propagate_to: oneOrMany(text.name).optional(),
  learn: learnSchema.optional(),
  security_groups: oneOrMany(text.name).default([]),
  network_acl: leaf(text.name).optional(),
});

export const bundleSchema = mapping({
  mode: leaf((value) => text.oneOf(value, BUNDLE_MODES)).default('active-active'),
  probe: leaf((value) => (value === 'off' ? 0 : text.duration(value, 200, MINUTE_MS))).default(PROBE_INTERVAL),
  down_after: leaf((value) => text.duration(value, 500, 10 * MINUTE_MS)).optional(),
  up_after: leaf((value) => text.duration(value, 1000, 10 * MINUTE_MS)).default(UP_AFTER),
});

export const icmpSchema = mapping({
  type: leaf((value) => text.integer(value, -1, 255)),
  code: leaf((value) => text.integer(value, -1, 255)).default(-1),
});

const rates = {
  rate: leaf(rate).optional(),
  per_flow: leaf(rate).optional(),
};

export const ruleSchema = mapping({
  name: leaf(text.name).optional(),
  action: leaf((value) => text.oneOf(value, ACTIONS)),
  direction: leaf((value) => text.oneOf(value, DIRECTIONS)).default('both'),
  protocol: leaf(text.protocol).default(-1),
  source: oneOrMany(network, 1).default(none),
  destination: oneOrMany(network, 1).default(none),
  ports: oneOrMany(text.portRange, 1).default([]),
  icmp: icmpSchema.optional(),
  ...rates,
});

export const aclSchema = mapping({
  default: leaf((value) => text.oneOf(value, ACTIONS)).default('deny'),
  rules: z.array(ruleSchema),
});

export const routeSchema = mapping({
  destination: leaf(network),
  via: leaf(text.name),
});

export const routeTableSchema = mapping({
  routes: z.array(routeSchema).default([]),
});

export const prefixListFileSchema = mapping({ file: leaf(text.path) });

const matching = {
  protocol: leaf(text.protocol).default(-1),
  ports: oneOrMany(text.portRange, 1).default([]),
  icmp: icmpSchema.optional(),
};

export const groupIngressSchema = mapping({
  name: leaf(text.name).optional(),
  source: oneOrMany(networkOrGroup, 1),
  ...matching,
  ...rates,
});

export const groupEgressSchema = mapping({
  name: leaf(text.name).optional(),
  destination: oneOrMany(networkOrGroup, 1),
  ...matching,
  ...rates,
});

export const securityGroupSchema = mapping({
  ingress: z.array(groupIngressSchema).default([]),
  egress: z.array(groupEgressSchema).optional(),
  members: oneOrMany(text.cidr, 1).default(none),
});

export const networkAclRuleSchema = mapping({
  rule: leaf((value) => text.integer(value, 1, 32_766)),
  action: leaf((value) => text.oneOf(value, ACTIONS)),
  cidr: leaf(text.cidr),
  ...matching,
});

export const networkAclSchema = mapping({
  ingress: z.array(networkAclRuleSchema).default([]),
  egress: z.array(networkAclRuleSchema).default([]),
  subnets: oneOrMany(text.cidr, 1).default(none),
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
  prefix_lists: z.record(z.string(), either(Array.isArray, z.array(leaf(text.cidr)), prefixListFileSchema)).default({}),
  route_tables: z.record(z.string(), routeTableSchema).default({}),
  security_groups: z.record(z.string(), securityGroupSchema).default({}),
  network_acls: z.record(z.string(), networkAclSchema).default({}),
});

export type RawConfig = z.output<typeof configSchema>;
