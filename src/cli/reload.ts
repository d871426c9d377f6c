import { Command } from 'commander';
import type { ReloadAnswer } from '../control/api.ts';
import { loadConfig } from '../control/config.ts';
import { formatChanges } from '../gateway/difference.ts';
import { askGateway } from './ask.ts';

export function command(): Command {
  return new Command('reload')
    .summary('have a running gateway read its configuration again')
    .description(
      'Has a running gateway read its configuration file again and change what is different, and prints what that was. ' +
        'What stays the same goes on undisturbed: sessions, connections, counters. With a fault in the file, or if the ' +
        'system refuses a change, nothing is changed, and the exit code is not 0: with --dry-run too, where a change can only ' +
        'be made by a restart.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .option('--dry-run', 'change nothing, only print what would be changed')
    .option('--json', 'print JSON, for scripts')
    .option('--config <file>', "which gateway: the one of this file's interface")
    .addHelpText(
      'after',
      '\nEach line is a change: + an entry that comes, - one that goes, ~ a value before and after.\n\nExamples:\n' +
        '  isthmus reload --dry-run\n  isthmus reload ist0\n  isthmus reload --config /etc/isthmus/ningxia.yaml\n' +
        '  isthmus reload --dry-run --json | jq ".changes[].path"',
    )
    .action(reload);
}

/** What a dry run ends with where the reload would be refused. */
const REFUSED = 1;

interface ReloadOptions {
  readonly dryRun?: true;
  readonly json?: true;
  readonly config?: string;
}

async function reload(interfaceName: string | undefined, options: ReloadOptions): Promise<void> {
  const name = interfaceName ?? (options.config && loadConfig(options.config, process.env).interface);
  const call = options.dryRun ? '/v1/reload?dry_run=true' : '/v1/reload';
  const answer = (await askGateway(name, 'POST', call)) as ReloadAnswer;
  if (options.json) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
  else process.stdout.write(answer.changes.length === 0 ? 'nothing to change\n' : formatChanges(answer.changes));
  if (answer.changes.some(({ refused }) => refused)) process.exitCode = REFUSED;
}
