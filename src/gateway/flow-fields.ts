/** The fields of a flow log record: AWS's up to version 5, and ours behind them. */

interface Field {
  /** The version of AWS's format that brought it; 0 for ours. */
  readonly version: 0 | 2 | 3 | 4 | 5;
  readonly holds: 'text' | 'number';
  /** Whether it says where the record was made: the same in every record, set by `values` in the configuration. */
  readonly fixed?: true;
}

export const FLOW_FIELDS = {
  version: { version: 2, holds: 'number' },
  'account-id': { version: 2, holds: 'text', fixed: true },
  'interface-id': { version: 2, holds: 'text', fixed: true },
  srcaddr: { version: 2, holds: 'text' },
  dstaddr: { version: 2, holds: 'text' },
  srcport: { version: 2, holds: 'number' },
  dstport: { version: 2, holds: 'number' },
  protocol: { version: 2, holds: 'number' },
  packets: { version: 2, holds: 'number' },
  bytes: { version: 2, holds: 'number' },
  start: { version: 2, holds: 'number' },
  end: { version: 2, holds: 'number' },
  action: { version: 2, holds: 'text' },
  'log-status': { version: 2, holds: 'text' },
  'vpc-id': { version: 3, holds: 'text', fixed: true },
  'subnet-id': { version: 3, holds: 'text', fixed: true },
  'instance-id': { version: 3, holds: 'text', fixed: true },
  'tcp-flags': { version: 3, holds: 'number' },
  type: { version: 3, holds: 'text' },
  'pkt-srcaddr': { version: 3, holds: 'text' },
  'pkt-dstaddr': { version: 3, holds: 'text' },
  region: { version: 4, holds: 'text', fixed: true },
  'az-id': { version: 4, holds: 'text', fixed: true },
  'sublocation-type': { version: 4, holds: 'text', fixed: true },
  'sublocation-id': { version: 4, holds: 'text', fixed: true },
  'pkt-src-aws-service': { version: 5, holds: 'text' },
  'pkt-dst-aws-service': { version: 5, holds: 'text' },
  'flow-direction': { version: 5, holds: 'text' },
  'traffic-path': { version: 5, holds: 'number' },
  peering: { version: 0, holds: 'text' },
  rule: { version: 0, holds: 'text' },
  'drop-reason': { version: 0, holds: 'text' },
  nat: { version: 0, holds: 'text' },
} as const satisfies Record<string, Field>;

export type FlowField = keyof typeof FLOW_FIELDS;

export const FLOW_FIELD_NAMES = Object.keys(FLOW_FIELDS) as FlowField[];

/** AWS's default line. */
export const DEFAULT_FLOW_FORMAT: readonly FlowField[] = FLOW_FIELD_NAMES.filter(
  (name) => FLOW_FIELDS[name].version === 2,
);

/** Those that `values` may set. */
export const FIXED_FLOW_FIELDS: readonly FlowField[] = FLOW_FIELD_NAMES.filter((name) => fieldOf(name).fixed);

/** What is known of a field. */
export function fieldOf(name: FlowField): Field {
  return FLOW_FIELDS[name];
}

export function isFlowField(name: string): name is FlowField {
  return Object.hasOwn(FLOW_FIELDS, name);
}

/** The version that AWS gives to records of these fields: the highest among them, and at least 2. */
export function versionOfFormat(fields: readonly FlowField[]): number {
  return Math.max(2, ...fields.map((name) => fieldOf(name).version));
}
