import { Command } from 'commander';
import type { AuditAnswer, AuditVerdict } from '../gateway/peerings.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { readAuditFile } from '../gateway/peering-store.ts';
import { verifyAudit } from '../peering/audit.ts';
import type { AuditEntry } from '../peering/audit.ts';
import { formatAudit } from '../observe/peerings-text.ts';
import { askGateway } from './ask.ts';

interface Options {
  readonly gateway?: string;
  readonly file?: string;
  readonly json?: true;
}

/** Entries that are asked for at once. */
const PAGE = 1000;

export function command(): Command {
  const audit = withSource(new Command('audit'))
    .summary('show who requested, accepted and deleted peerings')
    .description(
      'Shows the audit log of requested peerings: when, by whom (the local API, the other gateway, or time), and what. ' +
        'Each entry holds the hash of the one before, so that a change of the log shows.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus audit\n  isthmus audit --json | jq ".entries[] | select(.who != \\"timer\\")"\n' +
        '  isthmus audit verify\n  isthmus audit verify --head 12:5f3c…  (as printed earlier, and kept elsewhere)',
    )
    .action(show);
  audit.addCommand(
    withSource(new Command('verify'))
      .summary('check that the log is as it was written')
      .description(
        'Checks the chain of hashes and names the first entry that is not as it was written; exit code 1 if there is one. ' +
          'Prints the head of the log, COUNT:HASH: kept elsewhere, it shows later that the log was not written anew.',
      )
      .option('--head <count:hash>', 'a head that was printed earlier')
      .addHelpText('after', '\nExample:\n  isthmus audit verify --head 12:5f3c…')
      .action((_: unknown, command: Command) => verify(command.optsWithGlobals())),
  );
  return audit;
}

function withSource(command: Command): Command {
  return command
    .option('--gateway <interface>', 'which gateway; may be left out where one runs')
    .option('--file <database>', 'the log in a database that no gateway uses, such as a copy')
    .option('--json', 'print JSON, for scripts');
}

async function show(options: Options): Promise<void> {
  const answer = options.file === undefined ? await allOf(options.gateway) : readAuditFile(options.file);
  process.stdout.write(options.json ? `${JSON.stringify(answer, null, 2)}\n` : formatAudit(answer));
}

async function verify(options: Options & { head?: string }): Promise<void> {
  const { ok, head, fault } = await verdictOf(options);
  const { count, hash } = head;
  if (options.json) process.stdout.write(`${JSON.stringify({ ok, head, fault }, null, 2)}\n`);
  else if (ok) process.stdout.write(`good: ${count} entries, head ${count}:${hash}\n`);
  if (fault !== null) throw new IsthmusError('ISTHMUS_AUDIT', `the log is not as it was written: ${fault.reason}`);
}

async function verdictOf({ file, gateway, head: noted }: Options & { head?: string }): Promise<AuditVerdict> {
  if (file === undefined) {
    const query = noted === undefined ? '' : `?head=${encodeURIComponent(noted)}`;
    return (await askGateway(gateway, 'GET', `/v1/audit/verify${query}`)) as AuditVerdict;
  }
  const { entries, head } = readAuditFile(file);
  const [count, hash] = noted?.split(':') ?? [];
  const fault = verifyAudit(entries, head, noted === undefined ? undefined : { count: Number(count), hash }) ?? null;
  return { ok: fault === null, head, fault };
}

async function allOf(gateway: string | undefined): Promise<AuditAnswer> {
  const entries: AuditEntry[] = [];
  for (;;) {
    const call = `/v1/audit?from=${entries.length + 1}&limit=${PAGE}`;
    const page = (await askGateway(gateway, 'GET', call)) as AuditAnswer;
    entries.push(...page.entries);
    if (page.entries.length < PAGE) return { head: page.head, entries };
  }
}
