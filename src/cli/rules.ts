import { Command } from 'commander';
import type { RulesAnswer } from '../control/api.ts';
import { IsthmusError } from '../gateway/errors.ts';
import type { RuleStatus } from '../gateway/rules.ts';
import { formatRules, KINDS } from '../observe/rules-text.ts';
import { askGateway } from './ask.ts';

/** Names of lists, by the option that asks for them. */
interface Wanted {
  readonly acl?: string;
  readonly group?: string;
  readonly networkAcl?: string;
  readonly never?: true;
}

export function command(): Command {
  return new Command('rules')
    .summary('show the rules of a running gateway, with their hits')
    .description(
      'Shows the rules of the access lists, security groups and network ACLs of a running gateway: where the file has ' +
        'each, how many packets it decided, and how many of them it denied. A stateful rule decides about the packets ' +
        'that begin a flow, not about those that follow.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .option('--acl <name>', 'this access list only')
    .option('--group <name>', 'this security group only')
    .option('--network-acl <name>', 'this network ACL only')
    .option('--never', 'only rules that never matched')
    .option('--json', 'print JSON, for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus rules\n  isthmus rules --never\n  isthmus rules --network-acl edge\n' +
        '  isthmus rules --json | jq ".rules[] | select(.denied > 0)"',
    )
    .action(rules);
}

async function rules(name: string | undefined, options: Wanted & { json?: true }): Promise<void> {
  const answer = (await askGateway(name, 'GET', '/v1/rules')) as RulesAnswer;
  const wanted = selectRules(answer.rules, options);
  process.stdout.write(options.json ? `${JSON.stringify({ rules: wanted }, null, 2)}\n` : formatRules(wanted));
}

/** The rules that were asked for. Throws an `IsthmusError` if there is no such list. */
export function selectRules(all: readonly RuleStatus[], { acl, group, networkAcl, never }: Wanted): RuleStatus[] {
  const asked = [
    ['acl', acl],
    ['security-group', group],
    ['network-acl', networkAcl],
  ] as const;
  for (const [kind, name] of asked) {
    if (name === undefined || all.some((rule) => rule.kind === kind && rule.acl === name)) continue;
    const names = [...new Set(all.flatMap((rule) => (rule.kind === kind ? rule.acl : [])))].join(', ');
    const wanted = names === '' ? 'and there are none' : `wanted one of ${names}`;
    throw new IsthmusError('ISTHMUS_USAGE', `there is no ${KINDS[kind]} ${name}; ${wanted}`);
  }
  const isAsked = asked.some(([, name]) => name !== undefined);
  return all.filter(
    (rule) =>
      (!isAsked || asked.some(([kind, name]) => rule.kind === kind && rule.acl === name)) &&
      (never !== true || rule.hits === 0),
  );
}
