import test from 'ava';
import type { Command } from 'commander';
import { manualPage } from '../../deploy/package/man.ts';
import { createProgram } from '../../src/cli/program.ts';

/** The letters that a reader of the page sees. */
function shown(page: string): string {
  return page
    .replaceAll(/^\.(SS|B|TP|PP|nf|fi)\b ?/gm, '')
    .replaceAll('\\&', '')
    .replaceAll('\\(dq', '"')
    .replaceAll('\\-', '-')
    .replaceAll('\\[u2026]', '…')
    .replaceAll('\\e', '\\')
    .replaceAll(/\s+/g, ' ');
}

test('the manual page has every command, with its options and its examples', async (t) => {
  const page = await manualPage();
  t.regex(page, /^\.SH NAME\nisthmus \\- /m);
  const text = shown(page);
  const check = (command: Command): void => {
    t.true(text.includes(command.createHelp().commandUsage(command)), command.name());
    for (const { flags, description } of command.options) {
      t.true(text.includes(`${flags} ${description.slice(0, 20).trim()}`), `${command.name()}: ${flags}`);
    }
    for (const each of command.commands) check(each);
  };
  for (const command of (await createProgram()).commands) check(command);
  t.true(text.includes('jq ".entries[] | select(.who != \\"timer\\")"'));
  t.deepEqual(page.match(/^'|^\.(?!(TH|SH|SS|PP|TP|B|BR|I|nf|fi)\b).*/gm), null, 'no text is taken for a command');
});
