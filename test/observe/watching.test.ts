// The alerts and the dashboard in deploy/ fit the metrics that a gateway has. promtool tests the alerts themselves, in
// test/system/prometheus.test.ts.
import { readFileSync } from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { parse } from 'yaml';
import { METRICS } from '../../src/observe/metric-table.ts';
import { DROP_REASONS } from '../../src/wire/drop.ts';

const ROOT = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts?: readonly object[] }[];
  }[];
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

const RULES = (parse(read('deploy/prometheus/isthmus.rules.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  ({ rules }) => rules,
);

/** An expression may name these metrics, with these labels, and no other. */
function assertKnown(t: ExecutionContext, expression: string, place: string): void {
  const labels = new Set<string>(['instance', 'job', ...Object.values(METRICS).flatMap((metric) => metric.labels)]);
  const named = expression.match(/\b(isthmus|process|nodejs)_[a-z_]+/g) ?? [];
  t.true(named.length > 0 || /\bup\{/.test(expression), `${place}: ${expression}`);
  for (const name of named) t.true(name in METRICS, `${place}: ${name}`);
  for (const [, selector] of expression.matchAll(/\{([^{}]*)\}/g))
    for (const [, label] of selector.matchAll(/(\w+)\s*[!=]/g)) t.true(labels.has(label), `${place}: ${label}`);
  for (const [, list] of expression.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of list.split(/, */)) t.true(labels.has(label), `${place}: ${label}`);
}

test('alerts ask for metrics and drop reasons that exist, and say what to do', (t) => {
  t.true(RULES.length > 0);
  for (const { alert, expr, labels, annotations, ...rule } of RULES) {
    assertKnown(t, expr, alert);
    t.regex(rule.for, /^\d+m$/, alert);
    t.true(['critical', 'warning', 'info'].includes(labels['severity']), alert);
    t.regex(annotations['summary'] ?? '', /\.$/, alert);
    t.true((annotations['runbook'] ?? '').length > 60, alert);
    for (const [, operator, reasons] of expr.matchAll(/reason(!~|=~|=|!=)"([^"]*)"/g)) {
      for (const reason of reasons.split('|')) {
        const isNamed = operator.includes('~')
          ? DROP_REASONS.some((each) => new RegExp(`^${reason}$`).test(each))
          : DROP_REASONS.some((each) => each === reason);
        t.true(isNamed, `${alert}: ${reason}`);
      }
    }
  }
});

test("rising drops alert for what went wrong, and not for what was asked for or is nobody's fault", (t) => {
  const { expr } = RULES.find(({ alert }) => alert === 'IsthmusDropsRising')!;
  const [, silent] = /reason!~"([^"]*)"/.exec(expr)!;
  const pattern = new RegExp(`^(${silent})$`);
  t.deepEqual(
    DROP_REASONS.filter((reason) => pattern.test(reason)),
    [
      'blackhole-route',
      'acl-rule',
      'acl-default',
      'security-group',
      'network-acl',
      'ttl-expired',
      'packet-too-big',
      'answer-limited',
      'probe-limited',
      'shaper-queue-full',
      'rate-exceeded',
      'replayed',
    ],
  );
});

test('each alert is tested to fire, and not to', (t) => {
  const { tests } = parse(read('deploy/prometheus/isthmus.rules.test.yaml')) as RuleTests;
  const checks = tests.flatMap(({ alert_rule_test }) => alert_rule_test);
  for (const { alert } of RULES) {
    const own = checks.filter(({ alertname }) => alertname === alert);
    t.true(
      own.some(({ exp_alerts }) => exp_alerts !== undefined),
      `${alert} fires`,
    );
    t.true(
      own.some(({ exp_alerts }) => exp_alerts === undefined),
      `${alert} does not fire`,
    );
  }
});

test('docs/metrics.md lists the alerts', (t) => {
  const rows = read('docs/metrics.md').match(/^\| `Isthmus\w+`/gm) ?? [];
  t.deepEqual(
    rows.map((row) => row.slice(3, -1)),
    RULES.map(({ alert }) => alert),
  );
});

test('the dashboard is made of panels that show metrics that exist', (t) => {
  const { panels, templating } = JSON.parse(read('deploy/grafana/isthmus.json')) as Dashboard;
  t.is(new Set(panels.map(({ id }) => id)).size, panels.length);
  const shown = panels.filter(({ type }) => type !== 'row');
  t.true(shown.length > 10);
  for (const { title, targets = [] } of shown) {
    t.true(targets.length > 0, title);
    for (const { expr } of targets) assertKnown(t, expr, title);
  }
  const variables = templating.list.map(({ name }) => name);
  for (const { definition } of templating.list) if (definition !== undefined) assertKnown(t, definition, definition);
  const used = JSON.stringify(panels).matchAll(/\$\{?(\w+)/g);
  for (const [, name] of used) t.true(variables.includes(name) || name === '__rate_interval', name);
});
