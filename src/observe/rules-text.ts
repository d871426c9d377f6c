/** A gateway's rules as text for people. */
import type { RuleStatus } from '../gateway/rules.ts';
import { columns } from './columns.ts';

/** What the kinds of lists are called. */
export const KINDS = { acl: 'acl', 'security-group': 'security group', 'network-acl': 'network ACL' } as const;
const HEADINGS = ['rule', 'action', 'direction', 'line', 'packets', 'denied'];

/** Each list with its rules in their order; a rule that never matched is marked. */
export function formatRules(rules: readonly RuleStatus[]): string {
  if (rules.length === 0) return 'no such rules\n';
  const lists = new Map<string, RuleStatus[]>();
  for (const rule of rules) {
    const title = `${KINDS[rule.kind]} ${rule.acl}`;
    lists.set(title, [...(lists.get(title) ?? []), rule]);
  }
  return Array.from(lists, ([title, list]) => `${title}\n${table(list)}`).join('\n');
}

function table(rules: readonly RuleStatus[]): string {
  const rows = rules.map(({ name, action, direction, line, hits, denied }) => {
    return [
      name,
      action,
      direction,
      line === 0 ? '-' : String(line),
      hits === 0 ? 'never' : String(hits),
      String(denied),
    ];
  });
  return columns([HEADINGS, ...rows])
    .map((line) => `  ${line}\n`)
    .join('');
}
