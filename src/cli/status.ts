import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import type { GatewayStatus } from '../gateway/status.ts';
import { formatStatus } from '../observe/status-text.ts';
import { askGateway } from './ask.ts';

const CLEAR_SCREEN = '\u001b[H\u001b[2J\u001b[3J';

export function command(): Command {
  return new Command('status')
    .summary('show a running gateway')
    .description(
      'Shows the peers of a running gateway, where they are, when they last shook hands, what went by, the routes, the ' +
        'rules with their hits, and what was dropped, by reason.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .option('--json', 'print JSON, for scripts')
    .option('--watch', 'show it anew every second, with rates')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus status\n  isthmus status ist0 --watch\n  isthmus status --json | jq ".peers[].drops"',
    )
    .action(status);
}

async function status(name: string | undefined, options: { json?: true; watch?: true }): Promise<void> {
  let last: GatewayStatus | undefined;
  let isRead = true;
  process.stdout.once('error', () => (isRead = false));
  while (isRead) {
    const now = (await askGateway(name, 'GET', '/v1/status')) as GatewayStatus;
    const text = options.json ? `${JSON.stringify(now, null, options.watch ? 0 : 2)}\n` : formatStatus(now, last);
    process.stdout.write(options.watch && !options.json ? `${CLEAR_SCREEN}${text}` : text);
    if (!options.watch) return;
    last = now;
    await sleep(1000);
  }
}
