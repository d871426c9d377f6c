import { fstatSync, closeSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { $ZodIssue } from 'zod/v4/core';
import { DOWN_AFTER_PROBES, READY_MADE } from '../gateway/config.ts';
import type {
  AclRuleConfig,
  BundleConfig,
  GatewayConfig,
  PeeringConfig,
  PlainKeys,
  PskKeys,
} from '../gateway/config.ts';
import type { ErrorCode } from '../gateway/errors.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { formatMode } from '../gateway/secrets.ts';
import type { Prefix } from '../routing/prefix.ts';
import { checkConfig } from './config-check.ts';
import { buildGroups, buildNetworkAcls, ratesOf } from './config-filters.ts';
import { didYouMean } from './config-nearest.ts';
import { expand, readPrefixLists } from './config-prefix-lists.ts';
import type { PrefixLists } from './config-prefix-lists.ts';
import type { Report } from './config-raw.ts';
import { acls, formatPath } from './config-raw.ts';
import { buildTables, tableUse } from './config-routes.ts';
import type { RawConfig } from './config-schema.ts';
import { bundleSchema, configSchema } from './config-schema.ts';
import type { IssueParams } from './config-schema-parts.ts';
import type { Environment, Secrets } from './config-secrets.ts';
import { resolveSecrets } from './config-secrets.ts';
import { shown, unwanted } from './config-text.ts';
import type { Path } from './config-yaml.ts';
import { YamlSource } from './config-yaml.ts';

/** One thing that is wrong in a configuration file. */
export interface Fault {
  readonly file: string;
  /** Counted from 1, as is the column. */
  readonly line: number;
  readonly column: number;
  /** `peerings[0].subnets[1]`; empty for the file as a whole. */
  readonly path: string;
  readonly code: ErrorCode;
  /** What was found and what is wanted. Holds no secret. */
  readonly message: string;
}

export type ConfigResult = { readonly config: GatewayConfig } | { readonly faults: readonly Fault[] };

/** A configuration in memory. */
export interface ConfigText {
  readonly text: string;
  /** What faults call it. */
  readonly file: string;
  /** Where relative paths of secret files start. */
  readonly directory: string;
  /** Mode of the file, when it has one and others may read it. */
  readonly exposedMode?: string | undefined;
  /** When the file was last written: ms since 1970. */
  readonly writtenAt?: number | undefined;
}

/** What a command ends with when its configuration has faults: one line for each. */
export class ConfigError extends IsthmusError {
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults[0].code, faults.map(formatFault).join('\n'));
    this.faults = faults;
  }
}

/** `file:line:column: path: message (code)`. */
export function formatFault(fault: Fault): string {
  const path = fault.path === '' ? '' : `${fault.path}: `;
  return `${fault.file}:${fault.line}:${fault.column}: ${path}${fault.message} (${fault.code})`;
}

/** The configuration in a file. Throws a `ConfigError` with all its faults. */
export function loadConfig(path: string, environment: Environment): GatewayConfig {
  const result = readConfig(path, environment);
  if ('faults' in result) throw new ConfigError(result.faults);
  return result.config;
}

/**
 * Reads a configuration, from the file at a path or from memory, and the secrets it names. Every fault of it is
 * found in one go, in the order of the file; only where the YAML is not well formed is nothing beyond that judged.
 */
export function readConfig(source: string | ConfigText, environment: Environment): ConfigResult {
  if (typeof source !== 'string') return parseConfig(source, environment);
  try {
    return parseConfig(readFile(source), environment);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    const message = code === 'ENOENT' ? 'the file does not exist' : `the file cannot be read (${code ?? syscall})`;
    return { faults: [{ file: source, line: 1, column: 1, path: '', code: 'ISTHMUS_CONFIG_UNREADABLE', message }] };
  }
}

function readFile(path: string): ConfigText {
  const file = openSync(path, 'r');
  try {
    const { mode, mtimeMs: writtenAt } = fstatSync(file);
    const exposedMode = (mode & 0o077) === 0 ? undefined : formatMode(mode);
    return { text: readFileSync(file, 'utf8'), file: path, directory: dirname(path), exposedMode, writtenAt };
  } finally {
    closeSync(file);
  }
}

