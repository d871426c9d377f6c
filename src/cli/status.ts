import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { callApi } from '../control/api.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { RUN_FOLDER } from '../gateway/gateway.ts';
import type { GatewayStatus } from '../gateway/status.ts';
import { formatStatus } from '../observe/status-text.ts';

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
  const path = `${RUN_FOLDER}/${name ?? onlyGateway()}.sock`;
  let last: GatewayStatus | undefined;
  let isRead = true;
  process.stdout.once('error', () => (isRead = false));
  while (isRead) {
    const now = await ask(path);
    const text = options.json ? `${JSON.stringify(now, null, options.watch ? 0 : 2)}\n` : formatStatus(now, last);
    process.stdout.write(options.watch && !options.json ? `${CLEAR_SCREEN}${text}` : text);
    if (!options.watch) return;
    last = now;
    await sleep(1000);
  }
}

async function ask(path: string): Promise<GatewayStatus> {
  try {
    return (await callApi(path, 'GET', '/v1/status')) as GatewayStatus;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const advice = code === 'EACCES' ? 'run as root' : 'is it running? start it with isthmus up FILE';
    throw new IsthmusError('ISTHMUS_NO_GATEWAY', `no gateway answers at ${path} (${code ?? message}): ${advice}`);
  }
}

function onlyGateway(): string {
  const names = listSockets().map((file) => file.slice(0, -'.sock'.length));
  if (names.length === 1) return names[0];
  const found = names.length === 0 ? 'no gateway runs here' : `several gateways run here: ${names.join(', ')}`;
  throw new IsthmusError('ISTHMUS_NO_GATEWAY', `${found}; name its interface`);
}

function listSockets(): string[] {
  try {
    return readdirSync(RUN_FOLDER).filter((file) => file.endsWith('.sock'));
  } catch {
    return [];
  }
}
