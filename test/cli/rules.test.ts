import test from 'ava';
import { selectRules } from '../../src/cli/rules.ts';
import type { RuleStatus } from '../../src/gateway/rules.ts';
import { formatRules } from '../../src/observe/rules-text.ts';

const rule = (kind: RuleStatus['kind'], acl: string, name: string, hits: number, denied = 0): RuleStatus => ({
  ...{ kind, acl, name, action: denied > 0 ? 'deny' : 'allow', direction: 'in', line: name === '*' ? 0 : 12 },
  ...{ hits, denied },
});
const RULES = [
  rule('acl', 'web', 'https', 1234),
  rule('acl', 'web', 'ssh', 0),
  rule('security-group', 'web', 'dns', 3),
  rule('network-acl', 'edge', '100', 0),
  rule('network-acl', 'edge', '*', 7, 7),
];

test('rules are shown by list, with their line, their hits and those that never matched', (t) => {
  t.is(
    formatRules(RULES),
    `acl web
  rule   action  direction  line  packets  denied
  https  allow   in         12    1234     0
  ssh    allow   in         12    never    0

security group web
  rule  action  direction  line  packets  denied
  dns   allow   in         12    3        0

network ACL edge
  rule  action  direction  line  packets  denied
  100   allow   in         12    never    0
  *     deny    in         -     7        7
`,
  );
  t.is(formatRules([]), 'no such rules\n');
});

test('lists are chosen by kind and name, and rules that never matched', (t) => {
  const names = (options: Parameters<typeof selectRules>[1]) => selectRules(RULES, options).map(({ name }) => name);
  t.deepEqual(names({}), ['https', 'ssh', 'dns', '100', '*']);
  t.deepEqual(names({ acl: 'web' }), ['https', 'ssh']);
  t.deepEqual(names({ group: 'web' }), ['dns']);
  t.deepEqual(names({ networkAcl: 'edge', never: true }), ['100']);
  t.deepEqual(names({ never: true }), ['ssh', '100']);
  t.throws(() => names({ group: 'edge' }), { message: 'there is no security group edge; wanted one of web' });
  const none = () => selectRules([], { networkAcl: 'edge' });
  t.throws(none, { message: 'there is no network ACL edge; and there are none' });
});
