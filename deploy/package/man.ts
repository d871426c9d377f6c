/** The manual page isthmus(8), out of the help of the commands themselves. */
import type { Command, Help } from 'commander';
import { createProgram } from '../../src/cli/program.ts';

/** The page, for `man`. */
export async function manualPage(): Promise<string> {
  const program = await createProgram();
  return [
    `.TH ISTHMUS 8 "" "isthmus ${program.version()}"`,
    '.SH NAME',
    'isthmus \\- userspace VPN gateway that joins VPCs, WireGuard on the wire',
    '.SH SYNOPSIS',
    '.B isthmus',
    '.I command',
    '[\\fIoptions\\fR]',
    '.SH DESCRIPTION',
    roff(program.description()),
    ...preformatted(after(program)),
    '.SH COMMANDS',
    ...program.commands.flatMap((command) => section(command)),
    '.SH SEE ALSO',
    '.BR wg (8),',
    '.BR wg\\-quick (8),',
    'the manual in /usr/share/doc/isthmus, or in docs/ of the npm package',
    '',
  ].join('\n');
}

/** A command, and behind it those within it. */
function section(command: Command): string[] {
  const help = command.createHelp();
  const own = help.visibleOptions(command).filter(({ long }) => long !== '--help');
  return [
    `.SS "${roff(help.commandUsage(command))}"`,
    ...command.description().split('\n\n').map(roff).join('\n.PP\n').split('\n'),
    ...help.visibleArguments(command).flatMap((each) => item(help.argumentTerm(each), help.argumentDescription(each))),
    ...own.flatMap((each) => item(help.optionTerm(each), help.optionDescription(each))),
    ...preformatted(after(command)),
    ...command.commands.flatMap((each) => section(each)),
  ];
}

function item(term: ReturnType<Help['optionTerm']>, description: string): string[] {
  return ['.TP', `.B ${roff(term)}`, roff(description)];
}

/** What a command's help has behind its options: examples, mostly. */
function after(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
  return text.slice(command.helpInformation().length).trim();
}

function preformatted(text: string): string[] {
  return text === '' ? [] : ['.PP', '.nf', roff(text), '.fi'];
}

/** Text as roff takes it: no letter of it is a command, and all are ASCII. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll(/[^\0-\x7f]/g, (letter) => `\\[u${letter.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}]`)
    .replace(/^(?=[.'])/gm, '\\&');
}