function parseConfig(source: ConfigText, environment: Environment): ConfigResult {
  const { text, file, directory, exposedMode, writtenAt } = source;
  const yaml = new YamlSource(text);
  const faults: Fault[] = yaml.faults.map((fault) => ({ file, path: '', ...fault }));
  const report: Report = (path, code, message, of) => {
    faults.push({ file, ...yaml.position(path, of), path: formatPath(path), code, message });
  };
  if (yaml.whole) {
    const locate = (path: Path) => yaml.position(path);
    const parsed = configSchema.safeParse(yaml.value, { reportInput: true });
    for (const issue of parsed.error?.issues ?? []) reportIssue(issue, report);
    checkConfig(yaml.value, locate, report);
    const secrets = resolveSecrets(yaml.value, { directory, environment, exposedMode, writtenAt, locate, report });
    const lists = readPrefixLists(yaml.value, {
      directory,
      locate,
      report,
      reportIn: (within, at, path, code, message) => {
        faults.push({ file: within, ...at, path: formatPath(path), code, message });
      },
    });
    if (parsed.success && faults.length === 0) return { config: build(parsed.data, secrets, lists, yaml) };
  }
  const rank = (fault: Fault): number => (fault.file === file ? 0 : 1);
  return { faults: faults.sort((a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column) };
}

function reportIssue(issue: $ZodIssue, report: Report): void {
  const path = issue.path as Path;
  if (issue.code === 'custom') {
    const { code, known } = issue.params as unknown as IssueParams;
    if (known === undefined) {
      report(path, code, issue.message);
    } else {
      const key = String(path[path.length - 1]);
      report(path, code, `unknown key ${shown(key)}${didYouMean(key, known)}; wanted ${known.join(', ')}`, 'key');
    }
  } else if (issue.code === 'invalid_type') {
    const fault = unwanted(issue.input, issue.expected === 'array' ? 'a list' : 'a mapping');
    report(path, fault.code, fault.message);
  } else {
    report(path, 'ISTHMUS_CONFIG_VALUE', issue.message);
  }
}

function build(raw: RawConfig, secrets: Secrets, lists: PrefixLists, yaml: YamlSource): GatewayConfig {
  const { gateway } = raw;
  const listed = acls(yaml.value);
  const bundles = bundleNames(raw);
  const leadToOne = raw.peerings.length === 1 || (bundles.length === 1 && raw.peerings.every(({ bundle }) => bundle));
  const derived = leadToOne ? gateway.address.flatMap(otherEnd) : [];
  const ready = READY_MADE[gateway.mode];
  const localUse = tableUse(gateway, ready.gateway);
  const uses = raw.peerings.map((peering) => tableUse(peering, ready.peering));
  const lineOf = (path: Path): number => yaml.position(path).line;
  return {
    name: gateway.name,
    interface: gateway.interface,
    addresses: gateway.address,
    listen: gateway.listen,
    endpoint: gateway.endpoint,
    peeringQuota: gateway.peering_quota,
    metrics: gateway.metrics && { ...gateway.metrics, token: secrets.get('gateway.metrics.token')?.bytes },
    mtu: gateway.mtu,
    subnets: gateway.subnets,
    rekeyAfterMs: gateway.rekey,
    flows: gateway.flows,
    tcpEstablishedTimeoutMs: gateway.tcp_established_timeout,
    logLevel: gateway.log_level,
    flowLogs: gateway.flow_logs,
    mode: gateway.mode,
    routeTables: buildTables(raw, bundles, [localUse, ...uses], lists, (path) => yaml.position(path)),
    ...localUse,
    peerings: raw.peerings.map((peering, index): PeeringConfig => ({
      name: peering.name,
      keys: keysOf(peering, index, secrets),
      pskWrittenAt: secrets.get(`peerings[${index}].psk`)?.writtenAt,
      endpoint: peering.endpoint,
      subnets: peering.subnets,
      addresses: peering.address ?? derived,
      keepaliveMs: peering.keepalive,
      groups: peering.security_groups,
      networkAcl: peering.network_acl,
      acl: peering.acl === undefined ? -1 : listed.findIndex(({ name }) => name === peering.acl),
      bundle: peering.bundle === undefined ? -1 : bundles.indexOf(peering.bundle),
      shape: { out: peering.shape?.out, in: peering.shape?.in },
      ...uses[index],
      learn: peering.learn && { ...peering.learn, accept: expand(peering.learn.accept, lists) },
    })),
    bundles: bundles.map((name): BundleConfig => {
      const { mode, probe, down_after, up_after } = raw.bundles[name] ?? bundleSchema.parse({});
      return { name, mode, probeMs: probe, downAfterMs: down_after ?? probe * DOWN_AFTER_PROBES, upAfterMs: up_after };
    }),
    localGroups: gateway.security_groups,
    localNetworkAcl: gateway.network_acl,
    securityGroups: buildGroups(raw, lists, lineOf),
    networkAcls: buildNetworkAcls(raw, lineOf),
    acls: listed.map(({ name, rules }) => ({
      name,
      otherwise: raw.acls[name].default,
      rules: raw.acls[name].rules.map((rule, index): AclRuleConfig => ({
        name: rule.name ?? `${name}[${index}]`,
        action: rule.action,
        direction: rule.direction,
        protocol: rule.protocol,
        sources: expand(rule.source, lists),
        destinations: expand(rule.destination, lists),
        ports: rule.ports,
        icmpType: rule.icmp?.type ?? -1,
        icmpCode: rule.icmp?.code ?? -1,
        ...ratesOf(rule),
        line: yaml.position(rules[index].path).line,
      })),
    })),
  };
}

/** In the order in which peerings first name them. */
function bundleNames({ peerings }: RawConfig): string[] {
  return [...new Set(peerings.flatMap(({ bundle }) => bundle ?? []))];
}

function keysOf(peering: RawConfig['peerings'][number], index: number, secrets: Secrets): PskKeys | PlainKeys {
  const secret = (key: string): Uint8Array | undefined => secrets.get(`peerings[${index}].${key}`)?.bytes;
  const psk = secret('psk');
  if (psk !== undefined) {
    const next = secret('next');
    return { kind: 'psk', role: peering.role!, cipher: peering.cipher, psk, ...(next !== undefined && { next }) };
  }
  return {
    kind: 'plain',
    privateKey: secrets.get('gateway.private_key')!.bytes,
    publicKey: peering.public_key!,
    presharedKey: secret('preshared_key') ?? new Uint8Array(32),
  };
}

/** The one other host of a point-to-point network: /30 and /31, /126 and /127. Else nothing. */
function otherEnd({ family, address, bits }: Prefix): Prefix[] {
  const width = family === 4 ? 32 : 128;
  const last = address[3] & 3;
  // Of a /30 or /126 the hosts are 1 and 2; of a /31 or /127 both addresses are (RFC 3021, RFC 6164).
  const flip = bits === width - 1 ? 1 : bits === width - 2 && (last === 1 || last === 2) ? 3 : 0;
  if (flip === 0) return [];
  return [{ family, address: [address[0], address[1], address[2], address[3] ^ flip], bits: width }];
}
