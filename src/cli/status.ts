import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { duration } from '../control/config-text.ts';
import { IsthmusError } from '../gateway/errors.ts';
import type { EventsAnswer } from '../gateway/events.ts';
import type { FlowsAnswer } from '../gateway/flow-top.ts';
import type { GatewayStatus } from '../gateway/status.ts';
import { History } from '../observe/page/history.ts';
import { formatStatus } from '../observe/status-text.ts';
import { formatWatch } from '../observe/watch-text.ts';
import type { ScreenSize } from '../observe/watch-text.ts';
import { readOption } from './arguments.ts';
import { askGateway } from './ask.ts';
import { CLEAR_SCREEN } from './output.ts';

const CURSOR = { hide: '\u001b[?25l', show: '\u001b[?25h' };
/** What a terminal is taken for that does not say: no lines are left out. */
const SCREEN: ScreenSize = { columns: 80, rows: Infinity };
/** Looks that rates are kept of. */
const LENGTH = 60;
const DEFAULT_INTERVAL = '1s';
/** Ms. */
const INTERVAL = { least: 200, most: 3_600_000 };

interface Options {
  readonly json?: true;
  readonly watch?: true;
  readonly interval?: string;
}

export function command(): Command {
  return new Command('status')
    .summary('show a running gateway')
    .description(
      'Shows the peers of a running gateway, where they are, when they last shook hands, what went by, the routes, the ' +
        'rules with their hits, and what was dropped, by reason.\n\nWith --watch it shows at a glance, and anew every ' +
        'second: throughput of each peering, round trips, drops as they rise, the flows that carry most, the last events. ' +
        'Ctrl-C ends it.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .option('--json', 'print JSON, for scripts; with --watch a line each time')
    .option('--watch', 'go on showing it')
    .option('--interval <duration>', 'with --watch: how often, such as 500ms or 5s (default: 1s)')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus status\n  isthmus status ist0 --watch\n  isthmus status --watch --interval 5s\n' +
        '  isthmus status --json | jq ".peers[].drops"\n  isthmus status --watch --json | jq --unbuffered .flows.tracked',
    )
    .action(status);
}

async function status(name: string | undefined, options: Options): Promise<void> {
  const interval = intervalOf(options);
  const ask = async (): Promise<GatewayStatus> => (await askGateway(name, 'GET', '/v1/status')) as GatewayStatus;
  if (!options.watch) {
    const now = await ask();
    process.stdout.write(options.json ? `${JSON.stringify(now, null, 2)}\n` : formatStatus(now));
    return;
  }
  let isRead = true;
  process.stdout.once('error', () => (isRead = false));
  const show = options.json ? async (): Promise<string> => `${JSON.stringify(await ask())}\n` : watching(name, ask);
  const restore = options.json ? () => undefined : hideCursor();
  try {
    while (isRead) {
      process.stdout.write(await show());
      await sleep(interval);
    }
  } finally {
    restore();
  }
}

/** Makes the next screen each time it is called. */
function watching(name: string | undefined, ask: () => Promise<GatewayStatus>): () => Promise<string> {
  const history = new History(LENGTH);
  return async () => {
    const now = await ask();
    history.add(now, performance.now());
    const flows = (await askGateway(name, 'GET', '/v1/flows?sort=rate&limit=5')) as FlowsAnswer;
    const events = (await askGateway(name, 'GET', '/v1/events')) as EventsAnswer;
    const { columns = SCREEN.columns, rows = SCREEN.rows } = process.stdout as Partial<ScreenSize>;
    return `${CLEAR_SCREEN}${formatWatch({ status: now, history, flows, events }, { columns, rows })}`;
  };
}

/** Takes the cursor away where there is one, and gives what brings it back, which also happens if a signal ends this. */
function hideCursor(): () => void {
  if (!process.stdout.isTTY) return () => undefined;
  process.stdout.write(CURSOR.hide);
  const restore = (): void => void process.stdout.write(CURSOR.show);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      restore();
      // Without a listener it ends the process, as whoever waits for it expects.
      process.kill(process.pid, signal);
    });
  }
  return restore;
}

/** In ms. Throws `ISTHMUS_USAGE` for what is none, and where there is nothing to repeat. */
function intervalOf({ watch, interval }: Options): number {
  if (!watch && interval !== undefined) throw new IsthmusError('ISTHMUS_USAGE', '--interval is for --watch only');
  return readOption('--interval', interval ?? DEFAULT_INTERVAL, (text) =>
    duration(text, INTERVAL.least, INTERVAL.most),
  );
}
