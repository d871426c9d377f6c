import { readFileSync, readdirSync } from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { parse } from 'yaml';
import type { z } from 'zod';
import * as schemas from '../../src/control/config-schema.ts';
import { formatFault, readConfig } from '../../src/control/config.ts';
import { ERRORS } from '../../src/gateway/errors.ts';
import { PSK } from './config-samples.ts';

/** The project's directory, from the place of this test once it is compiled. */
const ROOT = new URL('../../../', import.meta.url);

function read(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

/** Cells of the rows of the tables below a heading, up to the next. */
function tableUnder(text: string, heading: string): string[][] {
  const section = `\n${text}`.split(`\n${heading}\n`)[1].split(/\n#+ /)[0];
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const SECTIONS: Readonly<Record<string, z.ZodObject>> = {
  '## The file': schemas.configSchema,
  '## `gateway`': schemas.gatewaySchema,
  '### `metrics`': schemas.metricsSchema,
  '### `flow_logs`': schemas.flowLogSchema,
  '## `peerings`': schemas.peeringSchema,
  '### `learn`': schemas.learnSchema,
  '## `bundles`': schemas.bundleSchema,
  '### `icmp`': schemas.icmpSchema,
  '### `shape`': schemas.shapeSchema,
  '### `out` and `in`': schemas.shapeDirectionSchema,
  '### `classes`': schemas.shapeClassSchema,
  '## `prefix_lists`': schemas.prefixListFileSchema,
  '## `route_tables`': schemas.routeTableSchema,
  '### `routes`': schemas.routeSchema,
  '## `security_groups`': schemas.securityGroupSchema,
  '### `ingress`': schemas.groupIngressSchema,
  '## `network_acls`': schemas.networkAclSchema,
  '### Rules of a network ACL': schemas.networkAclRuleSchema,
};

/** `required`, `none`, `any`, or the default in the notation of the file. */
function assertDefault(t: ExecutionContext, field: z.ZodType, documented: string, key: string): void {
  const missing = field.safeParse(undefined);
  if (documented === 'required') {
    t.false(missing.success, `${key} is required`);
  } else if (documented === 'none') {
    t.true(missing.success && missing.data === undefined, `${key} has no default`);
  } else if (documented === 'any') {
    t.true(
      missing.data === -1 || (Array.isArray(missing.data) && missing.data.length === 0),
      `${key} is any by default`,
    );
  } else {
    const value: unknown = parse(/^`(.*)`$/.exec(documented)![1]);
    t.deepEqual(missing.data, field.safeParse(value).data, `the default of ${key}`);
  }
}

for (const [heading, schema] of Object.entries(SECTIONS)) {
  test(`the reference has every key and default of ${heading}`, (t) => assertTable(t, heading, schema));
}

test('the reference has every key and default of rules and access lists', (t) => {
  const rows = tableUnder(read('docs/configuration.md'), '## `acls`');
  const both = { ...schemas.aclSchema.shape, ...schemas.ruleSchema.shape };
  t.deepEqual(
    rows.map(([key]) => key),
    Object.keys(both).map((key) => `\`${key}\``),
  );
  for (const [key, , fallback] of rows)
    assertDefault(t, both[key.slice(1, -1) as keyof typeof both], fallback, key.slice(1, -1));
});

function assertTable(t: ExecutionContext, heading: string, schema: z.ZodObject): void {
  const rows = tableUnder(read('docs/configuration.md'), heading);
  t.deepEqual(
    rows.map(([key]) => key),
    Object.keys(schema.shape).map((key) => `\`${key}\``),
  );
  for (const [key, , fallback] of rows)
    assertDefault(t, schema.shape[key.slice(1, -1)] as z.ZodType, fallback, key.slice(1, -1));
}

test('the examples are good', (t) => {
  const names = ['configuration', 'shaping', 'filtering', 'status-page', 'two-paths', 'bgp', 'flow-logs'];
  const pages = names.map((name) => read(`docs/${name}.md`));
  const inDocs = pages.flatMap((page) => page.match(/(?<=```yaml\n)[^]*?(?=```)/g)!);
  const environment = { ISTHMUS_PSK: PSK, FIBRE_PSK: '1'.repeat(64), RADIO_PSK: '2'.repeat(64) };
  t.true(inDocs.length > 1);
  for (const text of [read('deploy/isthmus.example.yaml'), ...inDocs]) {
    const result = readConfig({ text, file: 'example', directory: '/' }, environment);
    t.deepEqual('faults' in result ? result.faults.map(formatFault) : [], []);
  }
});

test('the table of errors is complete', (t) => {
  const rows = tableUnder(read('docs/errors.md'), '# Errors').map(
    ([code, exit, meaning]) => `${code} ${exit} ${meaning}`,
  );
  t.deepEqual(
    rows,
    Object.entries(ERRORS).map(([code, { exit, meaning }]) => `\`${code}\` ${exit} ${meaning}`),
  );
});

test('no other code is used', (t) => {
  const sources = readdirSync(new URL('src/', ROOT), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  t.true(sources.length > 20);
  for (const source of sources) {
    for (const [, code] of read(`src/${source}`).matchAll(/['"](ISTHMUS_[A-Z_]+)['"]/g))
      t.true(code in ERRORS, `${code} in ${source}`);
  }
});
